"""Accuracies of answers that were counted by hand, and their tables."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from croco.artifacts import records
from croco.artifacts.records import Generation, Prompt, Result
from croco.evals.checks import score

COMMA = {"id": "punctuation:no_comma", "arguments": {}}
BULLETS = {"id": "detectable_format:number_bullet_lists", "arguments": {"num_bullets": 1}}
DANISH = "Jeg kan godt lide at læse bøger om aftenen når børnene er lagt i seng"


def prompt(name: str, *instructions: dict[str, object]) -> Prompt:
    return Prompt(
        name, "da", [{"role": "user", "content": "?"}], "checks", meta=json.dumps({"instructions": instructions})
    )


def answer(name: str, text: str, ended: bool = True) -> Generation:
    return Generation(name, "da", 0, text, [1] * 5, "stop" if ended else "length", 3, 5, 0, "m", "")


PROMPTS = {(p.prompt_id, p.language): p for p in (prompt("a", COMMA), prompt("b", COMMA, BULLETS))}
BASE = [answer("a", "ja, tak"), answer("b", "ja", ended=False)]
TUNED = [answer("a", DANISH), answer("b", "ja, her:\n* ja")]


@pytest.fixture(scope="module")
def results() -> pa.Table:
    rows = [*score.grade(PROMPTS, BASE, "base"), *score.grade(PROMPTS, TUNED, "tuned")]
    return pa.Table.from_pylist([records.as_dict(r) for r in rows], schema=records.schema(Result))


def test_values_by_hand(results: pa.Table) -> None:
    """Of 1 and 2 instructions, 1.5 on average, each followed one counts 1 / 1.5.

    base a: comma, neither reading. base b: no comma, no bullet: 1 of 2. tuned a: all. tuned b: strictly the bullet only; without
    its first line both."""
    values = {(r["system"], r["prompt_id"], r["metric"]): r["value"] for r in results.to_pylist() if not r["category"]}
    assert [values["base", p, "prompt_strict"] for p in "ab"] == [0, 0]
    assert [values["base", p, "instruction_strict"] for p in "ab"] == pytest.approx([0, 1 / 1.5])
    assert [values["tuned", p, "prompt_strict"] for p in "ab"] == [1, 0]
    assert [values["tuned", p, "instruction_strict"] for p in "ab"] == pytest.approx([1 / 1.5, 1 / 1.5])
    assert [values["tuned", p, "prompt_loose"] for p in "ab"] == [1, 1]
    assert values["tuned", "a", "language"] == 1
    assert values["base", "b", "language"] is None  # two letters tell no language
    assert [values["base", p, "ended"] for p in "ab"] == [1, 0]


def test_one_number_per_thing(results: pa.Table) -> None:
    """Instruction accuracy of the tables by language and of the comparison are one: 1 of 3 and 2 of 3. The switch gives every
    prompt one weight: (0 + 1/2) / 2 and (1 + 1/2) / 2."""
    found = score.comparisons(results, ["da"], 50, 0.95)
    _, accuracies, others, _ = score.tables(results, found, 0.95)
    by_head = dict(zip(accuracies.columns, accuracies.rows[0], strict=True))
    row = next(row for row in others.rows if row[:2] == ["instr. strict", "da"])
    assert (row[3], row[4]) == pytest.approx((by_head["instr. strict base"], by_head["instr. strict tuned"]))
    assert (row[3], row[4]) == pytest.approx((1 / 3, 2 / 3))
    rows = [*score.grade(PROMPTS, BASE, "base", "prompts"), *score.grade(PROMPTS, TUNED, "tuned", "prompts")]
    table = pa.Table.from_pylist([records.as_dict(r) for r in rows], schema=records.schema(Result))
    found = score.comparisons(table, ["da"], 50, 0.95)
    means = found["instruction_strict"][0]
    assert (means.base, means.tuned) == (0.25, 0.75)
    _, accuracies, others, _ = score.tables(table, found, 0.95, "prompts")
    by_head = dict(zip(accuracies.columns, accuracies.rows[0], strict=True))
    assert (by_head["instr. strict base"], by_head["instr. strict tuned"]) == (0.25, 0.75)
    assert all("every prompt its own share" in shown.note for shown in (accuracies, others))


def test_the_right_language_is_one_number() -> None:
    """The column beside the accuracies and the measure's own row: of three prompts one is told for both."""
    prompts = {(p.prompt_id, p.language): p for p in (prompt("a", COMMA), prompt("b", COMMA), prompt("c", COMMA))}
    base = [answer("a", DANISH), answer("b", "ja"), answer("c", DANISH)]
    tuned = [
        answer("a", "I like to read books in the evening when the children sleep"),
        answer("b", DANISH),
        answer("c", "ja"),
    ]
    rows = [*score.grade(prompts, base, "base"), *score.grade(prompts, tuned, "tuned")]
    table = pa.Table.from_pylist([records.as_dict(r) for r in rows], schema=records.schema(Result))
    found = score.comparisons(table, ["da"], 50, 0.95)
    beside, own = found["prompt_strict"][0], found["language"][0]
    assert (beside.fidelity_base, beside.fidelity_tuned) == (own.base, own.tuned) == (1.0, 0.0)


def test_tables(results: pa.Table) -> None:
    """Instruction level pools instructions: base follows 1 of 3 strictly, tuned 2 of 3; loosely tuned follows all."""
    found = score.comparisons(results, ["da"], 50, 0.95)
    assert (found["prompt_strict"][0].base, found["prompt_strict"][0].tuned) == (0, 0.5)
    assert found["ended"][0].difference == 0.5
    assert "language" not in found  # no prompt whose language both systems' answers show
    _, accuracies, others, instructions = score.tables(results, found, 0.95)
    da = dict(zip(accuracies.columns, accuracies.rows[0], strict=True))
    assert da["instr. strict base"] == pytest.approx(1 / 3)
    assert da["instr. strict tuned"] == pytest.approx(2 / 3)
    assert da["instr. loose tuned"] == 1
    assert {row[0] for row in others.rows} == set(score.MEASURES.values()) - {"right language"}
    assert instructions.rows == [
        ["detectable_format:number_bullet_lists", 1, 0, 1, 0, 1],
        ["punctuation:no_comma", 2, 0.5, 0.5, 0.5, 1],
    ]


def test_the_language_that_was_asked_for_is_the_right_one() -> None:
    """A Danish prompt that asks for English."""
    english = {"id": "language:response_language", "arguments": {"language": "en"}}
    text = "I like to read books in the evening when the children have gone to bed"
    (value,) = [
        r.value
        for r in score.grade({("c", "da"): prompt("c", english)}, [answer("c", text)], "base")
        if r.metric == "language"
    ]
    assert value == 1
