"""The policy: the base with a LoRA adapter, set up for what the configuration asks of memory and speed."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from croco.config import Config, seeds
from croco.engines import factory
from croco.errors import UserError
from croco.models import adapters, shapes
from croco.models.checkpoints import load
from croco.training import fused_lora, fused_norm, trial

log = logging.getLogger(__name__)

RANDOM = (
    "attention_dropout",
    "attn_dropout",
    "dropout",
    "dropout_prob",
    "router_jitter_noise",
    "jitter_noise",
    "layerdrop",
)
"""Attributes of modules that name a probability, or the strength of a noise."""
RESERVE = 0.1  # share of the free memory that is left to fragmentation and the optimiser


def build_model(config: Config, dropout: float) -> Any:
    """The base with a fresh adapter of `model.lora`, or of the kind that `model.adapter` is; frozen weights in `model.dtype`,
    adapters in float32.

    Raises:
        UserError: the checkpoint lacks one of `model.lora.targets`, or the adapter is of a kind that is not trained here.
    """
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seeds.of_adapter(config))
    base, _ = load(AutoModelForCausalLM, replace(factory.policy(config.model), adapter=None), emulate=True)
    try:
        model = get_peft_model(base, _settings(config, base, dropout), autocast_adapter_dtype=True)
    except ValueError as error:
        key = "model.lora.targets" if config.model.adapter is None else f"model.adapter: {config.model.adapter}"
        raise UserError(f"{key}: {str(error).splitlines()[0]}") from None
    if getattr(model.peft_config["default"], "target_parameters", None):
        raise UserError(
            "model.lora.targets: they reach the experts, whose weights are no layers; name the layers, e.g. "
            "[q_proj,k_proj,v_proj,o_proj]"
        )
    return ready(model, config, dropout)


def ready(model: Any, config: Config, dropout: float) -> Any:
    """A model that is about to be trained, set up for what the configuration asks of dropout, speed and memory."""
    if dropout == 0:
        without_dropout(model)  # the base's own too, as the authors' trainer does
    if config.trainer.fused_lora:
        fused_lora.fuse(model)
    if config.trainer.fused_norms:
        fused_norm.fuse(model)
    model.train()  # transformers loads in evaluation mode, in which neither dropout nor checkpointing would act
    if recomputes(config, model.get_base_model()):
        trial.recompute(model)
    return model


def _settings(config: Config, base: Any, dropout: float) -> LoraConfig:
    """What `model.adapter` was made with, where there is one: rounds go on with it, and so does a reference."""
    lora = config.model.lora
    if config.model.adapter is not None:
        settings = adapters.settings_of(Path(config.model.adapter))
        settings.lora_dropout, settings.inference_mode, settings.task_type = dropout, False, "CAUSAL_LM"
        if (settings.r, settings.lora_alpha) != (lora.r, lora.alpha):
            log.warning("model.lora: r=%d and alpha=%d are those of model.adapter", settings.r, settings.lora_alpha)
        return settings
    outside = adapters.check_targets(base, lora.targets)
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        lora_dropout=dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        exclude_modules=outside,
        bias="none",
        task_type="CAUSAL_LM",
    )


def without_dropout(model: Any) -> None:
    """Nothing is drawn at random in a forward pass any more: neither layers of dropout, nor what attention and routers do
    themselves."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in RANDOM:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def recomputes(config: Config, base: Any) -> bool:
    """Whether the backward pass computes activations again: as `trainer.gradient_checkpointing` says.

    Where it does not, one process tries a pack (trial.py); several, whose weights may not be in place before they meet, estimate.
    """
    wanted = config.trainer.gradient_checkpointing
    if wanted is not None:
        return wanted
    if base.device.type != "cuda" or config.trainer.processes == 1:
        return False
    free, _ = torch.cuda.mem_get_info(base.device)
    needed = config.trainer.tokens_per_pack * shapes.of_config(base.config.to_dict()).activations(base.dtype.itemsize)
    if needed > (1 - RESERVE) * free:
        log.warning(
            "trainer.gradient_checkpointing: on, %.0f GB of activations do not fit %.0f GB", needed / 1e9, free / 1e9
        )
        return True
    return False
