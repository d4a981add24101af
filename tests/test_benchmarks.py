"""The benchmarks still run: their parts at a small size, and what their sides must agree on."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import generation, training
from benchmarks.training_data import made_pairs
from croco.engines.holder import EngineHolder
from croco.store import Store
from tests.builders import build_policy

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_both_sides_make_the_same_pairs(tmp_path: Path) -> None:
    for scope, pairs in (("mono", 140), ("multi", 20)):
        command = [sys.executable, "benchmarks/pairs.py", "--prompts", "20", "--samples", "8", "--scope", scope]
        table = tmp_path / f"{scope}.md"
        subprocess.run(
            [*command, "--folder", str(tmp_path), "--repeats", "1", "--out", str(table)], cwd=ROOT, check=True
        )
        assert f"| 1,120 | {pairs} |" in table.read_text(encoding="utf-8")


def test_the_generations_stage_alone(tmp_path: Path) -> None:
    """Three prompts, two answers each, of at most four tokens."""
    path = generation.model(tmp_path, hidden_size=32, num_hidden_layers=2, intermediate_size=64)
    config = generation.configuration(path, 2, 4)
    tokens = generation.stage(config, tmp_path / "runs", generation.prompts(3), EngineHolder())
    (folder,) = (tmp_path / "runs" / "generations").iterdir()
    assert Store.open(folder).summary["rows"] == 6
    assert 6 <= tokens <= 6 * 4


def test_a_step_does_not_depend_on_the_packs(tmp_path: Path) -> None:
    """With the log-probs of the reference far off, so that the loss is away from ln 2."""
    folder, examples = build_policy(tmp_path), made_pairs(8, 300, "euro")
    reference = torch.tensor([[-1500.0], [-1490.0]], dtype=torch.float64).repeat(1, 8)
    places = list(range(8))
    losses = [
        training.Ours(training.config_of(folder, "float32", more), {}, examples, reference).step(examples, places)
        for more in ("trainer.tokens_per_pack=1", "trainer.tokens_per_pack=4096")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert abs(losses[0] - math.log(2)) > 0.1
