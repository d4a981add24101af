"""Ready-made data as they come: which rows are pairs and answers, what is counted, what stops."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from croco.config import DataConfig, languages
from croco.errors import UserError
from croco.exchange import formats
from croco.prompts import ready, rows
from croco.prompts.ready import ReadyAnswer, ReadyPair

REAL = Path(__file__).parents[3] / "shared" / "real" / "preferences"
USER = [{"role": "user", "content": "Why?"}]
PAIR = {"prompt": "Why?", "chosen": "So.", "rejected": "No.", "language": "en"}


def config(path: Path, kind: str = "pairs", **changed: Any) -> DataConfig:
    said = {"name": None, "hub_split": "train", "revision": None, "language": None, "prompts": None}
    return DataConfig(**{"kind": kind, "path": str(path), "heldout": 1, "seed": 1, **said, **changed})


def written(file: Path, given: list[Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    return file


def read(
    path: Path, kind: str = "pairs", wanted: tuple[str, ...] = ("en", "da"), **changed: Any
) -> tuple[list[Any], Any]:
    counts: Counter[str] = Counter()
    return list(ready.read(config(path, kind, **changed), list(wanted), counts)), dict(counts)


@pytest.mark.parametrize(
    "row",
    [
        PAIR,
        {**PAIR, "prompt": USER, "chosen": [{"role": "assistant", "content": "So."}]},
        {**PAIR, "prompt": USER, "chosen": {"role": "assistant", "content": [{"type": "text", "text": "So."}]}},
        {
            "language": "EN",
            "chosen": [*USER, {"role": "assistant", "content": "So."}],
            "rejected": [*USER, {"role": "assistant", "content": "No."}],
        },
        {
            "language": "eng_Latn",
            "conversations": [{"from": "human", "value": "Why?"}],
            "chosen": {"from": "gpt", "value": "So."},
            "rejected": {"from": "gpt", "value": "No."},
        },
        {**PAIR, "language": None, "prompt_language": "en-GB"},
        {"messages": USER, "chosen": {"role": "assistant", "content": "So."}, "rejected": "No.", "lang": "English"},
    ],
)
def test_one_comparison_in_the_fields_formats(row: dict[str, Any], tmp_path: Path) -> None:
    """Explicit and implicit prompts, texts and turns, parts, sharegpt; every spelling of English."""
    (pair,), counts = read(written(tmp_path / "x.jsonl", [row]))
    assert (pair.language, pair.messages, pair.chosen, pair.rejected) == ("en", USER, "So.", "No.")
    assert (pair.chosen_score, counts) == (None, {})


@pytest.mark.parametrize("name", [n for n in formats.FORMATS if n != "trl_sft"])
def test_what_export_writes_is_read(name: str, tmp_path: Path) -> None:
    answer = lambda text: [{"role": "assistant", "content": text}]  # noqa: E731
    pair = {
        "prompt_id": "q",
        "language": "da",
        "prompt": USER,
        "chosen": answer("So."),
        "rejected": answer("No."),
        "chosen_language": "da",
        "rejected_language": "en",
        "chosen_score": 2.0,
        "rejected_score": 1.0,
        "pool_size": 4,
    }
    pq.write_table(pa.Table.from_pylist([pair]), tmp_path / "pairs.parquet")
    formats.export(tmp_path, name, tmp_path / "out" / "x.jsonl")
    (read_pair,), _ = read(tmp_path / "out" / "x.jsonl")
    assert read_pair == ReadyPair("q", "da", USER, "So.", "No.", "da", "en", 2.0, 1.0)


def test_packings_and_tables_hold_the_same(tmp_path: Path) -> None:
    line = (json.dumps(PAIR) + "\n").encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(line))
    with pa.CompressedOutputStream(str(tmp_path / "b.jsonl.zst"), "zstd") as out:
        out.write(line)
    (tmp_path / "c.json").write_text(json.dumps([PAIR]))
    table = pa.Table.from_pylist([PAIR])
    pq.write_table(table, tmp_path / "d.parquet")
    for name, new in (("e.arrow", pa.ipc.new_file), ("f.arrow", pa.ipc.new_stream)):
        with pa.OSFile(str(tmp_path / name), "wb") as sink, new(sink, table.schema) as writer:
            writer.write_table(table)
    (tmp_path / "dataset_info.json").write_text("{}")
    pairs, counts = read(tmp_path)
    assert [p.chosen for p in pairs] == ["So."] * 6
    assert not counts
    assert len(rows.digests(tmp_path, "data.path")) == 6


def test_what_is_no_pair_is_counted_and_one_broken_row_in_two_hundred_too(tmp_path: Path) -> None:
    some = [{**PAIR, "prompt": f"Why {n}?"} for n in range(200)]
    odd = [{**PAIR, "prompt": None}, {**PAIR, "prompt": ""}, {**PAIR, "rejected": " "}, {**PAIR, "tie": True}]
    file = written(tmp_path / "x.jsonl", [*some, *odd, {**PAIR, "language": "de"}])
    with file.open("a") as lines:
        lines.write("{broken\n")
    pairs, counts = read(file)
    assert len(pairs) == 200
    (place,) = [reason for reason in counts if "cannot be read" in reason]
    assert f"{file}:206: not valid JSON" in place
    del counts[place]
    assert counts == {"empty prompt": 2, "empty rejected": 1, "tie": 1, "in de, which is none of lang.languages": 1}
    with file.open("a") as lines:
        lines.write("{broken\n" * 2)
    with pytest.raises(UserError, match=r":206: not valid JSON .*\(one of 3 such rows of 208\)"):
        read(file)


def test_languages_by_column_file_setting_and_run(tmp_path: Path) -> None:
    row = {name: PAIR[name] for name in ("prompt", "chosen", "rejected")}
    assert read(written(tmp_path / "pairs_da.jsonl", [row]))[0][0].language == "da"
    plain = written(tmp_path / "x.jsonl", [row])
    assert read(plain, language="da")[0][0].language == "da"
    assert read(plain, wanted=("en",))[0][0].language == "en"
    with pytest.raises(UserError, match=r"x\.jsonl:1: no language: give a `language` column"):
        read(plain)


def test_answers_one_a_row_or_many_with_rewards_beside_or_inside(tmp_path: Path) -> None:
    given = [
        {"id": "a", "language": "en", "prompt": "Why?", "responses": ["x", "y"], "scores": [1, 2.5]},
        {"id": "b", "language": "en", "prompt": "How?", "completions": [{"response": "z", "overall_score": 3}]},
        {"id": "c", "lang": "en", "messages": [*USER, {"role": "assistant", "content": "w"}], "reward_score": -999},
        {"id": "d", "language": "en", "instruction": "Who?", "output": "v", "score": None, "finish_reason": "length"},
    ]
    found, counts = read(written(tmp_path / "x.jsonl", given), "scores")
    assert all(isinstance(one, ReadyAnswer) for one in found)
    told = [(a.prompt_id, a.sample, a.text, a.reward, a.finish_reason) for a in found]
    assert told == [
        ("a", 0, "x", 1.0, "unknown"),
        ("a", 1, "y", 2.5, "unknown"),
        ("b", 0, "z", 3.0, "unknown"),
        ("a", 2, "w", None, "unknown"),  # the same words: the same prompt
        ("d", 0, "v", None, "length"),
    ]
    assert not counts


def test_an_id_that_names_no_prompt_is_not_taken_for_one(tmp_path: Path) -> None:
    pairs, _ = read(written(tmp_path / "x.jsonl", [{**PAIR, "id": "1"}, {**PAIR, "id": "1", "prompt": "How?"}]))
    assert pairs[0].prompt_id == "1"
    assert pairs[1].prompt_id not in ("1", None)


@pytest.mark.parametrize(
    ("word", "means"),
    [("EN", "en"), ("en-GB", "en"), ("eng_Latn", "en"), ("English", "en"), ("nob_Latn", "no"), ("dansk", "da")],
)
def test_words_for_languages(word: str, means: str) -> None:
    assert languages.of_word(word) == means
    assert languages.of_word("no_robots") is None


@pytest.mark.skipif(not REAL.is_dir(), reason="real preferences are not here")
def test_real_preferences() -> None:
    """1,997 rows of five files (see their README): one has an empty side, one equal sides."""
    pairs, counts = read(REAL, wanted=("en", "es", "fr"))
    assert Counter(p.language for p in pairs) == {"en": 1686, "es": 98, "fr": 211}
    assert counts == {"empty rejected": 1, "equal sides": 1}
