"""Answers that somebody else's arena left: a JSON list of outputs for each language."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from croco.artifacts.records import Generation, Prompt
from croco.errors import UserError


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


def answers(folder: Path, prompts: Sequence[Prompt]) -> Iterator[Generation]:
    """The outputs of one language's questions as a model's answers; how long they are in tokens is not known, and 0.

    Raises:
        UserError: a question has no answer.
    """
    path = folder / f"{prompts[0].language}.json"
    rows = read_outputs(path)
    for p in prompts:
        row = rows.get(p.prompt_id)
        if row is None:
            raise UserError(
                f"{path}: no answer to question {p.prompt_id}; the arena's questions must be those answered"
            )
        model = str(row.get("generator") or "")
        yield Generation(p.prompt_id, p.language, 0, row["output"], [], "stop", 0, 0, 0, model, "")


def read_outputs(path: Path) -> dict[str, dict[str, Any]]:
    """question_id -> row (prompt, output, generator, category, subcategory) of one language's outputs.

    Raises:
        UserError: the file is no list of such rows, or a question is there twice.
    """
    rows = read_json(path)
    if not isinstance(rows, list):
        raise UserError(f"{path}: expected a list of outputs")
    found: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or row.get("question_id") is None or not isinstance(row.get("output"), str):
            raise UserError(f"{path}: row {number}: no `question_id` and `output`")
        if str(row["question_id"]) in found:
            raise UserError(f"{path}: row {number}: question {row['question_id']} is there twice")
        found[str(row["question_id"])] = row
    return found
