"""A merged checkpoint is base plus adapter, with everything that a base has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from croco.errors import UserError
from croco.exchange.merging import merge
from croco.training.model import build_model
from tests.support.builders import TEMPLATE, build_policy
from tests.training.test_training import config_of

IDS = torch.tensor([[0, 5, 40, 50, 60]])


def trained(folder: Path, family: str) -> tuple[Path, torch.Tensor]:
    """An adapter that is not zero, saved as a run saves it, and the logits of the policy with it."""
    base = build_policy(folder / "base", family)
    GenerationConfig(eos_token_id=[1, 5], temperature=0.6, do_sample=True).save_pretrained(base)
    model = build_model(config_of(base), 0.0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder / "run" / "adapter")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder / "run" / "adapter")
    return folder / "run", model.eval()(input_ids=IDS).logits.detach()


@pytest.mark.parametrize("family", ["llama", "cohere2"])
def test_merged_equals_base_with_adapter(family: str, tmp_path: Path) -> None:
    run, expected = trained(tmp_path, family)
    merge(run, tmp_path / "out", "float32")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.allclose(model(input_ids=IDS).logits, expected, atol=1e-4)
    assert model.generation_config.eos_token_id == [1, 5]
    assert model.generation_config.temperature == 0.6
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == TEMPLATE
    assert list((tmp_path / "out").glob("*.safetensors"))
    assert not list(tmp_path.glob("*.tmp"))


def test_what_cannot_be_merged_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no adapter there"):
        merge(tmp_path, tmp_path / "out", "float32")
    run, _ = trained(tmp_path, "llama")
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="exists already"):
        merge(run, tmp_path / "there", "float32")
    done = subprocess.run(
        [sys.executable, "-m", "croco.merge", str(tmp_path), str(tmp_path / "new")], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no adapter there" in done.stderr
