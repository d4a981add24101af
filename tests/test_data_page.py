"""docs/data.md: every row of it is read by the reader that a run uses, every reason by the count it names."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from croco.config import DataConfig, PromptsConfig, languages
from croco.errors import UserError
from croco.evals.arena import questions
from croco.evals.benchmarks import results
from croco.evals.checks import files as outputs
from croco.evals.checks import prompts as rules
from croco.exchange import annotations
from croco.prompts import of_hub, parsing, preferences, reading, ready, rows

PAGE = (Path(__file__).parent.parent / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```json (\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
REFUSED = [
    (table[1], row[1], row[2])
    for table in re.finditer(r"^\| row of (\w+) \|.*\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    for row in re.finditer(r"^\| `(.*)` \| (.*) \|$", table[2], re.MULTILINE)
]
LANGUAGES = ["da", "en", "es"]


def of_prompts(file: Path, counts: Counter[str]) -> list[Any]:
    settings: dict[str, Any] = dict.fromkeys(("name", "revision", "language", "max_tokens"))
    settings |= {
        "source": "jsonl",
        "path": str(file),
        "hub_split": "train",
        "turns": "all",
        "system": "keep",
        "seed": 1,
    }
    config = PromptsConfig(**settings, deduplicate=False, check_language=False, train=1, heldout=0)
    return list(parsing.parse(config, reading.read(config), counts))


def of_ready(kind: str) -> Callable[[Path, Counter[str]], list[Any]]:
    def read(file: Path, counts: Counter[str]) -> list[Any]:
        config = DataConfig(kind, str(file), None, "train", None, None, None, 0, 1)
        return list(ready.read(config, LANGUAGES, counts))

    return read


def of_rules(file: Path, counts: Counter[str]) -> list[Any]:
    refused: list[str] = []
    found = list(rules.read(file, LANGUAGES, refused))
    counts.update(refused)
    return found


def of_outputs(file: Path, counts: Counter[str]) -> list[Any]:
    asked = file.with_name("rules.jsonl")
    asked.write_text(next(text for kind, text in BLOCKS if kind == "rules"), encoding="utf-8")
    return outputs.read_answers(file, outputs.read_prompts(asked, None, []))


def of_questions(file: Path, counts: Counter[str]) -> list[Any]:
    return [q for code in LANGUAGES for q in questions.parse(questions.from_files(file, code), code, counts)]


READERS: dict[str, Callable[[Path, Counter[str]], list[Any]]] = {
    "prompts": of_prompts,
    **{kind: of_ready(kind) for kind in ("pairs", "answers", "scores")},
    "preferences": lambda file, counts: list(preferences.each(of_hub.Asked(str(file)), counts=counts)),
    "rules": of_rules,
    "outputs": of_outputs,
    "questions": of_questions,
    "annotations": lambda file, counts: annotations.read([file], (), counts),
    "euroeval": lambda file, counts: results.read(file),
}


@pytest.mark.parametrize(("kind", "text"), BLOCKS, ids=[f"{n}-{kind}" for n, (kind, _) in enumerate(BLOCKS)])
def test_every_row_is_read(kind: str, text: str, tmp_path: Path) -> None:
    """As many as there are answers in the rows, nothing left out; conversations that say the same are the same prompt."""
    (tmp_path / "x.jsonl").write_text(text, encoding="utf-8")
    counts: Counter[str] = Counter()
    if "Texts and conversations" in PAGE[: PAGE.index(text)].split("\n## ")[-1]:
        (only,) = READERS[kind](tmp_path / "x.jsonl", counts)
        assert only.messages == [{"role": "user", "content": "Name three rivers."}]
        assert counts == {"duplicate": text.count("\n") - 1}
        return
    lists = [row.get(name) for row in map(json.loads, text.splitlines()) for name in ready.LISTS]
    listed = [len(value) - 1 for value in lists if isinstance(value, list)]
    assert len(READERS[kind](tmp_path / "x.jsonl", counts)) == text.count("\n") + sum(listed)
    assert not counts


def test_there_is_a_row_of_every_kind() -> None:
    assert {kind for kind, _ in BLOCKS} == set(READERS)
    assert len(REFUSED) > 15


@pytest.mark.parametrize(("kind", "row", "reason"), REFUSED, ids=[f"{kind}-{why}" for kind, _, why in REFUSED])
def test_what_is_left_out_is_counted_so(kind: str, row: str, reason: str, tmp_path: Path) -> None:
    """What cannot be read is more than 1 % of a file of one row: it stops, and names the line."""
    file = tmp_path / "x.jsonl"
    file.write_text(row + "\n", encoding="utf-8")
    counts: Counter[str] = Counter()
    if reason == "cannot be read":
        with pytest.raises(UserError, match=r"x\.jsonl:1: "):
            READERS[kind](file, counts)
        return
    assert READERS[kind](file, counts) == []
    (told,) = counts
    assert told == reason or (kind == "rules" and reason in told)


@pytest.mark.parametrize(
    "names",
    [
        *(ready.LISTS, ready.SINGLE, ready.REWARDS, ready.OF_LISTS, ready.INSTRUCTION, preferences.TIES[:1]),
        *(parsing.IDS, parsing.LANGUAGE, parsing.CONVERSATIONS, outputs.IDS, outputs.TEXTS, (str(ready.FAILED)[:-2],)),
        *(rows.LINES, rows.TABLES, tuple(rows.PACKED)),
    ],
)
def test_every_name_that_is_looked_for_is_told(names: tuple[str, ...]) -> None:
    assert [name for name in names if name not in PAGE] == []


def test_every_word_for_danish_means_it() -> None:
    (words,) = re.findall(r"^    (da  .*)$", PAGE, re.MULTILINE)
    assert {languages.of_word(word) for word in words.split()} == {"da"}
