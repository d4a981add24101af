"""The reference repository's files: written here in its layout, read, paired, and compared with the definition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from croco import import_published
from croco.config import languages
from croco.errors import UserError
from croco.exchange import published_pairs


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def _scored(prompt: str, answer: str, reward: float | None) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return {"id": None, "messages": messages, "reward_score": reward, "token_length": 12, "model": "rm"}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, list[Path]]:
    """Two languages, three prompts (two with the same Danish text), four answers each, in the order of generation."""
    rng = np.random.default_rng(0)
    prompts = {"da": ["Hej", "Hvad?", "Hej"], "english": ["Hi", "What?", "Hello"]}
    scored, originals = [], []
    for language, texts in prompts.items():
        rows = [_scored(t, f"{language} {p} {s}", float(rng.normal())) for p, t in enumerate(texts) for s in range(4)]
        scored.append(_write(tmp_path / f"dolci_{language}_scored.jsonl", rows))
        originals.append(
            _write(
                tmp_path / f"dolci_{language}.jsonl", [{"messages": [{"role": "user", "content": t}]} for t in texts]
            )
        )
    return {"scored": scored, "originals": originals}


def _run(files: dict[str, list[Path]], to: Path, *overrides: str) -> list[dict[str, Any]]:
    arguments = ["--scored", *map(str, files["scored"]), "--originals", *map(str, files["originals"]), "--to", str(to)]
    assert import_published.main([*arguments, *overrides]) == 0
    return pq.read_table(to / "pairs.parquet").to_pylist()


@pytest.mark.parametrize("scope", ["mono", "multi"])
def test_pairs_are_those_of_the_published_rule(files: dict[str, list[Path]], tmp_path: Path, scope: str) -> None:
    pools: dict[tuple[int, str], list[tuple[float, str]]] = {}
    for path in files["scored"]:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            language, prompt, _ = (answer := row["messages"][1]["content"]).split()
            pools.setdefault((int(prompt), language if scope == "mono" else ""), []).append(
                (row["reward_score"], answer)
            )
    expected = set()
    for pool in pools.values():
        scores = np.array([score for score, _ in pool])
        target = scores.mean() - 2 * scores.std()
        chosen = max(pool)
        rejected = min((p for p in pool if p[0] < chosen[0]), key=lambda p: abs(p[0] - target))
        expected.add((chosen[1], rejected[1]))
    rows = _run(files, tmp_path / "out", f"pairing={scope}")
    assert {(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in rows} == expected
    assert len(rows) == len(pools)
    assert (tmp_path / "out" / "report.json").is_file()


def test_prompts_with_the_same_text_stay_apart(files: dict[str, list[Path]], tmp_path: Path) -> None:
    rows = _run(files, tmp_path / "out")
    danish = [(r["prompt_id"], r["chosen"][0]["content"].split()[1]) for r in rows if r["language"] == "da"]
    assert danish == [("00000000", "0"), ("00000001", "1"), ("00000002", "2")]


def test_failed_and_foreign_rows_are_left_out_and_counted(files: dict[str, list[Path]], tmp_path: Path) -> None:
    """-999, null and NaN are no scores; an unknown prompt and an answer too many of an ambiguous text have no place."""
    extra = [_scored("Hvad?", "da 1 x", bad) for bad in (-999.0, None, float("nan"))]
    extra += [_scored("Unknown", "?", 1.0), _scored("Hej", "one too many", 1.0)]
    with files["scored"][0].open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in extra)
    originals = published_pairs.Originals(files["originals"])
    tables, left_out = published_pairs.read(files["scored"], originals, tmp_path / "tables")
    assert left_out == {"no such prompt": 1, "cannot be shared out among equal prompts": 9}
    rewards = pq.read_table(tables.scores[0])["reward"]
    assert (len(rewards), rewards.null_count) == (7, 3)


def test_published_pairs_become_a_pairs_table(tmp_path: Path) -> None:
    row = {
        "id": "x",
        "source_dataset": None,
        "domain": None,
        "prompt": "Hej",
        "prompt_language": "da",
        "chosen": "a",
        "rejected": "b",
        "chosen_score": 2.0,
        "rejected_score": 1.0,
        "chosen_language": "da",
        "rejected_language": "en",
        "pool_size": 128,
    }
    path = _write(tmp_path / "dpo_all_lang.jsonl", [row])
    assert import_published.main(["--pairs", str(path), "--to", str(tmp_path / "out")]) == 0
    (pair,) = pq.read_table(tmp_path / "out" / "pairs.parquet").to_pylist()
    assert (pair["prompt"][0]["content"], pair["chosen"][0]["content"], pair["pool_size"]) == ("Hej", "a", 128)
    assert pair["chosen_sample"] is None
    del row["chosen"]
    with pytest.raises(UserError, match=r"dpo_all_lang.jsonl:1: no column 'chosen'"):
        published_pairs.read_pairs(_write(path, [row]))


@pytest.mark.parametrize(
    ("name", "language"), [("da.jsonl", "da"), ("dolci_danish_scored.jsonl", "da"), ("x_Welsh.json", "cy")]
)
def test_languages_are_read_off_the_file_names(name: str, language: str) -> None:
    assert languages.language_of(Path(name)) == language


def test_an_unknown_language_and_a_missing_file_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--scored",
        "klingon_scored.jsonl",
        "--originals",
        str(tmp_path / "da.jsonl"),
        "--to",
        str(tmp_path / "out"),
    ]
    assert import_published.main(arguments) == 2
    assert "no such file" in capsys.readouterr().err
    with pytest.raises(UserError, match="'klingon'"):
        languages.language_of(Path("klingon_scored.jsonl"))
