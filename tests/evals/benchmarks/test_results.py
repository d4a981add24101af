"""EuroEval's result rows as 16.x, 17.x and 18.x write them, with numbers of real files; totals are theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from croco import compare
from croco.errors import UserError
from croco.evals.benchmarks.results import read

FLAT = {
    "dataset": "dansk",
    "task": "named-entity-recognition",
    "languages": ["da"],
    "model": "base",
    "results": {
        "raw": [{"micro_f1_no_misc": 0.25, "micro_f1": 0.5}, {"micro_f1_no_misc": 0.5, "micro_f1": 0.625}],
        "total": {
            "test_micro_f1_no_misc": 37.5,
            "test_micro_f1_no_misc_se": 24.5,
            "test_micro_f1": 56.25,
            "test_micro_f1_se": 12.25,
        },
    },
    "num_model_parameters": 1,
    "few_shot": True,
    "validation_split": False,
    "euroeval_version": "16.11.0",
}


def every_eval_ever(
    dataset: str, raw: list[dict[str, Any]], totals: dict[str, tuple[float, float]], **details: Any
) -> dict[str, Any]:
    """A row of 17.x and 18.x; totals: metric -> (score, half width of its interval)."""
    said = {"dataset": dataset, "languages": '["da"]', "task": "t", "few_shot": "true", "validation_split": "false"}
    return {
        "schema_version": "0.2.1",
        "evaluation_id": f"{dataset}/tuned/1782468137",
        "model_info": {"name": "tuned", "id": "tuned", "additional_details": {"generative": "true"}},
        "eval_library": {
            "name": "euroeval",
            "version": "17.5.0",
            "additional_details": {**said, **details, "raw_results": json.dumps(raw)},
        },
        "evaluation_results": [
            {
                "evaluation_name": f"test_{metric}",
                "source_data": {"dataset_name": dataset, "source_type": "hf_dataset"},
                "metric_config": {"lower_is_better": False, "min_score": 0, "max_score": 100},
                "score_details": {
                    "score": score,
                    "details": {"num_failed_instances": "0.0"},
                    "uncertainty": {
                        "confidence_interval": {"lower": score - half, "upper": score + half},
                        "num_samples": len(raw),
                    },
                },
            }
            for metric, (score, half) in totals.items()
        ],
    }


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join("\n" + json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_f1_of_squad_and_chrf_are_in_points_already(tmp_path: Path) -> None:
    """17.5.0, gemma-3-12b-it on multi-wiki-qa-da: 75.39, not 7,539. Every metric's mean is the row's own total."""
    raw = [
        {"f1": 74.9061722783421, "em": 53.191489361702125, "failed_instances": []},
        {"f1": 75.18498147213818, "em": 56.666666666666664, "failed_instances": []},
        {"f1": 77.12330566237037, "em": 59.15492957746479, "failed_instances": []},
        {"f1": 75.82764410481184, "em": 58.273381294964025, "failed_instances": [{"sample_index": 1, "error": "?"}]},
        {"f1": 73.91342787033331, "em": 55.921052631578945, "failed_instances": []},
    ]
    totals = {"f1": (75.39110627759915, 1.04), "em": (56.641503906475315, 2.03)}
    (row,) = read(write(tmp_path / "r.jsonl", every_eval_ever("multi-wiki-qa-da", raw, totals)))
    assert (row.metric, list(row.scores), row.version) == ("f1", ["f1", "em"], "17.5.0")
    for metric, (total, _) in totals.items():
        assert np.mean(row.scores[metric]) == pytest.approx(total, abs=1e-9)


def test_mcc_is_not_and_what_has_no_total_is_no_metric(tmp_path: Path) -> None:
    """18.2.0, an encoder: raw names begin with `test_`, loss and seconds stand among them."""
    raw = [
        {"test_loss": 1.38, "test_mcc": -0.009640188228307842, "test_accuracy": 0.2578125, "test_runtime": 0.2043},
        {"test_loss": 1.39, "test_mcc": 0.05731758851524837, "test_accuracy": 0.296875, "test_runtime": 0.193},
    ]
    totals = {"mcc": (2.3838700143470264, 6.56), "accuracy": (27.734375, 3.83)}
    (row,) = read(
        write(tmp_path / "r.jsonl", every_eval_ever("cultura-viva-pt", raw, totals, languages='["pt", "pt-pt"]'))
    )
    assert list(row.scores) == ["mcc", "accuracy"]
    assert row.language == "pt"
    for metric, (total, _) in totals.items():
        assert np.mean(row.scores[metric]) == pytest.approx(total, abs=1e-9)


def test_the_flat_rows_of_16(tmp_path: Path) -> None:
    """The first metric is the totals' first, whatever it is called; `dataset_languages` is the older word."""
    older = {**FLAT, "dataset": "norec", "dataset_languages": ["nb", "nn", "no"]}
    older.pop("languages")
    first, second = read(write(tmp_path / "r.jsonl", FLAT, older))
    assert (first.metric, first.iterations) == ("micro_f1_no_misc", (25.0, 50.0))
    assert first.scores["micro_f1"] == (50.0, 62.5)
    assert (first.few_shot, first.validation, first.language, second.language) == (True, False, "da", "no")


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_a_total_of_zero_leaves_the_interval_to_tell(scale: float, tmp_path: Path) -> None:
    """MCC -0.1 and 0.1: mean 0 in any unit; the half width 1.96 sd / sqrt(2) = 0.196 is 19.6 in points."""
    row = every_eval_ever("scala-da", [{"mcc": -0.1}, {"mcc": 0.1}], {"mcc": (0.0, 0.196 * scale)})
    (read_row,) = read(write(tmp_path / "r.jsonl", row))
    assert read_row.iterations == pytest.approx((-0.1 * scale, 0.1 * scale))


def test_a_metric_that_is_not_defined_is_kept_as_such(tmp_path: Path) -> None:
    """mbbq-nl without ambiguous questions: NaN, which Python's JSON writes."""
    raw = [{"accuracy": 0.5, "bias": float("nan")}, {"accuracy": 0.7, "bias": float("nan")}]
    row = every_eval_ever("mbbq-nl", raw, {"accuracy": (60.0, 19.6), "bias": (float("nan"), float("nan"))})
    (read_row,) = read(write(tmp_path / "r.jsonl", row))
    assert np.isnan(read_row.scores["bias"]).all()


def test_a_data_set_measured_again_counts_once_but_not_in_another_way(tmp_path: Path) -> None:
    again = json.loads(json.dumps(FLAT))
    again["results"] = {"raw": [{"micro_f1_no_misc": 1.0}], "total": {"test_micro_f1_no_misc": 100.0}}
    validation = {**FLAT, "validation_split": True}
    rows = read(write(tmp_path / "r.jsonl", FLAT, validation, again))
    assert [(m.validation, m.iterations) for m in rows] == [(False, (100.0,)), (True, (25.0, 50.0))]


def test_another_row_is_named_by_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"r\.jsonl:4: not a result of EuroEval"):
        read(write(tmp_path / "r.jsonl", FLAT, FLAT, {"dataset": "x"}))
    wrong = json.loads(json.dumps(FLAT))
    wrong["results"]["total"]["test_micro_f1"] = 50.0
    with pytest.raises(UserError, match=r"r\.jsonl:2: .*the total of micro_f1 is 50"):
        read(write(tmp_path / "r.jsonl", wrong))


def test_files_are_compared_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files, two schemas, one data set in common: differences 3 and 1 (mean 2, sd 1.414) of F1, 0 of the second metric; the
    other data set is said to be left out."""
    raw = [{"f1": 50.0, "em": 20.0}, {"f1": 60.0, "em": 30.0}]
    flat = {
        **FLAT,
        "dataset": "squad-da",
        "model": "org/base-7b",
        "results": {"raw": raw, "total": {"test_f1": 55.0, "test_f1_se": 9.8, "test_em": 25.0, "test_em_se": 9.8}},
    }
    after = [{"f1": 53.0, "em": 20.0}, {"f1": 61.0, "em": 30.0}]
    tuned = every_eval_ever("squad-da", after, {"f1": (57.0, 7.84), "em": (25.0, 9.8)})
    files = [write(tmp_path / "a.jsonl", flat, {**FLAT, "model": "org/base-7b"}), write(tmp_path / "b.jsonl", tuned)]
    page = tmp_path / "page.html"
    words = [
        "euroeval",
        *map(str, files),
        "--base",
        "base",
        "--tuned",
        "tuned",
        "--format",
        "json",
        "--html",
        str(page),
    ]
    assert compare.main(words) == 0
    told = capsys.readouterr()
    by_language, sets, others = json.loads(told.out)
    assert sets["rows"][0][:6] == ["squad-da", "da", "f1", 55.0, 57.0, 2.0]
    assert others["rows"][0][2:6] == ["em", 25.0, 25.0, 0.0]
    assert [row[0] for row in by_language["rows"]] == ["da", "macro"]
    assert "measured for base alone, left out: dansk" in told.err
    assert "by EuroEval 16.11.0 and 17.5.0" in told.err
    assert 'class="forest"' in page.read_text()
    assert compare.main(["euroeval", str(files[0]), "--base", "base", "--tuned", "nobody"]) == 2
    assert "--tuned nobody: no such model; there is org/base-7b" in capsys.readouterr().err
