"""Which instructions an answer follows, and what its text shows without any: language, repetition, length, ending.

Accuracy at prompt level is the share of answers that follow all their instructions, at instruction level IFEval's share of all
instructions that are followed. The second is a ratio over prompts of unequal size: a prompt's value is the number of its
instructions that are followed over the mean number of instructions of a prompt in its language, so that the mean over prompts is
that ratio, in every table and comparison. `average=prompts` gives every prompt the same weight instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from croco.artifacts.records import Generation, Prompt, Result
from croco.evals.checks import following
from croco.evals.comparing import base_and_tuned
from croco.language import fidelity
from croco.language.repetition import repeated_share
from croco.show.tables import Table

NAME = "checks"
LEVELS = ("prompt_strict", "prompt_loose", "instruction_strict", "instruction_loose")
PRIMARY = LEVELS[0]
AVERAGES = ("instructions", "prompts")
"""What the instruction level is a mean over."""
OVER = dict(zip(AVERAGES, ("over all instructions", "every prompt its own share, mean over prompts"), strict=True))
MEASURES = {
    "prompt_loose": "prompt loose",
    "instruction_strict": "instr. strict",
    "instruction_loose": "instr. loose",
    "language": "right language",
    "repetition": "repetition",
    "tokens": "tokens",
    "ended": "ended",
}


def grade(
    prompts: Mapping[tuple[str, str], Prompt],
    answers: Sequence[Generation],
    system: str,
    average: str = AVERAGES[0],
) -> Iterator[Result]:
    """The measurements of every answer; `followed_*` is one per instruction, whose id is its category."""
    asked = {key: json.loads(prompt.meta)["instructions"] for key, prompt in prompts.items()}
    sizes: dict[str, list[int]] = {}
    for (_, language), instructions in asked.items():
        sizes.setdefault(language, []).append(len(instructions))
    for answer in answers:
        instructions = asked[answer.prompt_id, answer.language]
        mean = sum(sizes[answer.language]) / len(sizes[answer.language])
        weight = len(instructions) / mean if mean and average == AVERAGES[0] else 1.0
        where = (NAME, system, answer.prompt_id, answer.language, answer.sample)
        followed = {"strict": following.follows, "loose": following.follows_loosely}
        for reading, follows in followed.items() if instructions else ():
            marks = [float(follows(answer.text, answer.language, i["id"], i["arguments"])) for i in instructions]
            yield Result(*where, f"prompt_{reading}", min(marks))
            yield Result(*where, f"instruction_{reading}", weight * sum(marks) / len(marks))
            for instruction, mark in zip(instructions, marks, strict=True):
                yield Result(*where, f"followed_{reading}", mark, instruction["id"])
        for metric, value in _without_instructions(answer, instructions).items():
            yield Result(*where, metric, value)


def _without_instructions(answer: Generation, instructions: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """The right language is the prompt's, or the one an instruction asks for."""
    asked = [i["arguments"]["language"] for i in instructions if i["id"] == "language:response_language"]
    text = answer.text.lower() if answer.text.isupper() else answer.text
    spoken = fidelity.spoken(asked[-1] if asked else answer.language, text)
    return {
        "language": None if spoken is None else float(spoken),
        "repetition": repeated_share(answer.text),
        "tokens": float(answer.tokens),
        "ended": float(answer.finish_reason == "stop"),
    }


def comparisons(
    results: pa.Table, languages: Sequence[str], resamples: int, confidence: float
) -> dict[str, list[base_and_tuned.Comparison]]:
    """Base against tuned by measure, PRIMARY first; a language none of whose answers could be told is left out of its own."""
    known = results.filter(pc.is_valid(results["value"]))
    found: dict[str, list[base_and_tuned.Comparison]] = {}
    for measure in (PRIMARY, *MEASURES):
        rows = known.filter(pc.equal(known["metric"], measure))
        systems = [rows.filter(pc.equal(rows["system"], system)).to_pylist() for system in base_and_tuned.SYSTEMS]
        pairs = set.intersection(*({(r["language"], r["prompt_id"]) for r in system} for system in systems))
        there = [language for language in languages if any(language == pair[0] for pair in pairs)]
        if there:
            shown = known if measure == PRIMARY else rows
            found[measure] = base_and_tuned.compare(shown, measure, there, resamples, confidence)
    return found


def tables(
    results: pa.Table,
    found: Mapping[str, Sequence[base_and_tuned.Comparison]],
    confidence: float,
    average: str = AVERAGES[0],
) -> list[Table]:
    """The primary comparison, the four accuracies, the other measures, and the instructions; without any the measures."""
    if PRIMARY not in found:
        return [_others(found, confidence, average)]
    return [
        base_and_tuned.table(
            "Prompts with every instruction followed (strict), base against tuned", found[PRIMARY], confidence
        ),
        _accuracies(results, average),
        _others(found, confidence, average),
        _instructions(results),
    ]


def _accuracies(results: pa.Table, average: str) -> Table:
    """IFEval's four figures by language."""
    means = _means(results, "language")
    columns = [
        (f"{level} {reading} {system}", f"{metric}_{reading}", system)
        for level, metric in (("prompt", "prompt"), ("instr.", "instruction"))
        for reading in ("strict", "loose")
        for system in base_and_tuned.SYSTEMS
    ]
    languages = list(dict.fromkeys(results["language"].to_pylist()))
    rows = [[lang, *(means.get((metric, system, lang)) for _, metric, system in columns)] for lang in languages]
    note = (
        f"Share of prompts with every instruction followed, and of instructions ({OVER[average]}); loose: also without the first "
        "or last line or asterisks."
    )
    return Table("Instruction following by language", ("language", *(head for head, _, _ in columns)), rows, note)


def _others(found: Mapping[str, Sequence[base_and_tuned.Comparison]], confidence: float, average: str) -> Table:
    rows = [
        [MEASURES[measure], r.language, r.prompts, r.base, r.tuned, r.difference, r.low, r.high, r.p]
        for measure, compared in found.items()
        if measure in MEASURES
        for r in compared
    ]
    heads = ("measure", "language", "prompts", "base", "tuned", "difference", "low", "high", "p")
    note = (
        f"Difference: tuned minus base with its {confidence:.0%} interval; p Holm-adjusted over the "
        f"languages of a measure. Instr.: {OVER[average]}; right language: the prompt's or the one asked for, of the answers "
        "of which it can be told for both; repetition: share of "
        "word 4-grams that occurred before in the answer; ended: share of answers the model ended itself."
    )
    return Table("Instruction following and form of the answers, base against tuned", heads, rows, note)


def _instructions(results: pa.Table) -> Table:
    means = _means(results, "category")
    counts = results.filter(pc.equal(results["metric"], "followed_strict")).group_by(["system", "category"])
    numbers = {
        (r["system"], r["category"]): r["value_count"] for r in counts.aggregate([("value", "count")]).to_pylist()
    }
    columns = [(reading, system) for reading in ("strict", "loose") for system in base_and_tuned.SYSTEMS]
    rows = [
        [name, numbers["base", name], *(means[f"followed_{reading}", system, name] for reading, system in columns)]
        for name in sorted({category for _, category in numbers})
    ]
    heads = ("instruction", "answers", *(f"{reading} {system}" for reading, system in columns))
    return Table("Instructions followed, all languages", heads, rows)


def _means(results: pa.Table, column: str) -> dict[tuple[str, str, str], float]:
    """(metric, system, value of the column) -> mean of the values there are."""
    grouped = results.group_by(["metric", "system", column]).aggregate([("value", "mean")]).to_pylist()
    return {(row["metric"], row["system"], row[column]): row["value_mean"] for row in grouped}
