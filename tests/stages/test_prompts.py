"""Prompts: what is read, what is kept apart, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from croco.config import PromptsConfig
from croco.errors import UserError
from croco.stages import prompts


def config(path: Path, **settings: object) -> PromptsConfig:
    defaults = {
        "source": "jsonl",
        "path": str(path),
        "name": None,
        "hub_split": "train",
        "revision": None,
        "language": None,
        "train": 100,
        "heldout": 2,
        "max_tokens": None,
        "seed": 0,
    }
    return PromptsConfig(**{**defaults, **settings})  # type: ignore[arg-type]


def parsed(settings: PromptsConfig) -> tuple[list[prompts.Prompt], dict[str, int]]:
    from collections import Counter

    dropped: Counter[str] = Counter()
    return list(prompts._parse(settings, prompts._from_files(settings), dropped)), dict(dropped)


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_translations_share_the_split_whatever_is_missing(tmp_path: Path) -> None:
    """One file per language, one row missing in Danish: ids join, not row numbers."""
    write(tmp_path / "en.jsonl", [{"id": f"q{i}", "prompt": f"question {i}"} for i in range(20)])
    write(tmp_path / "da.jsonl", [{"id": f"q{i}", "prompt": f"spørgsmål {i}"} for i in range(20) if i != 3])
    settings = config(tmp_path, heldout=4)
    rows = prompts._split(settings, parsed(settings)[0])
    split = {(p.prompt_id, p.language): p.split for p in rows}
    assert sum(s == "heldout" for (_, lang), s in split.items() if lang == "en") == 4
    for (prompt_id, language), where in split.items():
        assert split[prompt_id, "en"] == where, (prompt_id, language)
    text = {(p.prompt_id, p.language): p.messages[0]["content"] for p in rows}
    assert text["q4", "da"] == "spørgsmål 4"


def test_the_same_text_twice_is_two_prompts_and_the_same_id_twice_is_one(tmp_path: Path) -> None:
    rows = [{"id": 1, "prompt": "a"}, {"id": 2, "prompt": "a"}, {"id": 2, "prompt": "b"}]
    found, dropped = parsed(config(write(tmp_path / "x.jsonl", rows), language="en"))
    assert [p.prompt_id for p in found] == ["1", "2"]
    assert dropped == {"duplicate": 1}


def test_messages_end_with_the_users_turn(tmp_path: Path) -> None:
    conversation = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
    ]
    rows = [{"messages": conversation, "language": "en"}, {"prompt": "  ", "language": "en"}]
    found, dropped = parsed(config(write(tmp_path / "x.jsonl", rows)))
    assert [m["role"] for m in found[0].messages] == ["system", "user"]
    assert dropped == {"no text": 1}


def test_without_ids_languages_are_never_joined(tmp_path: Path) -> None:
    rows = [{"prompt": "ja", "language": "de"}, {"prompt": "ja", "language": "da"}]
    found, _ = parsed(config(write(tmp_path / "x.jsonl", rows)))
    assert found[0].prompt_id != found[1].prompt_id


@pytest.mark.parametrize(
    ("row", "says"),
    [({"prompt": "hi"}, "no language"), ({"text": "hi", "language": "en"}, "needs `prompt` or `messages`")],
)
def test_bad_rows_name_their_line(tmp_path: Path, row: dict[str, str], says: str) -> None:
    file = write(tmp_path / "x.jsonl", [{"prompt": "ok", "language": "en"}, row])
    with pytest.raises(UserError, match=rf"x\.jsonl:2: .*{says}"):
        parsed(config(file))


def test_fewer_prompts_than_asked_for_keep_a_fifth_at_most(tmp_path: Path) -> None:
    rows = [{"id": i, "prompt": str(i), "language": "en"} for i in range(10)]
    settings = config(write(tmp_path / "x.jsonl", rows), heldout=200)
    kept = prompts._split(settings, parsed(settings)[0])
    assert sum(p.split == "heldout" for p in kept) == 2
    assert len(kept) == 10
