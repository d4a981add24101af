"""Adapters compute what PEFT computes from their files, in the engine and in the trainer, or are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from croco.config import Config
from croco.errors import UserError
from croco.models import adapters
from croco.models.checkpoints import Checkpoint, load
from croco.training.model import build_model
from croco.training.start import Reference, Start, begin
from tests.support.builders import build_policy
from tests.training.test_training import config_of

IDS = torch.tensor([[0, 5, 40, 50, 60]])
KINDS: dict[str, dict[str, Any]] = {
    "another alpha": {"lora_alpha": 4},
    "rank-stabilised": {"use_rslora": True},
    "decomposed": {"use_dora": True},
    "patterns": {"rank_pattern": {"q_proj": 4, "layers.1.mlp.down_proj": 3}, "alpha_pattern": {"down_proj": 16}},
    "one layer": {"layers_to_transform": [1]},
    "a pattern of names": {"target_modules": r".*\.0\.(self_attn\.v_proj|mlp\.up_proj)"},
}


def build(policy: Path, folder: Path, **settings: Any) -> Path:
    """A PEFT folder whose adapter changes what the policy computes."""
    torch.manual_seed(1)
    plain = {"r": 2, "lora_alpha": 32, "target_modules": ["q_proj", "down_proj"], "init_lora_weights": False}
    base = AutoModelForCausalLM.from_pretrained(policy)
    get_peft_model(base, LoraConfig(**{**plain, "task_type": "CAUSAL_LM", **settings})).save_pretrained(folder)
    return folder


def of(policy: Path, adapter: Path) -> Config:
    return config_of(policy, f"model.adapter={adapter}")


@pytest.mark.parametrize("kind", KINDS)
def test_engine_trainer_and_reference_compute_what_peft_computes(kind: str, policy: Path, tmp_path: Path) -> None:
    """Whatever `model.lora` says (r 16, alpha 32, seven targets)."""
    adapter = build(policy, tmp_path / "adapter", **KINDS[kind])
    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(policy)
        plain = base(IDS).logits
        expected = PeftModel.from_pretrained(base, adapter)(IDS).logits
        engine, _ = load(AutoModelForCausalLM, Checkpoint(str(policy), adapter=adapter))
        assert torch.allclose(engine(IDS).logits, expected, atol=1e-5)
        trained = build_model(of(policy, adapter), 0.0)
        begin(trained, Start(adapter=adapter))
        assert torch.allclose(trained(IDS).logits, expected, atol=1e-5)
        assert not torch.allclose(plain, expected, atol=1e-3)
        for name, parameter in trained.named_parameters():
            if "lora_B" in name:
                parameter.mul_(2)
        with Reference(adapter).of(trained):
            assert torch.allclose(trained(IDS).logits, expected, atol=1e-5)
    trained.save_pretrained(tmp_path / "again")
    assert adapters.alike(adapters.settings_of(tmp_path / "again"), adapters.settings_of(adapter))


def test_kinds_of_adapters_are_trained_as_peft_computes_them(policy: Path, tmp_path: Path) -> None:
    """What the trainer computes with `model.lora.rslora` and `dora`, PEFT computes from the folder that it leaves."""
    model = build_model(config_of(policy, "model.lora.r=4", "model.lora.rslora=true", "model.lora.dora=true"), 0.0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        own = model(IDS).logits
        model.save_pretrained(tmp_path)
        base = AutoModelForCausalLM.from_pretrained(policy)
        plain, tuned = base(IDS).logits, PeftModel.from_pretrained(base, tmp_path)
        assert torch.allclose(tuned(IDS).logits, own, atol=1e-5)
    assert not torch.allclose(plain, own, atol=1e-3)
    assert tuned.base_model.model.model.layers[0].mlp.up_proj.scaling == {"default": 32 / 4**0.5}
    for words in (["model.lora.modules_to_save=[lm_head]"], ["model.lora.dora=true", "engine=vllm"]):
        with pytest.raises(UserError, match=r"model\.lora\.(modules_to_save|dora): "):
            config_of(policy, *words)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"modules_to_save": ["embed_tokens"]}, "modules_to_save"),
        ({"bias": "lora_only"}, "bias"),
        ({"lora_bias": True}, "lora_bias"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
    ],
)
def test_what_is_not_computed_is_refused(settings: dict[str, Any], name: str, policy: Path, tmp_path: Path) -> None:
    adapter = build(policy, tmp_path / "adapter", **settings)
    with pytest.raises(UserError, match=rf"adapter_config.json: {name}="):
        build_model(of(policy, adapter), 0.0)
    with pytest.raises(UserError, match=name):
        load(AutoModelForCausalLM, Checkpoint(str(policy), adapter=adapter))


def test_every_key_of_lora_is_known() -> None:
    """A key that a later PEFT adds is refused where it is set; today's are done, say nothing, or stand here as refused."""
    refused = {
        "modules_to_save",
        "bias",
        "lora_bias",
        "trainable_token_indices",
        "layer_replication",
        "target_parameters",
        "alora_invocation_tokens",
        "use_qalora",
        "use_bdlora",
        "arrow_config",
        "ensure_weight_tying",
        "megatron_config",
        "monteclora_config",
    }
    keys = {name for name in vars(LoraConfig()) if name[0] != "_"}
    assert keys == refused | (keys & (adapters.DONE | adapters.OF_MAKING))
    assert not refused & (adapters.DONE | adapters.OF_MAKING)


def test_another_scaling_than_the_one_that_is_trained_is_refused(policy: Path, tmp_path: Path) -> None:
    model = build_model(of(policy, build(policy, tmp_path / "a")), 0.0)
    other = build(policy, tmp_path / "b", lora_alpha=7)
    with pytest.raises(UserError, match="scaling"), Reference(other).of(model):
        pass


def test_ranks_and_what_is_no_lora(policy: Path, tmp_path: Path) -> None:
    from peft import IA3Config

    assert adapters.rank_of(build(policy, tmp_path / "a", **KINDS["patterns"])) == 4
    base = AutoModelForCausalLM.from_pretrained(policy)
    settings = IA3Config(target_modules=["q_proj", "down_proj"], feedforward_modules=["down_proj"])
    get_peft_model(base, settings).save_pretrained(tmp_path / "b")
    with pytest.raises(UserError, match="is no LoRA adapter"):
        adapters.settings_of(tmp_path / "b")
    with pytest.raises(UserError, match="cannot be read"):
        adapters.settings_of(tmp_path)


def test_targets_that_a_model_lacks_stop_with_the_names_that_it_has(tmp_path: Path) -> None:
    path = build_policy(tmp_path, "phi3")
    with pytest.raises(UserError) as error:
        build_model(config_of(path), 0.0)
    assert "q_proj, k_proj, v_proj, gate_proj, up_proj: this model has no such layer" in str(error.value)
    assert str(error.value).endswith("are down_proj, gate_up_proj, lm_head, o_proj, qkv_proj")
    names = {
        n.split(".lora_A")[0].split(".")[-1]
        for n, p in build_model(config_of(path, "model.lora.targets=all-linear"), 0.0).named_parameters()
        if "lora_A" in n
    }
    assert names == {"down_proj", "gate_up_proj", "o_proj", "qkv_proj"}


@pytest.mark.parametrize("targets", ["[q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj]", "all-linear"])
def test_a_vision_tower_gets_no_adapter(targets: str, tmp_path: Path) -> None:
    """Gemma 3 with two layers for text and two for pictures: 7 layers x 2 x (A, B), all with a gradient."""
    model = build_model(config_of(build_policy(tmp_path, "gemma3"), f"model.lora.targets={targets}"), 0.0)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert len(trained) == 28
    assert all("language_model" in name for name in trained)
    model(input_ids=IDS).logits.sum().backward()
    assert all(p.grad is not None for p in trained.values())


@pytest.mark.parametrize("targets", ["everything", "[]", "3"])
def test_targets_are_names_or_all_linear(targets: str, policy: Path) -> None:
    with pytest.raises(UserError, match=r"model\.lora\.targets: "):
        config_of(policy, f"model.lora.targets={targets}")


def test_experts_are_no_layers(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="they reach the experts"):
        build_model(config_of(build_policy(tmp_path, "mixtral"), "model.lora.targets=all-linear"), 0.0)
