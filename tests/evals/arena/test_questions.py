"""Questions in m-ArenaHard's columns, from files."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from croco.artifacts.records import Prompt
from croco.config import ArenaConfig, SystemConfig
from croco.errors import UserError
from croco.evals.arena import questions

SYSTEM = SystemConfig("x", None, None, None, None, None)
CONFIG = ArenaConfig("file", None, None, None, SYSTEM, SYSTEM, 1.0, 1.0, 8, "both", 0, 10, 0.95)


def row(identity: str, language: str | None = None, **more: Any) -> dict[str, Any]:
    named = {} if language is None else {"language": language}
    return {
        "question_id": identity,
        "prompt": f"{identity}?",
        "category": "hard_prompt",
        "subcategory": "c",
        **named,
        **more,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def read(path: Path, language: str) -> list[Prompt]:
    return questions.parse(questions.from_files(path, language), language, Counter())


def test_one_file_of_several_languages(tmp_path: Path) -> None:
    file = write(tmp_path / "all.jsonl", [row("1", "da"), row("1", "en"), row("2", "en")])
    assert [p.prompt_id for p in read(file, "en")] == ["1", "2"]
    (danish,) = read(file, "da")
    assert danish.split == "arena"
    assert questions.kinds(danish) == ("hard_prompt", "c")


def test_one_file_per_language_and_parquet(tmp_path: Path) -> None:
    write(tmp_path / "da.jsonl", [row("1")])
    pq.write_table(pa.Table.from_pylist([row("1"), row("2")]), tmp_path / "en.parquet")
    assert len(read(tmp_path, "en")) == 2
    assert len(read(tmp_path, "da")) == 1
    assert read(tmp_path, "de") == []
    (tmp_path / "fr.json").write_text(json.dumps([row("1"), row("2"), row("3")]))
    assert len(read(tmp_path, "fr")) == 3


def test_the_same_questions_are_kept_in_every_language() -> None:
    def prompts(language: str, count: int) -> list[Prompt]:
        return [Prompt(str(i), language, [], "arena") for i in range(count)]

    config = dataclasses.replace(CONFIG, limit=5)
    kept = [{p.prompt_id for p in questions.limited(prompts(lang, 40), config)} for lang in ("en", "da")]
    assert len(kept[0]) == 5
    assert kept[0] == kept[1]
    assert len(questions.limited(prompts("en", 40), CONFIG)) == 40


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([row("1", "en"), row("1", "en")], r"x\.jsonl:2: question 1 is there twice"),
        ([row("1", "en"), {"prompt": "a", "language": "en"}], r"x\.jsonl:2: no `question_id`"),
        ([row("1", "en", prompt=None)], r"x\.jsonl:1: no `prompt`"),
        ([row("1")], r"x\.jsonl:1: no language"),
    ],
)
def test_bad_rows_name_their_line(tmp_path: Path, rows: list[dict[str, Any]], says: str) -> None:
    file = write(tmp_path / "x.jsonl", rows)
    with pytest.raises(UserError, match=says):
        read(file, "en")


def test_blank_questions_are_counted(tmp_path: Path) -> None:
    dropped: Counter[str] = Counter()
    file = write(tmp_path / "x.jsonl", [row("1", "en", prompt="  "), row("2", "en")])
    assert len(questions.parse(questions.from_files(file, "en"), "en", dropped)) == 1
    assert dropped == {"no text": 1}


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"evals\.arena\.path"):
        read(tmp_path, "en")


def test_the_category_of_a_prompt_of_the_embedded_world_is_its_task() -> None:
    assert questions.kinds(Prompt("p", "en", [], "arena", meta='{"task": "add"}')) == ("add", "")


@pytest.mark.parametrize(
    ("text", "says"), [("[{", ": cannot be read as a JSON list"), ("[1]", ", row 1: expected an object")]
)
def test_a_list_that_is_none_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "en.json").write_text(text)
    with pytest.raises(UserError, match=rf"en\.json{says}"):
        read(tmp_path, "en")
