"""The verifier's own marks of seventeen real models' answers, as they were published; skipped where they are not at hand."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from croco.evals.checks import following

REAL = Path(os.environ.get("CROCO_REAL_INPUTS", ""))
AGREEMENT = 0.99


def test_marks_are_the_published_ones() -> None:
    """English: 100 prompts, strict and loose. What is left is sentences, languages and quotation marks (the departures)."""
    pools, rows = REAL / "pools" / "mifeval_en.jsonl.gz", REAL / "prompts" / "ifeval" / "en.jsonl"
    if not pools.is_file() or not rows.is_file():
        pytest.skip("real inputs are not at hand (CROCO_REAL_INPUTS)")
    arguments = {r["id"].removeprefix("ifeval-"): r["kwargs"] for r in map(json.loads, rows.read_text().splitlines())}
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    with gzip.open(pools, "rt", encoding="utf-8") as lines:
        for pool in map(json.loads, lines):
            for candidate in pool["candidates"]:
                for number, instruction in enumerate(pool["instruction_id_list"]):
                    given = dict(enumerate(arguments[pool["id"]])).get(number) or {}
                    given = {name: value for name, value in given.items() if value is not None}
                    if not given.get("letter", "a").isalpha():
                        continue  # IFEval draws a letter at random in its place: the mark is another instruction's
                    for reading, follows in (("strict", following.follows), ("loose", following.follows_loosely)):
                        got = follows(candidate["response"] or "", "en", instruction, given)
                        (right if got == candidate[reading][number] else wrong)[following.kind(instruction)] += 1
    assert right.total() / (right.total() + wrong.total()) >= AGREEMENT
    departures = {
        "number_sentences",
        "response_language",
        "english_capital",
        "quotation",
        "number_highlighted_sections",
    }
    assert {kind.split(":")[1] for kind in wrong} <= departures
