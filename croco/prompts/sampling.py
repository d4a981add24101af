"""Which prompts a run takes: drawn by the hash of their ids, so that translations never straddle train and held-out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

from croco.artifacts.records import Prompt
from croco.config import PromptsConfig

MOST_HELDOUT = 0.2  # of the prompts there are, when there are fewer than asked for
ROOM = 10_000  # prompts in memory beyond twice those that are drawn


Fits = Callable[[Prompt], bool]


def draw(config: PromptsConfig, prompts: Iterable[Prompt], fits: Fits = lambda prompt: True) -> list[Prompt]:
    """Held-out from one end of the ids' hash order, train from the other; memory holds about what is drawn.

    What is drawn depends on the seed and on which ids there are, not on their order nor on the languages that have them.

    Args:
        fits: whether a prompt may be taken; a slow question, asked in the order of the draw until there are enough.
    """
    # How many fit has to be known only where held-out prompts may be too large a part of them.
    asked_first = config.heldout > MOST_HELDOUT * (config.heldout + config.train)
    known: dict[tuple[str, str], bool] = {}

    def fit(prompt: Prompt) -> bool:
        key = prompt.prompt_id, prompt.language
        if key not in known:
            known[key] = fits(prompt)
        return known[key]

    ids: set[str] = set()
    kept: list[Prompt] = []
    pruned = 0
    for prompt in prompts:
        if asked_first and not fit(prompt):
            continue
        ids.add(prompt.prompt_id)
        kept.append(prompt)
        if len(kept) > 2 * pruned + ROOM:
            kept = _ends(config, kept, config.heldout, fit)
            pruned = len(kept)
    drawn = _ends(config, kept, min(config.heldout, int(MOST_HELDOUT * len(ids))), fit)
    there = {p.prompt_id for p in drawn}
    if len(there) < config.heldout + config.train and not asked_first:  # these are all that fit
        drawn = _ends(config, drawn, min(config.heldout, int(MOST_HELDOUT * len(there))), fit)
    return drawn


def _ends(config: PromptsConfig, prompts: list[Prompt], heldout: int, fit: Fits) -> list[Prompt]:
    """The prompts that fit of the first `heldout` and the last `train` ids in hash order, with their splits."""
    by_id: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        by_id.setdefault(prompt.prompt_id, []).append(prompt)
    order = sorted(by_id, key=lambda i: hashlib.sha256(f"{config.seed}/{i}".encode()).digest())

    def some(ids: Iterable[str], count: int) -> set[str]:
        return set(islice((i for i in ids if any(fit(p) for p in by_id[i])), count))

    first = some(order, heldout)
    last = some(reversed(order), config.train) - first
    both = first | last
    return [
        replace(p, split="heldout" if p.prompt_id in first else "train")
        for p in prompts
        if p.prompt_id in both and fit(p)
    ]
