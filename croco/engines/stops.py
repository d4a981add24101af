"""Which tokens end an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from croco.language import text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def stop_ids(generation_config: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token that ends an answer: the template's end of turn, and the EOS ids of the checkpoint and of its tokenizer.

    vLLM ends at the latter whatever it is told, and it is what a grammar has a complete answer end with.
    """
    own = getattr(generation_config, "eos_token_id", None)
    ids = own if isinstance(own, list) else [own]
    return frozenset(i for i in (text.end_of_turn(tokenizer), tokenizer.eos_token_id, *ids) if i is not None)
