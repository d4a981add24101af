"""What the policy writes while it trains: a few held-out prompts answered, looked at for length, repetition and language.

The answers are the policy's own samples, so the mean of log pi - log pi_ref over their tokens estimates KL(pi || pi_ref) without
bias: on-policy drift, which the log-probs of the training pairs do not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from croco.language import fidelity, text
from croco.language.repetition import repeated_share
from croco.training.data import Example, Probe
from croco.training.forward import Forward

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SEED = 20_260_525


@torch.no_grad()
def look(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    forward: Forward,
    probes: Sequence[Probe],
    temperature: float,
    max_new_tokens: int,
) -> dict[str, float]:
    """`kl` (nats per token), and per answer the mean `answer_tokens`, `answer_ended`, `answer_repetition` and
    `answer_language` (share in the prompt's language, of those that could be told; absent where none could)."""
    answers = _answers(model, tokenizer, probes, temperature, max_new_tokens)
    texts = [text.decode(tokenizer, ids) for ids in answers]
    told = [fidelity.matches(probe.language, t) for probe, t in zip(probes, texts, strict=True)]
    known = [fits for fits in told if fits is not None]
    out = {
        "answer_tokens": _mean([float(len(ids)) for ids in answers]),
        "answer_ended": _mean([float(len(ids) < max_new_tokens) for ids in answers]),
        "answer_repetition": _mean([repeated_share(t) for t in texts]),
        "kl": _kl(model, forward, [Example(p.prompt, (a,)) for p, a in zip(probes, answers, strict=True) if a]),
    }
    return out | ({"answer_language": _mean([float(fits) for fits in known])} if known else {})


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _answers(
    model: Any, tokenizer: PreTrainedTokenizerBase, probes: Sequence[Probe], temperature: float, max_new_tokens: int
) -> list[list[int]]:
    """One sample each, from the same random numbers every time, with the attention that generation is made for."""
    base = model.get_base_model().get_decoder()
    attention, was_training = base.config._attn_implementation, model.training
    base.set_attn_implementation("sdpa" if attention.startswith("croco") else attention)
    model.eval()
    try:
        torch.manual_seed(SEED)
        return [_answer(model, tokenizer, probe.prompt, temperature, max_new_tokens) for probe in probes]
    finally:
        model.train(was_training)
        base.set_attn_implementation(attention)


def _answer(model: Any, tokenizer: Any, prompt: list[int], temperature: float, max_new_tokens: int) -> list[int]:
    ids = torch.tensor([prompt], device=model.device)
    out = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        temperature=temperature,
        top_k=0,
        max_new_tokens=max_new_tokens,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
    )
    return out[0, len(prompt) :].tolist()


def _kl(model: Any, forward: Forward, examples: Sequence[Example]) -> float:
    if not examples:
        return 0.0
    was_training = model.training
    model.eval()
    policy = forward(model, examples)
    with model.disable_adapter():
        reference = forward(model, examples)
    model.train(was_training)
    return float((policy.values.double() - reference.values.double()).mean())
