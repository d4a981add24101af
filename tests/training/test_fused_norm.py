"""Fused normalisation layers against the models' own, values and gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from croco.training import fused_norm
from croco.training.model import build_model
from tests.support.builders import build_policy
from tests.training.test_training import config_of


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3_text", "cohere2"])
def test_each_layer_is_the_models_own(family: str, dtype: torch.dtype, tmp_path: Path) -> None:
    """Every norm of the model, with scales away from their start; in bfloat16 up to two roundings (2^-7)."""
    model = build_model(config_of(build_policy(tmp_path, family), "trainer.fused_norms=false"), 0.0).to(dtype)
    norms = [module for module in model.modules() if type(module).__name__.endswith("Norm")]
    assert norms
    torch.manual_seed(0)
    for norm in norms:
        torch.nn.init.normal_(norm.weight, 1.0, 0.3)
        start = torch.randn(2, 5, norm.weight.shape[-1]).to(dtype) * 3
        results = []
        for fused in (False, True):
            if fused:
                assert fused_norm.fuse(norm) == 1
            x = start.clone().requires_grad_()
            out = norm(x)
            (out.float() * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
            assert out.dtype == x.grad.dtype == dtype  # type: ignore[union-attr]
            results.append((out.detach().float(), x.grad.float()))  # type: ignore[union-attr]
        tolerance = 1e-5 if dtype == torch.float32 else 2**-6
        for own, ours in zip(*results, strict=True):
            assert torch.allclose(own, ours, atol=tolerance, rtol=tolerance)


def test_a_layer_of_another_class_is_left(policy: Path) -> None:
    layer = torch.nn.LayerNorm(4)
    assert fused_norm.fuse(layer) == 0
    model = build_model(config_of(policy, "trainer.fused_norms=false"), 0.0)
    assert fused_norm.fuse(model) == 2 * model.config.num_hidden_layers + 1
