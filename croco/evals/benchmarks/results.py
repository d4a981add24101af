"""EuroEval's result file, in both of its schemas: the flat one up to 16.x, and Every Eval Ever from 17.0 on.

Read are the raw scores of the iterations, of every metric that the row sums up in its totals, in the totals' unit: EuroEval keeps
some metrics raw in [0, 1] (MCC, accuracy, BERTScore) and others in [0, 100] (F1 and exact match of SQuAD, chrF, SARI), and sums
up all in [0, 100]. What has no total (loss, seconds, failed instances) is no metric. The totals' confidence interval is not
used: it is 1.96 sd / sqrt(iterations), which shrinks to nothing with more iterations on the same test set.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from croco.errors import UserError
from croco.prompts import rows

FILE = "euroeval_benchmark_results.jsonl"
SCALES = (1.0, 100.0)
"""What EuroEval multiplies the mean of the iterations by."""
AGREES = 1e-9  # relative to the total
HALF_WIDTH = 1.96
NORWEGIAN = {"no", "nb", "nn"}


@dataclass(frozen=True)
class Measured:
    """One data set's scores of one model."""

    model: str
    dataset: str
    task: str
    languages: tuple[str, ...]
    """EuroEval's codes."""
    scores: Mapping[str, tuple[float, ...]]
    """Metric -> scores of the bootstrap samples of the test set, which are the same for every model, in the totals' unit; the
    task's first metric, by which EuroEval ranks, comes first."""
    few_shot: bool | None
    validation: bool | None
    """On the validation split, not the test split."""
    version: str | None
    """EuroEval's."""

    @property
    def metric(self) -> str:
        """The task's first."""
        return next(iter(self.scores))

    @property
    def iterations(self) -> tuple[float, ...]:
        """Of the first metric."""
        return self.scores[self.metric]

    @property
    def language(self) -> str:
        """One for the row: Bokmål and Nynorsk are Norwegian, a variety (`pt-pt`) is its language."""
        if NORWEGIAN & set(self.languages):
            return "no"
        return min(self.languages, key=len, default="")

    @property
    def setup(self) -> tuple[str, bool | None, bool | None]:
        """What two models' scores must have in common: data set, shots, split."""
        return self.dataset, self.few_shot, self.validation


def read(file: Path) -> list[Measured]:
    """Every row; of a data set that was measured twice in the same way the last.

    Raises:
        UserError: no file, or a row that has neither schema, or whose totals are not those of its iterations, with file and line.
    """
    found: dict[tuple[object, ...], Measured] = {}
    for place, row in rows.each(file, not_a_number=True):
        try:
            measured = _every_eval_ever(row) if "schema_version" in row else _flat(row)
        except (KeyError, TypeError, ValueError, IndexError, StopIteration) as error:
            raise UserError(f"{place}: not a result of EuroEval ({type(error).__name__}: {error})") from None
        found[measured.model, *measured.setup] = measured
    return list(found.values())


def _flat(row: Mapping[str, Any]) -> Measured:
    totals = row["results"]["total"]
    halves = {name: totals.get(f"{name}_se") for name in totals}
    metrics = {name: total for name, total in totals.items() if not name.endswith("_se")}
    return Measured(
        row["model"],
        row["dataset"],
        row["task"],
        _codes(row.get("languages", row.get("dataset_languages", ()))),
        _scores(row["results"]["raw"], metrics, halves),
        row.get("few_shot"),
        row.get("validation_split"),
        row.get("euroeval_version"),
    )


def _every_eval_ever(row: Mapping[str, Any]) -> Measured:
    """Numbers, lists and truth values of the details are strings of JSON."""
    details = row["eval_library"]["additional_details"]
    info = row["model_info"]
    metrics, halves = {}, {}
    for result in row["evaluation_results"]:
        told = result["score_details"]
        interval = (told.get("uncertainty") or {}).get("confidence_interval")
        metrics[result["evaluation_name"]] = told["score"]
        halves[result["evaluation_name"]] = (interval["upper"] - interval["lower"]) / 2 if interval else None
    return Measured(
        info.get("name") or info["id"],
        details.get("dataset") or row["evaluation_results"][0]["source_data"]["dataset_name"],
        details["task"],
        _codes(details.get("languages") or ()),
        _scores(json.loads(details["raw_results"]), metrics, halves),
        _truth(details.get("few_shot")),
        _truth(details.get("validation_split")),
        row["eval_library"].get("version"),
    )


def _codes(said: str | Iterable[str]) -> tuple[str, ...]:
    if isinstance(said, str):
        said = json.loads(said) if said.startswith("[") else [said]
    return tuple(said)


def _truth(said: str | bool | None) -> bool | None:
    return said == "true" if isinstance(said, str) else said


def _scores(
    raw: list[dict[str, Any]] | dict[str, list[dict[str, Any]]],
    totals: Mapping[str, float],
    halves: Mapping[str, float | None],
) -> dict[str, tuple[float, ...]]:
    """Of every metric that has a total, in the order of the totals."""
    iterations = raw["test"] if isinstance(raw, dict) else raw
    plain = [{name.removeprefix("test_"): value for name, value in one.items()} for one in iterations]
    found = {}
    for name, total in totals.items():
        metric = name.removeprefix("test_")
        if metric not in plain[0]:
            continue  # a count of failures, not a score
        values = [one[metric] for one in plain]
        scale = _scale(metric, values, float(total), halves.get(name))
        found[metric] = tuple(scale * float(value) for value in values)
    if not found:
        raise ValueError("no metric has a total")
    return found


def _scale(metric: str, values: Sequence[float], total: float, half: float | None) -> float:
    """By which the iterations become the row's own total; where that is 0 or unknown, its interval says it.

    Raises:
        ValueError: the total is another number.
    """
    # From 17.0 on integers are left out of the mean.
    for counted in (values, [value for value in values if isinstance(value, float)]):
        if not counted or not math.isfinite(total):
            continue
        mean = float(np.mean(counted))
        fits = [scale for scale in SCALES if _same(scale * mean, total)]
        if len(fits) > 1 and half is not None and math.isfinite(half) and len(counted) > 1:
            spread = HALF_WIDTH * float(np.std(counted, ddof=1)) / math.sqrt(len(counted))
            fits = sorted(fits, key=lambda scale: abs(scale * spread - half))
        if fits:
            return fits[0]
    if not math.isfinite(total):
        return 1.0  # not defined on this data set
    raise ValueError(
        f"the total of {metric} is {total}, which its iterations ({np.mean(values)} on average) do not give"
    )


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= AGREES * max(1.0, abs(other))
