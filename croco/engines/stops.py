"""Which tokens end an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from croco.language import text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def stop_ids(generation_config: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token that ends an answer: the template's end of turn and the checkpoint's own EOS ids."""
    own = getattr(generation_config, "eos_token_id", None)
    ids = own if isinstance(own, list) else [own]
    return frozenset({text.end_of_turn(tokenizer), *(i for i in ids if i is not None)})
