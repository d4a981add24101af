"""A sequence classifier with one label on any base: how it is made ready for training, and the checkpoint it becomes."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from croco.config import Config, seeds
from croco.engines import factory
from croco.errors import UserError
from croco.language import text
from croco.models import adapters
from croco.models.checkpoints import load
from croco.training.model import ready
from croco.training.policy import whole
from croco.training.preferences import filling

if TYPE_CHECKING:
    from croco.training.rewards import RewardModel

HEADS = ("score", "classifier")
FOLDER = "model"


def is_head(name: str) -> bool:
    """Whether a weight of this name belongs to the head."""
    return any(part in HEADS for part in name.split("."))


def configured(config: Config, member: int) -> Config:
    """The configuration of the run as the trainer takes it to train a member: the base as the model, preferences as the data."""
    reward, training = config.reward, config.reward.training
    assert training is not None, "croco.config.scorers lets no other through"
    lora = training.lora or replace(config.model.lora, seed=None)
    model = replace(
        config.model,
        path=str(reward.base),
        revision=reward.revision,
        dtype=reward.dtype,
        chat_template=training.chat_template,
        template_options={},
        trust_remote_code=reward.trust_remote_code,
        adapter=None,
        max_length=reward.max_length,
        lora=lora if lora.seed is None else replace(lora, seed=lora.seed + member),
    )
    own = ("loss", "learning_rate", "batch_size", "epochs", "warmup_ratio", "schedule", "weight_decay", "max_grad_norm")
    method = replace(
        config.method,
        name="reward",
        trains_on="preferences",
        refresh_every=None,
        seed=None,
        **{name: getattr(training, name) for name in own},
    )
    evals = replace(config.evals, checkpoints=None)
    trainer = config.trainer
    if training.tune == "head":  # on features that one process reads once
        trainer = replace(trainer, devices=1, num_nodes=1)
    return replace(config, model=model, method=method, evals=evals, trainer=trainer, seed=training.seed + member)


def build(config: Config) -> Any:
    """The base with a head of one label, of which `reward.training.tune` is trained; what is trained is float32 but in `full`.

    A head that the base brings goes on from where it is; a fresh one begins at zero.

    Raises:
        UserError: the base cannot be loaded as a sequence classifier, or has none of the LoRA targets.
    """
    training = config.reward.training
    assert training is not None
    torch.manual_seed(seeds.of_adapter(config))
    base = _base(config)
    if training.tune == "lora":
        model = _with_lora(base, config)
    else:
        model = base
        model.get_base_model = lambda: model  # what PEFT's models have
        for name, parameter in model.named_parameters():
            trained = training.tune == "full" and not any(part in name for part in training.frozen)
            parameter.requires_grad_(trained or is_head(name))
    for name, module in model.get_base_model().named_children():
        if name in HEADS:
            _wide(module)
    return ready(model, config, 0.0)


def _base(config: Config, place: str | None = None) -> Any:
    from transformers import AutoModelForSequenceClassification

    checkpoint = replace(factory.policy(config.model), adapter=None)
    base, report = load(AutoModelForSequenceClassification, checkpoint, emulate=True, place=place, num_labels=1)
    fresh = [name for name in report["missing_keys"] if is_head(name)]
    lacking = sorted(set(report["missing_keys"]) - set(fresh))
    if lacking:
        raise UserError(f"reward.base: {config.model.path}: its {lacking[0]} is missing")
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            if name in fresh:
                parameter.zero_()
    tokenizer = text.load_tokenizer(
        config.model.path, config.model.revision, config.model.chat_template, config.model.trust_remote_code
    )
    for settings in (base.config, base.config.get_text_config()):
        settings.pad_token_id = filling(tokenizer)
    return base


def _with_lora(base: Any, config: Config) -> Any:
    lora = config.model.lora
    outside = adapters.check_targets(base, lora.targets)
    settings = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        lora_dropout=0.0,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        exclude_modules=outside,
        bias="none",
        task_type="SEQ_CLS",
        modules_to_save=[name for name, _ in base.named_children() if name in HEADS],
    )
    try:
        return get_peft_model(base, settings, autocast_adapter_dtype=True)
    except ValueError as error:
        raise UserError(f"reward.training.lora.targets: {str(error).splitlines()[0]}") from None


def _wide(head: Any) -> None:
    """In float32 whatever the base is in: in half precision small steps would be rounded away."""
    head.float()
    head.register_forward_pre_hook(lambda module, given: (given[0].float(), *given[1:]))


def save(module: RewardModel, folder: Path) -> None:
    """Write `folder/model`, whole or not at all, loadable by transformers, vLLM and TRL; called in every process."""
    target = folder / FOLDER
    temporary = target.with_name(f".{FOLDER}.tmp")
    state = {}
    if module.tune != "lora":  # the adapter is written already
        state = {name: whole(p.detach()).cpu() for name, p in module.model.named_parameters()}
    if not module.trainer.is_global_zero:
        return
    shutil.rmtree(temporary, ignore_errors=True)
    config = module.config
    if module.tune == "lora":
        base = _base(config, "cpu")  # what was trained still has the device
        merged: Any = PeftModel.from_pretrained(base, str(folder / "adapter"), torch_device="cpu")
        merged = merged.merge_and_unload(safe_merge=True)
        merged.save_pretrained(temporary, safe_serialization=True)
    else:
        dtype = getattr(torch, config.model.dtype)
        kept = {name: value.to(dtype) for name, value in state.items()}
        module.model.save_pretrained(temporary, safe_serialization=True, state_dict=kept)
    tokenizer = text.load_tokenizer(
        config.model.path, config.model.revision, config.model.chat_template, config.model.trust_remote_code
    )
    tokenizer.pad_token_id = filling(tokenizer)
    tokenizer.save_pretrained(temporary)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(temporary, target)
