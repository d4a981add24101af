"""Compiled layers are the layers: log-probs and gradients, for packs of other lengths without compiling again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from croco.training import compiled, packed
from croco.training.data import Example
from croco.training.model import build_model
from tests.support.builders import build_policy, targets_of
from tests.training.test_packed import step
from tests.training.test_training import config_of


def of_length(seed: int) -> list[Example]:
    draw = torch.Generator().manual_seed(seed)
    ids = [torch.randint(3, 300, (n + 7 * seed,), generator=draw).tolist() for n in (41, 20, 9)]
    return [Example(ids[0], (ids[1], ids[2]))]


def away_from_zero(model: Any) -> Any:
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.mark.parametrize(
    ("family", "backend"),
    [
        pytest.param("llama", "eager", marks=pytest.mark.slow),
        *(pytest.param(family, "inductor", marks=pytest.mark.slow) for family in sorted(packed.FAMILIES)),
    ],
)
def test_equal_to_the_layers_as_they_are(family: str, backend: str, tmp_path: Path) -> None:
    """Two steps: the second one's pack is longer, and nothing is compiled for it. `eager` traces as `inductor` does."""
    config = config_of(build_policy(tmp_path, family), targets_of(family))
    own, ours = (away_from_zero(build_model(config, 0.0)) for _ in range(2))
    forwards = [packed.choose(model, config.trainer) for model in (own, ours)]
    forwards[1] = compiled.path(forwards[1])
    torch._dynamo.reset()
    counters.clear()
    compiled.begin(ours, backend)
    try:
        made = []
        for seed in (0, 1):
            expected, found = (step(m, f, of_length(seed)) for m, f in zip((own, ours), forwards, strict=True))
            assert torch.allclose(expected[0], found[0], rtol=1e-5)
            for a, b in zip(expected[2], found[2], strict=True):
                assert (a - b).norm() <= 1e-4 * max(float(a.norm()), 1e-6)
            made.append(counters["stats"]["unique_graphs"])
        assert made[0] == made[1] > 0
        with torch.no_grad():  # validation, and the reference: nothing is compiled for them
            expected, found = (f(m, of_length(2)) for m, f in zip((own, ours), forwards, strict=True))
            assert torch.equal(expected.values, found.values)
        assert counters["stats"]["unique_graphs"] == made[0]
    finally:
        compiled.end(ours)
    counters.clear()
    step(ours, forwards[1], of_length(2))
    assert not counters["stats"]
