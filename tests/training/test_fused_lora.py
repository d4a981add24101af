"""The fused LoRA layer is PEFT's layer: outputs, gradients, and what must stay PEFT's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict

from croco.training import fused_lora
from croco.training.forward import padded
from croco.training.model import build_model
from tests.training.test_packed import random_examples, step
from tests.training.test_training import config_of


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_equal_to_pefts_layer(policy: Path, dtype: str) -> None:
    """In bfloat16 both are rounded, differently; what they share is the truth, to within that rounding."""
    results = []
    for fused in ("false", "true"):
        model = build_model(config_of(policy, f"trainer.fused_lora={fused}", f"model.dtype={dtype}"), 0.0)
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
        results.append(step(model, padded, random_examples()))
    (sums, _, gradients), (fused_sums, _, fused_gradients) = results
    tolerance = 1e-5 if dtype == "float32" else 0.05
    assert torch.allclose(sums, fused_sums, rtol=tolerance)
    for a, b in zip(gradients, fused_gradients, strict=True):
        assert a.dtype == b.dtype == torch.float32
        assert (a - b).norm() <= tolerance * max(float(a.norm()), 1e-6)


def test_the_reference_is_the_base_also_when_fused(policy: Path) -> None:
    model = build_model(config_of(policy), 0.0)
    plain = padded(model, random_examples()).values
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    assert not torch.allclose(padded(model, random_examples()).values, plain, atol=1e-3)
    with model.disable_adapter():
        assert torch.equal(padded(model, random_examples()).values, plain)


def test_copies_follow_the_weights(policy: Path) -> None:
    """An optimiser's step, one tensor at a time or all together, and another adapter's weights change them; nothing else does."""
    model = build_model(config_of(policy, "model.dtype=bfloat16"), 0.0)
    layers = [module for module in model.modules() if isinstance(module, fused_lora.FusedLinear)]

    def rounded() -> bool:
        padded(model, random_examples()).values.sum().backward()
        pairs = [
            (copy, weight) for layer in layers for copy, weight in zip(layer.copies, fused_lora.of(layer), strict=True)
        ]
        return all(torch.equal(copy, weight.bfloat16()) for copy, weight in pairs)

    assert rounded()
    kept = layers[0].copies[0]._version
    assert rounded()
    assert layers[0].copies[0]._version == kept
    parameters = [p for p in model.parameters() if p.requires_grad]
    for foreach in (False, True):
        torch.optim.AdamW(parameters, lr=0.1, foreach=foreach).step()
        assert not all(torch.equal(layer.copies[1], fused_lora.of(layer)[1].bfloat16()) for layer in layers)
        assert rounded()
    set_peft_model_state_dict(model, {k: v + 1 for k, v in get_peft_model_state_dict(model).items()})
    assert rounded()


def test_dropout_leaves_pefts_layer(policy: Path) -> None:
    from croco.training.fused_lora import fuse

    assert fuse(build_model(config_of(policy, "trainer.fused_lora=false"), 0.1)) == 0
    # 2 layers x 7 projections
    assert fuse(build_model(config_of(policy, "trainer.fused_lora=false"), 0.0)) == 14
