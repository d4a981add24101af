"""Answers of two systems from files, compared without a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from croco import compare


def lines(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def prompt(key: int, *instructions: str) -> dict[str, Any]:
    return {
        "key": key,
        "prompt": f"Question {key}?",
        "instruction_id_list": list(instructions),
        "kwargs": [{}] * len(instructions),
    }


def test_two_files_of_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One names its prompts by id, the other by text. A follows 0 of 2 prompts and 1 of 3 instructions, B both and all; a row of
    the prompts is left out, and an answer that is missing is said."""
    comma, lower = "punctuation:no_comma", "change_case:lowercase_letters"
    asked = [prompt(1, comma), prompt(2, comma, lower), prompt(3, comma), prompt(4, "made:up")]
    prompts = lines(tmp_path / "p.jsonl", *asked)
    a = lines(
        tmp_path / "a.jsonl", {"id": "1", "response": "a, b"}, {"id": 2, "response": "A b"}, {"id": 9, "response": "x"}
    )
    b = lines(tmp_path / "b.jsonl", *({"prompt": f"Question {n}?", "response": "a b"} for n in (1, 2, 3)))
    words = ["answers", a, b, "--prompts", prompts, "--format", "json", "--resamples", "100"]
    page = tmp_path / "page.html"
    assert compare.main([*words, "--html", str(page)]) == 0
    told = capsys.readouterr()
    first, _, others, _ = json.loads(told.out)
    row = dict(zip(first["columns"], first["rows"][0], strict=True))
    assert (row["language"], row["prompts"], row["base"], row["tuned"]) == ("en", 2, 0.0, 1.0)
    assert "a.jsonl: 1 of 3 prompts without an answer" in told.err
    assert f"left out: {prompts}:4: unknown instruction" in told.err
    assert not any(row[0] in ("tokens", "ended") for row in others["rows"])
    assert page.is_file()
    assert compare.main(["answers", a, prompts, "--prompts", prompts]) == 2
    assert "p.jsonl:1: none of response, answer" in capsys.readouterr().err


def test_prompts_without_instructions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a text shows by itself: language and repetition."""
    danish = "Jeg kan godt lide at læse bøger om aftenen når børnene er lagt i seng"
    english = "I like to read books in the evening when the children have gone to bed"
    prompts = lines(tmp_path / "p.jsonl", *({"id": f"q{n}", "lang": "da", "prompt": f"Spørgsmål {n}?"} for n in (1, 2)))
    answers = [
        lines(tmp_path / f"{name}.jsonl", *({"prompt_id": f"q{n}", "text": text} for n in (1, 2)))
        for name, text in (("a", english), ("b", danish))
    ]
    assert compare.main(["answers", *answers, "--prompts", prompts, "--format", "json", "--resamples", "50"]) == 0
    (table,) = json.loads(capsys.readouterr().out)
    measures = {(row[0], row[1]): row for row in table["rows"]}
    assert measures["right language", "da"][3:5] == [0.0, 1.0]
