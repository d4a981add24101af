"""LoRA adapters as PEFT reads them: what a folder's adapter_config.json says is done, or refused in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croco.errors import UserError

if TYPE_CHECKING:
    from peft import LoraConfig

ALL_LINEAR = "all-linear"
DONE = {
    "r",
    "lora_alpha",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "use_dora",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "fan_in_fan_out",
}
"""Keys that change what an adapter computes, and are done as they are written."""
OF_MAKING = {
    "lora_dropout",
    "init_lora_weights",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "velora_config",
    "kasa_config",
    "runtime_config",
    "qalora_group_size",
    "megatron_core",
    "task_type",
    "inference_mode",
    "auto_mapping",
    "peft_type",
    "peft_version",
    "base_model_name_or_path",
    "revision",
}
"""Keys that say how an adapter came to be, or nothing once another key is refused."""
PLAIN = {True, False, None, "gaussian", "eva", "orthogonal"}
"""`init_lora_weights` that leave the base's weights alone."""


def settings_of(folder: Path) -> LoraConfig:
    """An adapter's configuration.

    Raises:
        UserError: it is no LoRA adapter, or of a kind that is not computed here.
    """
    from peft import LoraConfig, PeftConfig

    try:
        settings = PeftConfig.from_pretrained(str(folder))
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{folder}: its adapter_config.json cannot be read ({reason})") from None
    if not isinstance(settings, LoraConfig):
        raise UserError(f"{folder}: is no LoRA adapter (adapter_config.json: peft_type={settings.peft_type})")
    refused = [name for name, value in _further(settings).items() if value not in (None, False, [], {}, "none")]
    if settings.init_lora_weights not in PLAIN:  # they take away from the base's weights what they put into the adapter
        refused.append("init_lora_weights")
    if refused:
        name = refused[0]
        raise UserError(
            f"{folder}: adapter_config.json: {name}={getattr(settings, name)!r} is not supported; merge this adapter into its "
            "base with PEFT, and name the result as the checkpoint"
        )
    return settings


def put_on(model: Any, folder: Path) -> None:
    """Load an adapter into a transformers model.

    Raises:
        UserError: it is of a kind that is not computed here, or does not fit the model.
    """
    settings_of(folder)
    try:
        found = model.load_adapter(str(folder))
        if found.missing_keys or found.unexpected_keys:
            # Transformers does not find DoRA's magnitudes by the names under which PEFT keeps them; PEFT itself does.
            from peft import set_peft_model_state_dict
            from safetensors.torch import load_file

            weights = load_file(folder / "adapter_model.safetensors")
            own = {name.removeprefix("base_model.model."): value for name, value in weights.items()}
            found = set_peft_model_state_dict(model, own)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder}: does not fit its base ({str(error).strip().splitlines()[0]})") from None
    lacking = [
        name for name in found.missing_keys if any(mark in name for mark in ("lora_A", "lora_B", "lora_magnitude"))
    ]
    for name in (*found.unexpected_keys, *lacking):
        raise UserError(f"{folder}: does not fit its base ({name} is on one side only)")


def _further(settings: LoraConfig) -> dict[str, Any]:
    """Keys beside those that are done or say nothing: modules_to_save, bias, and whatever PEFT thinks of next."""
    return {name: value for name, value in vars(settings).items() if name not in DONE | OF_MAKING and name[0] != "_"}


def alike(one: LoraConfig, other: LoraConfig) -> bool:
    """Whether two adapters whose weights have equal names and shapes compute the same from equal weights."""
    names = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "fan_in_fan_out")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def rank_of(folder: Path) -> int:
    """The largest of an adapter's ranks."""
    settings = settings_of(folder)
    return max([settings.r, *(settings.rank_pattern or {}).values()])


def check_targets(model: Any, targets: Sequence[str] | str) -> str | None:
    """A pattern for PEFT's `exclude_modules`: what has a target's name outside the language model (a vision tower).

    Raises:
        UserError: the language model has no linear layer of a target's name; says which it has.
    """
    inside, outside = linear_layers(model)
    if not isinstance(targets, str):
        missing = [t for t in targets if not any(_is(name, t) for name in inside)]
        if missing:
            there = sorted({name.split(".")[-1] for name in inside})
            raise UserError(
                f"model.lora.targets: {', '.join(missing)}: this model has no such layer; its linear layers are "
                f"{', '.join(there)}"
            )
        outside = [name for name in outside if any(_is(name, t) for t in targets)]
    return "|".join(map(re.escape, outside)) or None


def _is(name: str, target: str) -> bool:
    """PEFT's rule: the whole name, or its end behind a dot."""
    return name == target or name.endswith(f".{target}")


def linear_layers(model: Any) -> tuple[list[str], list[str]]:
    """Names of the linear layers of the language model with its head, and of those outside it."""
    import torch

    decoder = {id(module) for module in model.get_decoder().modules()} | {id(model.get_output_embeddings())}
    inside: list[str] = []
    outside: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            (inside if id(module) in decoder else outside).append(name)
    return inside, outside
