"""AlpacaEval's annotations and Arena-Hard's judgments, written here in their layouts, without a model."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from croco import compare
from croco.errors import UserError
from croco.exchange import annotations


def alpaca(system: str, question: int, preference: float | None, length: int = 40) -> dict[str, Any]:
    return {
        "instruction": f"Question {question}?",
        "output_1": "b" * 30,
        "generator_1": "gpt4_1106_preview",
        "dataset": "helpful_base",
        "output_2": "a" * length,
        "generator_2": system,
        "annotator": "weighted_alpaca_eval_gpt4_turbo",
        "preference": preference,
        "time_per_example": 1.5,
        "raw_completion": None,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_bytes(gzip.compress(json.dumps(rows).encode()) if path.suffix == ".gz" else json.dumps(rows).encode())
    return path


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_graded_preferences_of_a_gzipped_file(tmp_path: Path) -> None:
    """1.96 is 0.96 of a win; 0 is an old file's tie; a row without a preference is counted."""
    dropped: Counter[str] = Counter()
    rows = [alpaca("m", number, preference) for number, preference in enumerate((1.96, 1.0, 2, 0, None))]
    found = annotations.read([write(tmp_path / "annotations.json.gz", rows)], (), dropped)
    assert [row.score for row in found] == pytest.approx([0.96, 0.0, 1.0, 0.5])
    assert (found[0].system, found[0].baseline, found[0].texts) == ("m", "gpt4_1106_preview", ("a" * 40, "b" * 30))
    assert dropped == {"without a preference": 1}


def test_both_orders_of_arena_hard(tmp_path: Path) -> None:
    """The baseline is A first, then the system. B>A and A>>B: 1 won, 3 won: 1. A=B and B>>A: (0.5 + 3 * 0) / 4. An
    unreadable game is counted, and the other one is the score. Texts come from the files of answers, of both layouts."""
    games = [("B>A", "A>>B"), ("A=B", "B>>A"), ("A<B", None)]
    rows = [
        {"question_id": str(n), "model": "m", "judge": "j", "games": [{"score": a, "judgment": ""}, {"score": b}]}
        for n, (a, b) in enumerate(games)
    ]
    old = [
        {"question_id": str(n), "model_id": "m", "choices": [{"turns": [{"content": "x", "token_len": 1}]}]}
        for n in (0, 1)
    ]
    new = [
        {"uid": str(n), "model": "baseline", "messages": [{"role": "user"}, {"content": {"answer": "yy"}}]}
        for n in (0,)
    ]
    answers = [lines(tmp_path / "a.jsonl", old), lines(tmp_path / "b.jsonl", new)]
    dropped: Counter[str] = Counter()
    found = annotations.read([lines(tmp_path / "j.jsonl", rows)], answers, dropped)
    assert [row.score for row in found] == [1.0, 0.125, 1.0]
    assert [row.texts for row in found] == [("x", "yy"), None, None]
    assert dropped == {"games without a verdict": 1}


def test_what_is_not_one_names_its_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.json, row 2: neither an annotation"):
        annotations.read([write(tmp_path / "x.json", [alpaca("m", 0, 1), {"a": 1}])])
    with pytest.raises(UserError, match=r"row 2: m was judged on this question before"):
        annotations.read([write(tmp_path / "x.json", [alpaca("m", 0, 1), alpaca("m", 0, 2)])])
    with pytest.raises(UserError, match=r"row 1: .*preference 3"):
        annotations.read([write(tmp_path / "x.json", [alpaca("m", 0, 3)])])
    (tmp_path / "y.jsonl").write_text(json.dumps(alpaca("m", 0, 1)) + "\n{")
    with pytest.raises(UserError, match=r"y\.jsonl:2: not valid JSON"):
        annotations.read([tmp_path / "y.jsonl"])


def test_a_leaderboard_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three systems: each rate stands under its name, the best first; difficulties are fitted over the other two. With one
    system alone there is no LC (AlpacaEval), with AlpacaEval's own parts there is."""
    rng = np.random.default_rng(0)
    files = []
    for system, share in (("weak", 0.2), ("strong", 0.7), ("middle", 0.5)):
        wins = rng.random(60) < share
        rows = [alpaca(system, n, 1.0 + float(won), int(rng.integers(10, 60))) for n, won in enumerate(wins)]
        files.append(write(tmp_path / f"{system}.json", rows))
    words = ["--format", "json", "--resamples", "100"]
    assert compare.main(["annotations", *map(str, files), *words, "--html", str(tmp_path / "page.html")]) == 0
    (table,) = json.loads(capsys.readouterr().out)
    assert [row[0] for row in table["rows"]] == ["strong", "middle", "weak"]
    place = table["columns"].index("LC (AlpacaEval)")
    assert all(row[place] is not None for row in table["rows"])
    assert "fitted over the other systems" in table["note"]
    assert compare.main(["annotations", str(files[0]), *words]) == 0
    (table,) = json.loads(capsys.readouterr().out)
    assert table["rows"][0][place] is None
    assert table["rows"][0][place - 1] is not None
    parts = tmp_path / "df_gamed.csv"
    head = "index,instruction_difficulty,model,not_gamed_baseline,preference,std_delta_len\n"
    parts.write_text(head + "".join(f"{n},{n / 60 - 0.5},wordy,False,0.5,{n % 3 - 1}\n" for n in range(60)))
    assert compare.main(["annotations", str(files[0]), *words, "--parts", str(parts)]) == 0
    (table,) = json.loads(capsys.readouterr().out)
    assert table["rows"][0][place] is not None
    assert "difficulty (given)" in table["note"]
