"""Settings that a YAML leaves to what is there: length of a context, numbers that are computed well, topics not trained on."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import OmegaConf

from croco.config import reach

CPU_FLAGS = {"amx_bf16", "avx512_bf16"}


def context_of(path: str, revision: str | None, most: int) -> int:
    """Positions of the checkpoint, at most `most`; that many where its config.json is not there or does not say."""
    try:
        config = json.loads(_config_file(path, revision).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # preflight says what is wrong with it
        return most
    text = config.get("text_config") or config  # of models that also see
    length = text.get("max_position_embeddings")
    return min(length, most) if isinstance(length, int) else most


def _config_file(path: str, revision: str | None) -> Path:
    if Path(path).is_dir() or path.count("/") != 1 or path.startswith((".", "/", "~")):
        return Path(path) / "config.json"
    from huggingface_hub import hf_hub_download

    reach.missing()
    return Path(hf_hub_download(path, "config.json", revision=revision))


def half_precision(accelerator: str = "cpu") -> str:
    """`bfloat16` where this machine computes it well, else `float32`; for a GPU the same on machines that have none."""
    flags = Path("/proc/cpuinfo").read_text().split("flags", 1)[-1].split("\n", 1)[0] if _linux() else ""
    if CPU_FLAGS & set(flags.split()):
        return "bfloat16"
    import torch

    if not torch.cuda.is_available():
        return "bfloat16" if accelerator == "gpu" else "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"


def unseen_topics(source: str) -> str:
    """Of our own prompts, those that training on `source` leaves: `heldout`, or `all`."""
    return "heldout" if source == "checks" else "all"


def _linux() -> bool:
    return Path("/proc/cpuinfo").is_file()


def register() -> None:
    """For the files of conf/; a job of a sweep has the values of where the sweep was called."""
    for function in (context_of, half_precision, unseen_topics):
        OmegaConf.register_new_resolver(function.__name__, function, replace=True, use_cache=True)
