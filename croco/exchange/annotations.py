"""What other arenas' judges said: AlpacaEval's annotations and Arena-Hard's judgments; no model is asked.

AlpacaEval: a JSON list (or JSON lines) of `instruction, output_1, generator_1, output_2, generator_2, preference`; 1 prefers the
baseline, output 1, 2 the system, numbers between are graded, 1.5 (in old files 0) is a tie. Arena-Hard: JSON lines of
`question_id` (or `uid`), `model`, `games`: two games, the first with the baseline as A, the second with the system as A, each
with a `score` from A>>B to B>>A; texts come from its files of answers.

Departures: a game that is much better counts three times, as in Arena-Hard, but within its question, which is the unit here. A
row without a verdict is counted and left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.errors import UserError
from croco.prompts import rows

GAMES = {"A>>B": (1.0, 3), "A>B": (1.0, 1), "A=B": (0.5, 1), "B>A": (0.0, 1), "B>>A": (0.0, 3)}
"""Score of A, and how often the game counts."""
MIRRORED = {"A<<B": "B>>A", "A<B": "B>A", "B=A": "A=B", "B<A": "A>B", "B<<A": "A>>B"}
Texts = Mapping[tuple[str, str], str]
"""(model, question) -> answer."""


@dataclass(frozen=True)
class Judged:
    """One system's answer to one question, against the baseline's."""

    system: str
    baseline: str
    question: str
    language: str
    score: float
    """1: the system is better; the mean over orders."""
    texts: tuple[str, str] | None
    """The system's answer and the baseline's; None where no file has them."""


def read(files: Sequence[Path], answers: Sequence[Path] = (), dropped: Counter[str] | None = None) -> list[Judged]:
    """Every judged answer, one row per system, question and language.

    Args:
        answers: Arena-Hard's files of answers, for lengths and style.
        dropped: counts rows without a verdict.

    Raises:
        UserError: a file of another kind, several baselines, or a question judged twice; the message names the place.
    """
    dropped = Counter() if dropped is None else dropped
    texts = _texts(answers)
    found: dict[tuple[str, str, str], Judged] = {}
    for file in files:
        for place, row in rows.each(file, not_a_number=True):
            judged = _judged(place, row, texts, dropped)
            if judged is None:
                continue
            key = judged.system, judged.question, judged.language
            if key in found:
                raise UserError(f"{place}: {judged.system} was judged on this question before")
            found[key] = judged
    baselines = sorted({judged.baseline for judged in found.values()})
    if len(baselines) > 1:
        raise UserError(
            f"{files[0].parent}: judged against several baselines: {', '.join(baselines)}; give one's files"
        )
    return list(found.values())


def _judged(place: str, row: Mapping[str, Any], texts: Texts, dropped: Counter[str]) -> Judged | None:
    try:
        if "games" in row:
            return _arena_hard(row, texts, dropped)
        return _alpaca_eval(row, dropped)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{place}: neither an annotation of AlpacaEval nor a judgment of Arena-Hard ({type(error).__name__}: {error})"
        ) from None


def _alpaca_eval(row: Mapping[str, Any], dropped: Counter[str]) -> Judged | None:
    preference = row["preference"]
    texts = str(row["output_2"]), str(row["output_1"])
    if preference is None or preference != preference:
        dropped["without a preference"] += 1
        return None
    score = (float(preference) or 1.5) - 1
    if not 0 <= score <= 1:
        raise ValueError(f"preference {preference} does not lie in [1, 2]")
    question, language = str(row.get("index", row["instruction"])), str(row.get("language") or "")
    return Judged(str(row["generator_2"]), str(row["generator_1"]), question, language, score, texts)


def _arena_hard(row: Mapping[str, Any], texts: Texts, dropped: Counter[str]) -> Judged | None:
    question, system = str(row["uid"] if "uid" in row else row["question_id"]), str(row["model"])
    baseline = str(row.get("baseline") or "baseline")
    total = weight = 0.0
    for number, game in enumerate(row["games"]):
        said = game.get("score") if game else None
        label = MIRRORED.get(str(said), str(said))
        if label not in GAMES:
            dropped["games without a verdict"] += 1
            continue
        of_a, count = GAMES[label]
        total += count * (of_a if number % 2 else 1 - of_a)
        weight += count
    if not weight:
        return None
    both = texts.get((system, question)), texts.get((baseline, question))
    shown = (both[0], both[1]) if both[0] is not None and both[1] is not None else None
    return Judged(system, baseline, question, str(row.get("language") or ""), total / weight, shown)


def _texts(files: Sequence[Path]) -> dict[tuple[str, str], str]:
    """Arena-Hard's answers, in the layouts of its versions 0.1 (`choices`) and 2 (`messages`)."""
    found = {}
    for file in files:
        for place, row in rows.each(file):
            try:
                question = str(row["uid"] if "uid" in row else row["question_id"])
                if "messages" in row:
                    content = row["messages"][-1]["content"]
                    model, text = row["model"], content["answer"] if isinstance(content, dict) else content
                else:
                    model, text = row["model_id"], row["choices"][0]["turns"][0]["content"]
            except (KeyError, TypeError, IndexError) as error:
                raise UserError(f"{place}: no answer of Arena-Hard ({type(error).__name__}: {error})") from None
            found[str(model), question] = str(text)
    return found


def parts(path: Path) -> tuple[dict[str, float], list[dict[str, float]]]:
    """AlpacaEval's `df_gamed.csv`: (difficulty by question, the gamed systems' rows).

    Raises:
        UserError: no such file, or other columns.
    """
    import csv

    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
        difficulty = {str(int(float(row["index"]))): float(row["instruction_difficulty"]) for row in rows}
        gamed = [
            {name: float(row[name]) for name in ("preference", "std_delta_len", "instruction_difficulty")}
            for row in rows
            if row.get("preference")
        ]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{path}: expected the columns index, instruction_difficulty, preference, std_delta_len ({error})"
        ) from None
    return difficulty, gamed
