"""The arena of the reference repository: what its judge said (`da_annotations.json`) and the outputs it judged (`da.json`).

Departures:
1. A tie is half a win here, whatever its `tie_handling` made of it; an unreadable verdict is counted, and stays.
2. Annotations name a subcategory only; the category comes from the outputs, where they are given.
3. They keep the judge's text of unreadable verdicts alone; the others' is empty here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.artifacts.records import Verdict
from croco.config.languages import language_of
from croco.errors import UserError
from croco.evals.arena import judging
from croco.evals.arena.outputs import read_json, read_outputs

MARKS = ("1", "2", "T", None)
JUDGE = "published"


@dataclass(frozen=True)
class Published:
    """What a folder of annotations says."""

    verdicts: list[Verdict]
    languages: list[str]
    candidate: str
    opponent: str


def read(files: Sequence[Path], outputs: tuple[Path, Path] | None = None) -> Published:
    """Annotations of several languages, one file each.

    Args:
        outputs: folders of the outputs that were judged, the model's and the reference's, for the categories; their lengths
            must be the annotations'.

    Raises:
        UserError: a file is not of that kind, a question is there twice, or the outputs are others; the message names the file.
    """
    read_files = [(path, _object(path)) for path in files]
    languages = [language_of(path.with_name(f"{data.get('language')}.json")) for path, data in read_files]
    if len(set(languages)) < len(languages):
        raise UserError(f"{files[0].parent}: two of the files have one language ({', '.join(languages)})")
    verdicts = []
    for (path, data), language in zip(read_files, languages, strict=True):
        rows = _verdicts(path, data, language)
        verdicts += _with_categories(rows, outputs, language) if outputs else rows
    candidate, opponent = (_name(read_files[0][1], key) for key in ("model_generator", "reference_generator"))
    return Published(verdicts, languages, candidate, opponent if opponent != candidate else f"{opponent} (reference)")


def _object(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("annotations"), list):
        raise UserError(f"{path}: no `annotations` in it; give the *_annotations.json files, one per language")
    return data


def _name(data: Mapping[str, Any], key: str) -> str:
    return Path(str(data.get(key) or key.removesuffix("_generator"))).name


def _verdicts(path: Path, data: Mapping[str, Any], language: str) -> list[Verdict]:
    found: dict[str, Verdict] = {}
    for number, row in enumerate(data["annotations"], start=1):
        place = f"{path}: annotation {number}"
        try:
            mark, identity = row["verdict"], str(row["question_id"])
            order = judging.OPPONENT_FIRST if row["is_swapped"] else judging.CANDIDATE_FIRST
            lengths = int(row["model_len"]), int(row["ref_len"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{place}: {type(error).__name__}: {error}") from None
        if mark not in MARKS:
            raise UserError(f"{place}: verdict {mark!r} is none of 1, 2, T and null")
        if identity in found:
            raise UserError(f"{place}: question {identity} is there twice")
        found[identity] = Verdict(
            prompt_id=identity,
            language=language,
            order=order,
            winner=judging.winner(mark, order),
            text=str(row.get("raw_response") or ""),
            finish_reason=str(row.get("finish_reason") or ""),
            truncated=False,
            candidate_characters=lengths[0],
            opponent_characters=lengths[1],
            category="",
            subcategory=str(row.get("subcategory") or ""),
            judge=JUDGE,
            seed=0,
        )
    return list(found.values())


def _with_categories(rows: Sequence[Verdict], outputs: tuple[Path, Path], language: str) -> list[Verdict]:
    files = [folder / f"{language}.json" for folder in outputs]
    ours, theirs = (read_outputs(file) for file in files)
    found = []
    for row in rows:
        for file, side, characters in (
            (files[0], ours, row.candidate_characters),
            (files[1], theirs, row.opponent_characters),
        ):
            there = side.get(row.prompt_id)
            if there is None or len(there["output"]) != characters:
                said = (
                    "no such question" if there is None else f"{len(there['output'])} characters, {characters} judged"
                )
                raise UserError(f"{file}: question {row.prompt_id}: {said}; these are not the outputs that were judged")
        found.append(dataclasses.replace(row, category=str(ours[row.prompt_id].get("category") or "")))
    return found
