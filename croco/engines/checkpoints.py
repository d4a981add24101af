"""Checkpoints on disk or on the hub: who they are, and loading them for generation and scoring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croco import provenance
from croco.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Checkpoint:
    """A model that generates or scores."""

    path: str
    """A local folder or a hub id."""
    revision: str | None = None
    dtype: str = "float32"
    attention: str = "sdpa"
    trust_remote_code: bool = False
    chat_template: str | None = None
    adapter: Path | None = None
    """A PEFT folder to put on top."""


def identity(path: str, revision: str | None) -> str:
    """Who a checkpoint is, independent of where it lies: `sha256:...` of a folder's content, `id@revision` of a hub model."""
    folder = Path(path)
    if folder.is_dir():
        return f"sha256:{provenance.fingerprint(folder)}"
    return f"{path}@{revision or 'main'}"


def device() -> torch.device:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load(auto_class: Any, checkpoint: Checkpoint, **keywords: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model on this process's device, in evaluation mode, and transformers' loading report.

    Raises:
        UserError: nothing loadable is there, or the hub cannot be reached.
    """
    import torch

    quieten()
    try:
        model, report = auto_class.from_pretrained(
            checkpoint.path,
            revision=checkpoint.revision,
            dtype=getattr(torch, checkpoint.dtype),
            attn_implementation=checkpoint.attention,
            trust_remote_code=checkpoint.trust_remote_code,
            use_safetensors=True,
            output_loading_info=True,
            **keywords,
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{checkpoint.path}: cannot load this checkpoint ({reason})") from None
    if checkpoint.adapter is not None:
        model.load_adapter(str(checkpoint.adapter))
    return model.to(device()).eval(), report


def quieten() -> None:
    """What transformers says about loading goes to its log, not over the progress display."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def context_length(config: Any) -> int:
    """Longest sequence in tokens the model was made for."""
    text = config.get_text_config()
    length = getattr(text, "max_position_embeddings", None)
    if length is None:
        raise UserError(
            f"{config.name_or_path}: its config has no max_position_embeddings; cannot tell the context length"
        )
    return int(length)
