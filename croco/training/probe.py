"""What the policy writes while it trains: a few held-out prompts answered, looked at for length, repetition and language.

The answers are the policy's own samples, so the mean of log pi - log pi_ref over their tokens estimates KL(pi || pi_ref) without
bias: on-policy drift, which the log-probs of the training pairs do not show.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig

from croco.engines.stops import stop_ids
from croco.language import fidelity, text
from croco.language.repetition import repeated_share
from croco.training import compiled
from croco.training.data import Example, Probe, packs
from croco.training.forward import Forward
from croco.training.start import BASE, Reference

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SEED = 20_260_525


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn: as the run draws its own, whatever the checkpoint's generation_config.json says."""

    temperature: float
    top_p: float
    max_new_tokens: int


@torch.no_grad()
def look(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    forward: Forward,
    probes: Sequence[Probe],
    sampling: Sampling,
    budget: int,
    reference: Reference = BASE,
) -> dict[str, float]:
    """`kl` (nats per token), and per answer the mean `answer_tokens`, `answer_ended`, `answer_repetition` and
    `answer_language` (share in the prompt's language, of those that could be told; absent where none could).

    Args:
        budget: tokens in a forward pass, those still to be written included.
    """
    stops = stop_ids(model.get_base_model().generation_config, tokenizer)
    answers = _answers(model, tokenizer, probes, sampling, stops, budget)
    texts = [text.decode(tokenizer, ids) for ids in answers]
    told = [fidelity.matches(probe.language, t) for probe, t in zip(probes, texts, strict=True)]
    known = [fits for fits in told if fits is not None]
    out = {
        "answer_tokens": _mean([float(len(ids)) for ids in answers]),
        "answer_ended": _mean([float(bool(ids) and ids[-1] in stops) for ids in answers]),
        "answer_repetition": _mean([repeated_share(t) for t in texts]),
        "kl": _kl(
            model,
            forward,
            [Example(p.prompt, (a,)) for p, a in zip(probes, answers, strict=True) if a],
            budget,
            reference,
        ),
    }
    return out | ({"answer_language": _mean([float(fits) for fits in known])} if known else {})


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _answers(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    probes: Sequence[Probe],
    sampling: Sampling,
    stops: Collection[int],
    budget: int,
) -> list[list[int]]:
    """One sample each, from the same random numbers every time, with the attention that generation is made for; many at once."""
    whole = model.get_base_model()
    base = whole.get_decoder()
    attention, was_training, own = base.config._attn_implementation, model.training, whole.generation_config
    base.set_attn_implementation("sdpa" if attention.startswith("croco") else attention)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    draws = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
    whole.generation_config = GenerationConfig(
        **(draws if sampling.temperature else {"do_sample": False}),
        max_new_tokens=sampling.max_new_tokens,
        pad_token_id=pad,
        eos_token_id=sorted(stops),
    )
    model.eval()
    answers: list[list[int]] = [[] for _ in probes]
    try:
        torch.manual_seed(SEED)
        for places in _batches([len(probe.prompt) + sampling.max_new_tokens for probe in probes], budget):
            for place, ids in zip(places, _written(model, [probes[i].prompt for i in places], stops), strict=True):
                answers[place] = ids
        return answers
    finally:
        model.train(was_training)
        whole.generation_config = own
        base.set_attn_implementation(attention)


def _batches(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Places, shortest first, of which so many are taken together that their padded rows hold at most `budget` tokens."""
    batches: list[list[int]] = []
    for place in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        if batches and sizes[place] * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches


def _written(model: Any, prompts: Sequence[list[int]], stops: Collection[int]) -> list[list[int]]:
    """What follows each prompt, up to and including the token that ended it."""
    longest = max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    with compiled.as_they_are():  # every length would be compiled anew
        out = model.generate(input_ids=ids.to(model.device), attention_mask=mask.to(model.device))
    rows = out[:, longest:].tolist()
    ends = [next((n + 1 for n, token in enumerate(row) if token in stops), len(row)) for row in rows]
    return [row[:end] for row, end in zip(rows, ends, strict=True)]


def _kl(model: Any, forward: Forward, examples: Sequence[Example], budget: int, reference: Reference) -> float:
    if not examples:
        return 0.0
    was_training = model.training
    model.eval()
    total = 0.0
    for group in packs(range(len(examples)), forward.sizes(examples), budget):
        some = [examples[i] for i in group]
        policy = forward(model, some)
        with reference.of(model):
            referred = forward(model, some)
        total += float((policy.values.double() - referred.values.double()).sum())
    model.train(was_training)
    return total / sum(len(e.answers[0]) for e in examples)
