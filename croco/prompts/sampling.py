"""Which prompts a run takes: drawn by the hash of their ids, so that translations never straddle train and held-out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from croco.artifacts.records import Prompt
from croco.config import PromptsConfig

MOST_HELDOUT = 0.2  # of the prompts there are, when there are fewer than asked for
ROOM = 10_000  # prompts in memory beyond twice those that are drawn


def draw(config: PromptsConfig, prompts: Iterable[Prompt]) -> list[Prompt]:
    """Held-out from one end of the ids' hash order, train from the other; memory holds about what is drawn.

    What is drawn depends on the seed and on which ids there are, not on their order nor on the languages that have them.
    """
    ids: set[str] = set()
    kept: list[Prompt] = []
    pruned = 0
    for prompt in prompts:
        ids.add(prompt.prompt_id)
        kept.append(prompt)
        if len(kept) > 2 * pruned + ROOM:
            kept = _ends(config, kept, config.heldout)
            pruned = len(kept)
    heldout = min(config.heldout, int(MOST_HELDOUT * len(ids)))
    return _ends(config, kept, heldout)


def _ends(config: PromptsConfig, prompts: list[Prompt], heldout: int) -> list[Prompt]:
    """The prompts of the first `heldout` and the last `train` ids in hash order, with their splits."""
    order = sorted({p.prompt_id for p in prompts}, key=lambda i: hashlib.sha256(f"{config.seed}/{i}".encode()).digest())
    first = set(order[:heldout])
    last = set(order[::-1][: config.train]) - first
    both = first | last
    return [replace(p, split="heldout" if p.prompt_id in first else "train") for p in prompts if p.prompt_id in both]
