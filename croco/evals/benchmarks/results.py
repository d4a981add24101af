"""EuroEval's result file, in both of its schemas: the flat one up to 16.x, and Every Eval Ever from 17.0 on.

Read are the raw scores of the iterations. The totals' confidence interval is not: it is 1.96 sd / sqrt(iterations), which
shrinks to nothing with more iterations on the same test set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.errors import UserError

FILE = "euroeval_benchmark_results.jsonl"
PRIMARY = ("mcc", "micro_f1_no_misc", "instruction_accuracy", "f1", "bertscore")
"""A task's first metric, by which EuroEval ranks; what has none of these is compared by the first it names."""


@dataclass(frozen=True)
class Measured:
    """One data set's scores of one model."""

    model: str
    dataset: str
    task: str
    metric: str
    iterations: tuple[float, ...]
    """Scores in [0, 100] of the bootstrap samples of the test set, which are the same for every model."""
    version: str | None
    """EuroEval's."""


def read(file: Path) -> list[Measured]:
    """Every row; of a data set that was measured twice the last.

    Raises:
        UserError: no file, or a row that has neither schema, with file and line.
    """
    found: dict[tuple[str, str], Measured] = {}
    for number, row in records.read_jsonl(file):
        try:
            measured = _every_eval_ever(row) if "schema_version" in row else _flat(row)
        except (KeyError, TypeError, ValueError, IndexError, StopIteration) as error:
            raise UserError(f"{file}:{number}: not a result of EuroEval ({type(error).__name__}: {error})") from None
        found[measured.model, measured.dataset] = measured
    return list(found.values())


def _flat(row: Mapping[str, Any]) -> Measured:
    metric, scores = _primary(row["results"]["raw"])
    return Measured(row["model"], row["dataset"], row["task"], metric, scores, row.get("euroeval_version"))


def _every_eval_ever(row: Mapping[str, Any]) -> Measured:
    """Numbers and lists of the details are strings of JSON."""
    details = row["eval_library"]["additional_details"]
    metric, scores = _primary(json.loads(details["raw_results"]))
    info = row["model_info"]
    dataset = details.get("dataset") or row["evaluation_results"][0]["source_data"]["dataset_name"]
    model = info.get("name") or info["id"]
    return Measured(model, dataset, details["task"], metric, scores, row["eval_library"].get("version"))


def _primary(raw: list[dict[str, Any]] | dict[str, list[dict[str, Any]]]) -> tuple[str, tuple[float, ...]]:
    """The first metric and its scores by iteration; what failed is listed among them, and is no metric."""
    iterations = raw["test"] if isinstance(raw, dict) else raw
    plain = [
        {name.removeprefix("test_"): float(value) for name, value in one.items() if isinstance(value, int | float)}
        for one in iterations
    ]
    metric = next((name for name in PRIMARY if name in plain[0]), next(iter(plain[0])))
    return metric, tuple(100 * one[metric] for one in plain)
