"""Both schemas of EuroEval's result file, written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from croco.errors import UserError
from croco.evals.benchmarks.results import read

FLAT = {
    "dataset": "scala-da",
    "task": "linguistic-acceptability",
    "languages": ["da"],
    "model": "base",
    "results": {
        "raw": [{"mcc": 0.25, "macro_f1": 0.5}, {"mcc": 0.5, "macro_f1": 0.625}],
        "total": {"test_mcc": 37.5, "test_mcc_se": 24.5, "test_macro_f1": 56.25, "test_macro_f1_se": 12.25},
    },
    "num_model_parameters": 1,
    "few_shot": True,
    "validation_split": False,
    "euroeval_version": "16.11.0",
}
EVERY_EVAL_EVER = {
    "schema_version": "0.2.1",
    "model_info": {"name": "tuned", "id": "tuned", "additional_details": {}},
    "eval_library": {
        "name": "euroeval",
        "version": "17.0.0",
        "additional_details": {
            "dataset": "squad",
            "languages": '["en"]',
            "task": "reading-comprehension",
            "few_shot": "true",
            "validation_split": "false",
            "raw_results": '[{"test_em": 0.125, "test_f1": 0.5, "failed_instances": [{"sample_index": 1, "error": "?"}]}, '
            '{"test_em": 0.25, "test_f1": 0.75, "failed_instances": []}]',
        },
    },
    "evaluation_results": [
        {
            "evaluation_name": "test_f1",
            "source_data": {"dataset_name": "squad"},
            "score_details": {
                "score": 62.5,
                "details": {"num_failed_instances": "0"},
                "uncertainty": {"confidence_interval": {"lower": 38.0, "upper": 87.0}, "num_samples": 2},
            },
        }
    ],
}


def test_both_schemas_in_one_file(tmp_path: Path) -> None:
    """From 17.0 on a row comes after its line break; scores are 100 times the raw ones of the task's main metric."""
    file = tmp_path / "r.jsonl"
    file.write_text(json.dumps(FLAT) + "\n" + json.dumps(EVERY_EVAL_EVER))
    flat, other = read(file)
    assert (flat.model, flat.dataset, flat.metric, flat.iterations) == ("base", "scala-da", "mcc", (25.0, 50.0))
    assert (other.model, other.dataset, other.metric, other.iterations) == ("tuned", "squad", "f1", (50.0, 75.0))
    assert (flat.version, other.version) == ("16.11.0", "17.0.0")


def test_a_data_set_measured_again_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    again = {**FLAT, "results": {"raw": [{"mcc": 1.0}]}}
    file.write_text(json.dumps(FLAT) + "\n\n" + json.dumps(again))
    assert [m.iterations for m in read(file)] == [(100.0,)]


def test_another_row_is_named_by_line(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(json.dumps(FLAT) + '\n{"dataset": "x"}\n')
    with pytest.raises(UserError, match=r"r\.jsonl:2: not a result of EuroEval"):
        read(file)
