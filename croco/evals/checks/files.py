"""Answers of any two systems, from files, to prompts of a file: what a rule can check, and what a text shows by itself.

Prompts are in IFEval's format (prompts.read), or rows of `prompt` without instructions. Answers are JSON lines that name their
prompt by the same `id` (`key`, `prompt_id`, `question_id`), or by its text (`prompt`), as IFEval's own response files do; several
answers to a prompt are its samples.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from croco.artifacts import records
from croco.artifacts.records import Generation, Prompt, Result
from croco.config.languages import of_word
from croco.errors import UserError
from croco.evals.checks import prompts as asked
from croco.evals.checks import score
from croco.evals.comparing import base_and_tuned
from croco.prompts import rows

IDS = ("prompt_id", "id", "key", "question_id")
TEXTS = ("response", "answer", "output", "text", "completion")
UNKNOWN = ("tokens", "ended")
"""What a text does not say of itself."""


def read_prompts(file: Path, languages: Sequence[str] | None, refused: list[str]) -> list[Prompt]:
    """The prompts, of all languages or of some; without instructions where the file has none.

    Raises:
        UserError: no prompt can be used.
    """
    placed = list(rows.each(file))
    known = [asked.language_of(row, file) for _, row in placed]
    wanted = list(languages or dict.fromkeys(known))
    if any("instruction_id_list" in row for _, row in placed):
        found = list(asked.read(file, wanted, refused))
    else:
        found = [
            Prompt(
                str(_first(row, IDS, place)),
                language,
                _asks(row),
                asked.SPLIT,
                meta='{"instructions": []}',
            )
            for (place, row), language in zip(placed, known, strict=True)
            if language in wanted and row.get("prompt")
        ]
    if not found:
        raise UserError(f"{file}: no prompt to be used" + (f"; {refused[0]}" if refused else ""))
    return found


def _asks(row: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"role": "user", "content": str(row["prompt"])}]


def _first(row: Mapping[str, Any], names: Sequence[str], place: str) -> Any:
    found = next((row[name] for name in names if row.get(name) is not None), None)
    if found is None:
        raise UserError(f"{place}: none of {', '.join(names)}; the row has {', '.join(sorted(row)) or 'nothing'}")
    return found


def read_answers(file: Path, prompts: Sequence[Prompt]) -> list[Generation]:
    """The answers to these prompts; others are left alone.

    Raises:
        UserError: a row without a text or a prompt, with file and line; or not one answer to any of the prompts.
    """
    by_id = {(_bare(p), p.language): p for p in prompts}
    by_text: dict[str, list[Prompt]] = {}
    for p in prompts:
        by_text.setdefault(p.messages[-1]["content"].strip(), []).append(p)
    languages = {p.language for p in prompts}
    counts: dict[tuple[str, str], int] = {}
    found = []
    for place, row in rows.each(file):
        text = str(_first(row, TEXTS, place))
        named = _first(row, (*IDS, "prompt"), place)
        said = row.get("language") or row.get("lang") or (next(iter(languages)) if len(languages) == 1 else None)
        said = said and (of_word(str(said), text) or said)
        prompt = by_id.get((str(named), str(said)))
        if prompt is None:
            alike = [p for p in by_text.get(str(row.get("prompt") or "").strip(), []) if said in (None, p.language)]
            prompt = alike[0] if len(alike) == 1 else None
        if prompt is None:
            continue
        key = prompt.prompt_id, prompt.language
        sample = counts.get(key, 0)
        counts[key] = sample + 1
        found.append(Generation(*key, sample, text, [], "stop", 0, 0, 0, file.stem, ""))
    if not found:
        raise UserError(f"{file}: no answer to any of the prompts; rows name them by {', '.join(IDS)} or `prompt`")
    return found


def _bare(prompt: Prompt) -> str:
    """The id as the file has it."""
    own = f"ifeval-{prompt.language}-"
    return prompt.prompt_id.removeprefix(own).removeprefix("ifeval-")


def results(
    prompts: Sequence[Prompt], base: Sequence[Generation], tuned: Sequence[Generation], average: str
) -> pa.Table:
    """Rows of records.Result of both systems, without what a text does not say."""
    by_key = {(p.prompt_id, p.language): p for p in prompts}
    graded = [
        records.as_dict(row)
        for system, answers in zip(base_and_tuned.SYSTEMS, (base, tuned), strict=True)
        for row in score.grade(by_key, answers, system, average)
        if row.metric not in UNKNOWN
    ]
    return pa.Table.from_pylist(graded, schema=records.schema(Result))


def has_instructions(prompts: Sequence[Prompt]) -> bool:
    """Whether a rule can check any of the prompts' answers."""
    return any(json.loads(p.meta)["instructions"] for p in prompts)
