"""The reference repository's arena: files written here in its layout, read, and compared with its own rules."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from croco import import_published
from croco.errors import UserError
from croco.exchange import published_arena

QUESTIONS = 40


def write(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two languages; every tenth verdict cannot be read. `win_rate` by the published rule: ties half, unreadable left out."""
    rng = random.Random(0)
    for language in ("da", "en"):
        rows, preferences = [], []
        outputs: dict[str, list[dict[str, Any]]] = {"model": [], "reference": []}
        for i in range(QUESTIONS):
            verdict, swapped = rng.choice(["1", "2", "T"]) if i % 10 else None, rng.random() < 0.5
            texts = {"model": "x" * rng.randint(1, 50), "reference": "y" * rng.randint(1, 50)}
            for side, text in texts.items():
                common = {"question_id": f"q{i}", "prompt": "?", "generator": side, "subcategory": "s"}
                outputs[side].append({**common, "output": text, "category": "even" if i % 2 == 0 else "odd"})
            row = {"question_id": f"q{i}", "verdict": verdict, "is_swapped": swapped, "subcategory": "s"}
            row |= {"model_len": len(texts["model"]), "ref_len": len(texts["reference"]), "finish_reason": "stop"}
            rows.append(row if verdict else {**row, "raw_response": "hm"})
            if verdict:
                preferences.append(0.5 if verdict == "T" else float((verdict == "1") != swapped))
        for side, side_rows in outputs.items():
            write(tmp_path / side / f"{language}.json", side_rows)
        summary = {"language": language, "win_rate": sum(preferences) / len(preferences)}
        names = {"model_generator": "runs/tuned-x", "reference_generator": "base-y"}
        write(tmp_path / f"{language}_annotations.json", {**summary, **names, "annotations": rows})
    return tmp_path


def annotations(folder: Path) -> list[Path]:
    return sorted(folder.glob("*_annotations.json"))


def test_win_rates_are_those_of_the_published_rule(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = folder / "out"
    arguments = ["--annotations", *map(str, annotations(folder)), "--to", str(to)]
    assert import_published.main([*arguments, "--outputs", str(folder / "model"), str(folder / "reference")]) == 0
    summary = json.loads((to / "arena.json").read_text())
    rates = {row["language"]: row["rate"]["mean"] for row in summary["comparison"]}
    expected = {p.name[:2]: json.loads(p.read_text())["win_rate"] for p in annotations(folder)}
    assert rates == pytest.approx({**expected, "macro": sum(expected.values()) / 2})
    shown = capsys.readouterr().out
    assert "Arena: tuned-x against base-y" in shown
    by_category = next(t for t in summary["tables"] if t["title"] == "By category")
    assert [row[:2] for row in by_category["rows"]] == [["even", 20], ["odd", 20]]
    rows = pq.read_table(to / "verdicts.parquet").to_pylist()
    assert sum(row["winner"] is None for row in rows) == 2 * QUESTIONS // 10
    assert {row["text"] for row in rows if row["winner"] is None} == {"hm"}
    assert pq.read_table(to / "results.parquet").num_rows == 2 * QUESTIONS * 4


def test_other_outputs_than_the_judged_are_refused(folder: Path) -> None:
    path = folder / "model" / "da.json"
    rows = json.loads(path.read_text())
    rows[3]["output"] += "!"
    write(path, rows)
    with pytest.raises(UserError, match=r"da\.json: question q3: .* not the outputs that were judged"):
        published_arena.read(annotations(folder), (folder / "model", folder / "reference"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"verdict": "3"}, "annotation 2: verdict '3'"),
        ({"question_id": "q0"}, "annotation 2: question q0 is there twice"),
        ({"model_len": None}, "annotation 2: TypeError"),
    ],
)
def test_bad_annotations_are_named(folder: Path, change: dict[str, Any], says: str) -> None:
    path = annotations(folder)[0]
    data = json.loads(path.read_text())
    data["annotations"][1].update(change)
    write(path, data)
    with pytest.raises(UserError, match=f"{path.name}: {says}"):
        published_arena.read(annotations(folder))


def test_other_files_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = str(folder / "model" / "da.json")
    assert import_published.main(["--annotations", other, "--to", str(folder / "out")]) == 2
    assert "no `annotations` in it" in capsys.readouterr().err
    assert import_published.main(["--annotations", "/nowhere.json", "--to", str(folder / "out")]) == 2
    with pytest.raises(UserError, match="two of the files have one language"):
        published_arena.read([annotations(folder)[0]] * 2)
