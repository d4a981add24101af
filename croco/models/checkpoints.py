"""Checkpoints on disk or on the hub: who they are, and loading them for generation and scoring."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croco.artifacts import provenance
from croco.errors import UserError
from croco.language import frame, text
from croco.models import adapters, commits, devices, keys

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

TWO = ("LABEL_0", "LABEL_1")  # what transformers takes a configuration for that names no labels


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
    template_options: str = "{}"
    """What its chat template takes besides messages, as JSON."""


def tokenizer_of(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    """See `text.load_tokenizer`."""
    return text.load_tokenizer(
        checkpoint.path,
        checkpoint.revision,
        checkpoint.chat_template,
        checkpoint.trust_remote_code,
        json.loads(checkpoint.template_options),
    )


def identity(path: str, revision: str | None) -> str:
    """Who a checkpoint is, independent of where it lies: `sha256:...` of a folder's content, `id@commit` of a hub model
    (of a branch that neither the hub nor the cache can resolve, its name: nothing can be made from it)."""
    folder = Path(path)
    if folder.is_dir():
        return f"sha256:{provenance.fingerprint(folder)}"
    return f"{path}@{commits.commit_of(path, revision) or revision or 'main'}"


def adapter_identity(adapter: Path | str | None) -> dict[str, str]:
    """`{"adapter": "sha256:..."}` of what an adapter holds; nothing without one, so that addresses stay what they were."""
    return {} if adapter is None else {"adapter": identity(str(adapter), None)}


def device() -> torch.device:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def precision(dtype: str) -> torch.dtype:
    """The configured precision; float32 for bfloat16 where the hardware would only emulate it."""
    import torch

    if dtype != "bfloat16":
        return getattr(torch, dtype)
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return torch.bfloat16 if native else torch.float32


def load(
    auto_class: Any, checkpoint: Checkpoint, emulate: bool = False, place: str | None = None, **keywords: Any
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model on this process's device, in evaluation mode, and transformers' loading report.

    Args:
        emulate: keep the configured precision also where the hardware only emulates it, and is slow.
        place: where it goes; None is the device.

    Raises:
        UserError: nothing loadable is there, the hub cannot be reached, or the adapter is none for it.
    """
    import torch

    quieten()
    devices.begin()
    try:
        model, report = auto_class.from_pretrained(
            checkpoint.path,
            revision=checkpoint.revision,
            dtype=getattr(torch, checkpoint.dtype) if emulate else precision(checkpoint.dtype),
            attn_implementation=attention_of(checkpoint, auto_class),
            trust_remote_code=checkpoint.trust_remote_code,
            use_safetensors=True,
            output_loading_info=True,
            **keywords,
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{checkpoint.path}: cannot load this checkpoint ({reason})") from None
    if checkpoint.adapter is not None:
        adapters.put_on(model, checkpoint.adapter)
    return model.to(place or device()).eval(), report


def attention_of(checkpoint: Checkpoint, auto_class: Any) -> str:
    """The attention that computes what config.json says: SDPA has no soft-capping, and some classes have no SDPA.

    Raises:
        UserError: the configuration cannot be read, or asks for what is not done (croco/models/keys.py).
    """
    config = configuration(checkpoint)
    keys.check(checkpoint.path, config)
    if checkpoint.attention != "sdpa":
        return checkpoint.attention
    own = auto_class._model_mapping.get(type(config), None)
    if getattr(config.get_text_config(), "attn_logit_softcapping", None):
        reason = "its attention caps logits, which sdpa does not"
    elif own is not None and not getattr(own, "_supports_sdpa", True):
        reason = f"{own.__name__} has no sdpa"
    else:
        return "sdpa"
    log.warning("%s: attention is eager: %s", checkpoint.path, reason)
    return "eager"


def check_reward(checkpoint: Checkpoint) -> None:
    """Refuse, from its configuration alone, what is no reward model.

    Raises:
        UserError: no classification head, or not one label.
    """
    config = configuration(checkpoint)
    _refuse_reward(checkpoint.path, config.architectures, config.num_labels)


def check_reward_folder(folder: Path) -> None:
    """As `check_reward`, of a local folder and without loading a library: before any work, in no time.

    Raises:
        UserError: as `check_reward`; also when config.json is no JSON object.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        labels = config.get("num_labels") or len(config.get("id2label") or TWO)
    except (ValueError, AttributeError, TypeError):
        raise UserError(f"{folder}: its config.json is no checkpoint's configuration") from None
    _refuse_reward(str(folder), config.get("architectures"), labels)


def check_base_folder(folder: Path) -> None:
    """Refuse a local base that a reward model cannot be trained on: a classifier of several labels has another head.

    Raises:
        UserError: as said; also when config.json is no JSON object.
    """
    if not (folder / "config.json").is_file():
        return
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        architecture = (config.get("architectures") or [""])[0]
        labels = config.get("num_labels") or len(config.get("id2label") or TWO)
    except (ValueError, AttributeError, TypeError):
        raise UserError(f"{folder}: its config.json is no checkpoint's configuration") from None
    if "Classification" in architecture and labels != 1:
        raise UserError(f"reward.base: {folder}: has {labels} labels; a reward model has one")


def _refuse_reward(path: str, architectures: list[str] | None, labels: int) -> None:
    architecture = (architectures or ["nothing"])[0]
    if "SequenceClassification" not in architecture:
        raise UserError(f"{path}: is no reward model: it holds {architecture}, without a classification head")
    if labels != 1:
        raise UserError(f"{path}: has {labels} labels; a reward model has one")


def configuration(checkpoint: Checkpoint) -> Any:
    """A checkpoint's config.json as transformers reads it.

    Raises:
        UserError: there is none, or none that transformers knows.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(
            checkpoint.path, revision=checkpoint.revision, trust_remote_code=checkpoint.trust_remote_code
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{checkpoint.path}: cannot load this checkpoint ({reason})") from None


def check_reward_template(checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a chat template through which the reward model would not see the conversation.

    Raises:
        UserError: the template cannot render a question and its answer, or leaves one of them out.
    """
    try:
        frame.of(tokenizer)
    except UserError as error:
        raise UserError(f"{error}; it is not for scoring") from None


def quieten() -> None:
    """What transformers says about loading goes to its log, not over the progress display."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def context_of(checkpoint: Checkpoint) -> int:
    """Longest sequence in tokens a checkpoint was made for, from its configuration alone."""
    return context_length(configuration(checkpoint))


def context_length(config: Any) -> int:
    """Longest sequence in tokens the model was made for."""
    own = config.get_text_config()
    length = getattr(own, "max_position_embeddings", None)
    if length is None:
        raise UserError(
            f"{config.name_or_path}: its config has no max_position_embeddings; cannot tell the context length"
        )
    return int(length)
