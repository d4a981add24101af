"""The real EuroEval, without a network: a data set of our own, asked of our own engine over a loopback endpoint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from croco.evals.benchmarks import paired, tool
from croco.tiny import MODELS
from tests.evals.benchmarks import endpoint

EXECUTABLE = Path(os.environ.get("CROCO_EUROEVAL", ".venv-euroeval/bin/euroeval"))
DATASET = """
from euroeval.data_models import DatasetConfig
from euroeval.languages import DANISH
from euroeval.tasks import SENT
MINE = DatasetConfig(
    name="moods", pretty_name="moods", source=dict(train="{0}/moods.csv", val="{0}/moods.csv", test="{0}/moods.csv"),
    task=SENT, languages=[DANISH],
)
"""
METRIC = """
import datasets
import evaluate
from sklearn.metrics import {function}

class Local(evaluate.Metric):
    def _info(self):
        value = datasets.Value("int32")
        features = datasets.Features(dict(predictions=value, references=value))
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references, **options):
        options = {{key: value for key, value in options.items() if key in ("average", "labels")}}
        return {{"{name}": {function}(references, predictions, **options)}}
"""


@pytest.mark.euroeval
def test_a_data_set_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked twice of the same model: every iteration is the same, so that the two are paired and nothing differs."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    labels = ("positive", "neutral", "negative")
    rows = [f"Det er dag nummer {number},{labels[number % 3]}" for number in range(12)]
    (tmp_path / "moods.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (tmp_path / "custom.py").write_text(DATASET.format(tmp_path))
    measured = []
    with endpoint.serving(MODELS / "policy") as (url, asked):
        for system in ("base", "tuned"):
            folder = tmp_path / system
            for name, function in (("matthews_correlation", "matthews_corrcoef"), ("f1", "f1_score")):
                (folder / name).mkdir(parents=True)
                (folder / name / f"{name}.py").write_text(METRIC.format(name=name, function=function))
            used = tool.Tool(EXECUTABLE, 3, False, True, folder / "cache", tmp_path / "custom.py", {"api-base": url})
            assert "moods" in used.known()["da"]
            measured.append(tool.run(used, "openai/tiny", ["moods"], folder))
    assert any("dag nummer" in question for question in asked)
    (row,) = paired.compare(*measured, {"da": ["moods"]}, 0.95).sets
    assert (row.metric, row.difference) == ("mcc", 0)
    assert measured[0][0].version == used.version()
