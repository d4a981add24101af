"""A merged checkpoint is base plus adapter, with everything that a base has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from croco.errors import UserError
from croco.exchange.merging import merge
from croco.models import merged
from croco.training.model import build_model
from tests.support.builders import TEMPLATE, build_adapter, build_policy
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


@pytest.mark.parametrize("layer", ["lm_head", "embed_tokens"])
@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gemma3"])
def test_tied_embeddings_are_untied_where_an_adapter_tells_them_apart(family: str, layer: str, tmp_path: Path) -> None:
    base = build_policy(tmp_path / "base", family, tie_word_embeddings=True)
    plain = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(0)
    settings = LoraConfig(r=4, target_modules=["q_proj", layer], init_lora_weights=False)
    tuned = get_peft_model(plain, settings).eval()
    tuned.save_pretrained(tmp_path / "adapter")
    expected = tuned(input_ids=IDS).logits
    merge(tmp_path / "adapter", tmp_path / "out", "float32")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.allclose(model(input_ids=IDS).logits, expected, atol=1e-4)
    assert not model.config.get_text_config().tie_word_embeddings
    assert not torch.equal(model.get_input_embeddings().weight, model.get_output_embeddings().weight)


def test_tied_embeddings_stay_tied_where_nothing_tells_them_apart(tmp_path: Path) -> None:
    base = build_policy(tmp_path / "base", tie_word_embeddings=True)
    merge(build_adapter(base, tmp_path / "adapter"), tmp_path / "out", "float32")
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert "lm_head.weight" not in weights
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").config.tie_word_embeddings


def test_a_generation_config_that_contradicts_itself_is_merged_as_it_is(tmp_path: Path) -> None:
    base = build_policy(tmp_path / "base")
    said = {"do_sample": False, "temperature": 0.9, "top_p": 0.5, "eos_token_id": 1}
    (base / "generation_config.json").write_text(json.dumps(said))
    merge(build_adapter(base, tmp_path / "adapter"), tmp_path / "out", "bfloat16")
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text()) == said
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").generation_config.eos_token_id == 1


def test_what_computes_something_else_is_not_left_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = build_policy(tmp_path / "base", tie_word_embeddings=True)
    settings = LoraConfig(r=4, target_modules=["lm_head"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings).save_pretrained(tmp_path / "adapter")
    monkeypatch.setattr(merged, "_untie", lambda model: None)
    with pytest.raises(UserError, match="not written: loaded back, its logits differ"):
        merge(tmp_path / "adapter", tmp_path / "out", "float32")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter", "base"]


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
