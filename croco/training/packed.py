"""The same log-probs in less work: rows without padding, each prompt encoded once for all its answers.

A pack is one row of tokens, [prompt | answer | answer | prompt | answer | ...], in which the positions of every answer go on
behind its own prompt; attention follows the segments (attention.py). An answer's last token is a target only and never enters the
row. It plugs into transformers' attention interface; no model is changed.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from croco.config import TrainerConfig
from croco.maths.logps import chunked_logps, target_logps
from croco.training.attention import Heads, Layout, Segment, best, on, registered
from croco.training.examples import Example
from croco.training.forward import AnswerLogps, Forward, padded

log = logging.getLogger(__name__)

NAME = "croco_segments"
FAMILIES = frozenset(
    {
        "apertus",
        "cohere",
        "cohere2",
        "gemma3_text",
        "granite",
        "llama",
        "mistral",
        "mixtral",
        "olmo2",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3",
    }
)
"""Model types whose attention is proven to be what attention.py computes (tests/training/test_packed.py, tests/zoo)."""


@dataclass(frozen=True)
class Row:
    """A pack laid out; `sources` are the places whose hidden state predicts `targets`, answer after answer."""

    ids: list[int]
    positions: list[int]
    segments: list[Segment]
    sources: list[int]
    targets: list[int]
    lengths: list[int]
    """Tokens of every answer, answers of one example together."""


def lay_out(examples: Sequence[Example]) -> Row:
    """One row of all examples."""
    row = Row([], [], [], [], [], [])
    for example in examples:
        begin = len(row.ids)
        end = begin + len(example.prompt)
        row.ids.extend(example.prompt)
        row.positions.extend(range(len(example.prompt)))
        row.segments.append(Segment(begin, end, begin, begin))
        for answer in example.answers:
            start, inner = len(row.ids), answer[:-1]
            row.ids.extend(inner)
            row.positions.extend(range(len(example.prompt), len(example.prompt) + len(inner)))
            if inner:
                row.segments.append(Segment(start, start + len(inner), begin, end))
            row.sources.extend([end - 1, *range(start, start + len(inner))])
            row.targets.extend(answer)
            row.lengths.append(len(answer))
    return row


def packed(
    model: Any, examples: Sequence[Example], share_prompts: bool = True, chunked_head: bool = True
) -> AnswerLogps:
    """What `forward.padded` returns, from one row; `trainer.share_prompts` and `trainer.chunked_head` say how."""
    if not share_prompts:
        examples = [Example(e.prompt, (answer,)) for e in examples for answer in e.answers]
    base, row = model.get_base_model(), lay_out(examples)
    device = model.device
    ids, positions = (on(device, torch.tensor([numbers])) for numbers in (row.ids, row.positions))
    layout = Layout(row.segments, device)
    decoder = base.get_decoder()  # of a model that sees pictures, too, the part that reads text
    states = decoder(input_ids=ids, position_ids=positions, use_cache=False, layout=layout).last_hidden_state[0]
    sources, targets = (on(device, torch.tensor(numbers)) for numbers in (row.sources, row.targets))
    scale = logit_factor(base.config.get_text_config())
    hidden = states[sources] if scale == 1 else states[sources] * scale
    head = base.get_output_embeddings().weight
    logps = chunked_logps(hidden, head, targets) if chunked_head else target_logps(hidden @ head.T, targets)
    return AnswerLogps(logps, row.lengths)


def logit_factor(config: Any) -> float:
    """By what a model's class multiplies the output layer's logits: Cohere's factor, Granite's divisor."""
    return float(getattr(config, "logit_scale", None) or 1) / float(getattr(config, "logits_scaling", None) or 1)


def choose(model: Any, hardware: TrainerConfig) -> Forward:
    """The packed path where it is wanted and `fitting`, else the padded one."""
    if not hardware.packing:
        return padded
    return fitting(model, hardware.tokens_per_pack, hardware.share_prompts, hardware.chunked_head)


def fitting(model: Any, tokens: int, share: bool = True, chunked: bool = True) -> Forward:
    """The packed path where it is proven for this model, in rows of so many tokens, else the padded one; a refusal is logged."""
    base = model.get_base_model()
    reason = refusal(base)
    if reason is not None:
        log.warning("trainer.packing: %s; rows are padded, same numbers, more work", reason)
        return padded
    attention = best(model.device, base.dtype, Heads.of(base), tokens)
    registry = f"{NAME}_{attention.__name__}"  # of two models in a process each keeps its own
    AttentionInterface.register(registry, registered(attention))
    AttentionMaskInterface.register(registry, lambda *arguments, **keywords: None)
    base.get_decoder().set_attn_implementation(registry)
    name = "packed" + ("" if share else ", prompts repeated") + ("" if chunked else ", whole logits")
    way = functools.partial(packed, share_prompts=share, chunked_head=chunked)
    return Forward(name, way, shares_prompts=share)


def refusal(base: Any) -> str | None:
    """Why a model cannot be packed; None when it can."""
    config = base.config.get_text_config()
    if config.model_type not in FAMILIES:
        return f"not proven for model type '{config.model_type}'"
    if getattr(config, "final_logit_softcapping", None) or getattr(config, "attn_logit_softcapping", None):
        return "the model caps its logits"
    if getattr(base.get_output_embeddings(), "bias", None) is not None:
        return "its output layer has a bias"
    targets = model_targets(base)
    if any(module is base.get_output_embeddings() for module in targets):
        return "its output layer has an adapter"
    return None


def model_targets(base: Any) -> list[Any]:
    """The modules that carry an adapter."""
    return [module for module in base.modules() if hasattr(module, "lora_A")]
