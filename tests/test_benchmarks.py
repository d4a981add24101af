"""The benchmarks still run: their parts at a small size, and what their sides must agree on."""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import (
    generation,
    gpu,
    gpu_bench,
    gpu_parts,
    gpu_step,
    scoring,
    training,
    training_data,
    training_memory,
    training_plan,
)
from benchmarks.counting import Seconds, flops
from benchmarks.our_side import Ours, config_of
from benchmarks.training_data import made_pairs, one_pair
from benchmarks.training_sides import sides
from croco.artifacts.store import Store
from croco.engines.holder import EngineHolder
from croco.training.data import Example
from tests.support.builders import build_policy

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
        Ours(config_of(folder, "float32", more), {}, examples, reference).step(examples, places)
        for more in ("trainer.tokens_per_pack=1", "trainer.tokens_per_pack=4096")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert abs(losses[0] - math.log(2)) > 0.1


@pytest.mark.slow
def test_all_sides_make_the_same_step(tmp_path: Path) -> None:
    """From one adapter: those with the same given reference have one loss, those that compute it themselves another."""
    folder, examples = build_policy(tmp_path), made_pairs(4, 300, "euro")
    makers = sides(folder, "float32", 1536, True, examples, tmp_path)
    losses = {name: maker().step(examples, range(4)) for name, maker in makers.items()}
    online = {"TRL, default", "TRL, micro-batch 8", "croco, reference in the step"}
    for group in (online, losses.keys() - online):
        values = [losses[name] for name in sorted(group)]
        assert values == pytest.approx([values[0]] * len(values), rel=1e-4), group
    assert abs(losses["TRL, default"] - losses["croco"]) > 0.1


def test_products_are_counted_in_place_too() -> None:
    """2 x 3 by 3 x 4: 24 multiplications and as many additions, twice."""
    out, left, right = torch.zeros(2, 4), torch.ones(2, 3), torch.ones(3, 4)
    assert flops(lambda: (torch.mm(left, right), out.addmm_(left, right, alpha=2.0))) == 96


def test_ratios_are_taken_within_rounds() -> None:
    """Two rounds of 8 pairs with 10 tokens each (a prompt of 3 twice, answers of 2), TRL 4 s and 30 s, ours 2 s and 10 s."""
    examples = [one_pair(7, 50)] * 24
    assert examples[0].size(shared=True) == 7
    assert examples[0].size(shared=False) == 10
    ours, trl = ([Seconds(w, 2 * w, w / 4) for w in walls] for walls in ((2.0, 10.0), (4.0, 30.0)))
    table = training._times({"croco": ours, "TRL, default": trl}, ["TRL, default", "croco", "other"], examples)
    column = {head: cells[1] for head, cells in table.items()}
    assert column["CPU s"] == "12.00"
    assert column["of it system"] == "1.50"
    assert column["pairs/s"] == "2.40"  # of 4 and 0.8
    assert column["tokens/s"] == "24"
    assert column["CPU, default"] == column["wall, default"] == "2.50x [2.00, 3.00]"
    assert column["CPU, hand-tuned"] == "–"
    assert {cells[2] for cells in table.values()} == {"–"}


@pytest.mark.slow
def test_the_training_benchmark_from_first_to_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a tiny shape: each side counted, timed and measured, and the second table."""
    tiny = {"hidden_size": 32, "layers": 2, "heads": 4, "kv": 2, "vocab_size": 64}
    monkeypatch.setitem(training_data.SHAPES, "tiny", tiny)
    monkeypatch.setattr(training_memory, "BY_LENGTH", ("croco, a pair at a time",))  # each is a process
    words = ["--sides", "TRL, default", "croco", "--rounds", "1", "--rows", "64"]
    arguments = training.parser().parse_args([*words, "--shapes", "tiny"])
    (_, steps), (shape, memory) = training.tables(arguments)
    assert shape == "tiny"
    assert [row[0] for row in steps.rows] == ["TRL, default", "croco"]
    assert all(float(row[list(steps.columns).index("peak MB")]) > 0 for row in steps.rows)
    assert [row[0] for row in memory.rows] == ["64 tokens"]


def test_rows_of_the_gpu_script_become_tables(tmp_path: Path) -> None:
    """One part for real, on the CPU; another kind of row beside it, and a column that not all rows have."""
    lines = tmp_path / "gpu.jsonl"
    arguments = argparse.Namespace(dry=True, lines=lines, sides=[], seconds=60.0)
    gpu_parts.attention(gpu_bench.Bench(arguments))
    gpu_bench.Bench(arguments).row("Attention against float32", head=1, error="none")
    attention = gpu.shown(lines)[0]
    assert list(attention.columns) == ["head", "type", "segments", "error"]
    assert {row[2] for row in attention.rows[:-1]} == {"equal"}
    assert attention.rows[-1] == ("1", "", "", "none")


def test_operations_of_the_attention_kernel_by_hand() -> None:
    """A prompt of 2, answers of 3 and 2, of which 2 and 1 tokens are in the row: 3 + (3 + 4) + (1 + 2) pairs that see one
    another; two products of 8 numbers for 4 heads in 2 layers, and 2.5 times that for the backward pass."""
    text = SimpleNamespace(head_dim=8, num_attention_heads=4, num_hidden_layers=2)
    base = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: text))
    model = SimpleNamespace(device=torch.device("cuda"), get_base_model=lambda: base)
    counted = gpu_step._attention_flops(SimpleNamespace(model=model), [Example([5, 6], ([7, 8, 9], [7, 8]))], [0])
    assert counted == 3.5 * 4 * 8 * 4 * 2 * 13


@pytest.mark.slow
def test_the_gpu_script_runs_dry(tmp_path: Path) -> None:
    """Every part to its end, and a table of each."""
    out = tmp_path / "dry.md"
    subprocess.run([sys.executable, "benchmarks/gpu.py", "--dry", "--out", str(out)], cwd=ROOT, check=True)
    parts = {
        row[0]: row[1] for table in gpu.shown(out.with_suffix(".jsonl")) if table.title == "Parts" for row in table.rows
    }
    assert parts == dict.fromkeys(gpu_parts.PARTS, "0")
    said = out.read_text(encoding="utf-8")
    assert "error" not in said
    for title in ("The card", "Families", "The embedded world", "A training step: nano", "The transformers engine"):
        assert title in said


@pytest.mark.slow
def test_what_a_run_plans_at_a_small_size() -> None:
    """A step's plan within a millisecond, packs nearly full, and ids in four bytes and little beside them."""
    made = training_plan.table([2000])
    cells = dict(zip(made.columns, made.rows[0], strict=True))
    assert cells["pairs"] == "2,000"
    assert float(cells["a step, ms"]) <= 1
    assert float(cells["packs full"].rstrip("%")) > 95
    first = training_plan.started(40, training_plan.MODELS / "policy", as_text=False)
    assert 4 <= float(first[-1]) <= 6


@pytest.mark.slow
def test_scoring_ahead_from_first_to_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which stops where the rewards of both ways differ."""
    words = ["scoring", "--units", "3", "--unit", "2", "--words", "4", "--rounds", "2", "--out"]
    monkeypatch.setattr(sys, "argv", [*words, str(tmp_path / "scoring.md")])
    scoring.main()
    said = (tmp_path / "scoring.md").read_text(encoding="utf-8")
    assert all(f"| {way} |" in said for way in scoring.WAYS)
