"""From scored answers to pairs of answers, by position: pools, comparable rewards, the rule, the language of the prompt."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from croco.config import PairingConfig
from croco.maths import pairing, standardise
from croco.pairing.answers import Answers


@dataclass(frozen=True)
class Chosen:
    """P pairs; arrays of shape (P,), sorted by prompt and pool."""

    answers: Answers
    """The N answers that were pooled."""
    value: NDArray[np.float64]
    """(N,) what selection compared."""
    chosen: NDArray[np.int64]
    """Position in `answers`."""
    rejected: NDArray[np.int64]
    prompt_language: NDArray[np.int16]
    """Index into `answers.languages`."""
    pool_size: NDArray[np.int64]
    pool_min: NDArray[np.float64]
    pool_mean: NDArray[np.float64]
    pool_std: NDArray[np.float64]
    pools: int
    """Pools there were, before anything was left out."""
    left_out: dict[str, int]
    """Answers that did not enter their pool, by reason."""
    refused: dict[str, int]
    """Pools (after the language of the prompt is known, pairs) that came to nothing, by reason."""
    alone: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Position of the answer that is chosen in a pool which gives no pair: what single answers are trained on besides."""

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Chosen:
        """The pairs at these positions, or where this mask holds."""
        per_pair = ("chosen", "rejected", "prompt_language", "pool_size", "pool_min", "pool_mean", "pool_std")
        return replace(self, **{name: getattr(self, name)[rows] for name in per_pair})


def unpaired(pairs: Chosen, config: PairingConfig, prompt_rows: NDArray[np.int64]) -> Chosen:
    """The answers of `pairs.alone` with the prompts that they are shown behind; each stands on both sides."""
    nothing = np.zeros(len(pairs.alone))
    same = replace(
        pairs,
        chosen=pairs.alone,
        rejected=pairs.alone,
        prompt_language=nothing.astype(np.int16),
        pool_size=nothing.astype(np.int64),
        pool_min=nothing,
        pool_mean=nothing,
        pool_std=nothing,
    )
    return _prompted(same, config, prompt_rows)


def pools_of(answers: Answers, scope: str) -> NDArray[np.int64]:
    """(N,) number of each answer's pool: per prompt and language when `mono`, else per prompt."""
    prompt = answers.prompt.astype(np.int64)
    return prompt * len(answers.languages) + answers.language if scope == "mono" else prompt


def comparable(answers: Answers, normalise: str) -> NDArray[np.float64]:
    """(N,) what selection compares: the rewards, or their z-scores or ranks within a language (and prompt)."""
    if normalise == "language":
        return standardise.z_scores(answers.reward, answers.language)
    if normalise == "prompt_language":
        return standardise.z_scores(answers.reward, pools_of(answers, "mono"))
    if normalise == "rank":
        return standardise.ranks(answers.reward, answers.language)
    return answers.reward


def rule_of(config: PairingConfig) -> pairing.Rule:
    return pairing.Rule(
        chosen=config.chosen,
        rejected=config.rejected,
        points=config.points,
        relation={"cross_only": "cross", "same_only": "same"}.get(config.scope, "any"),
        length_ratio=config.length_ratio,
        min_margin=config.min_margin,
        max_margin=config.max_margin,
        per_pool=config.pairs_per_pool,
    )


def choose(
    answers: Answers,
    config: PairingConfig,
    prompt_rows: NDArray[np.int64],
    filtered: dict[str, NDArray[np.bool_]] | None = None,
    eligible: NDArray[np.bool_] | None = None,
) -> Chosen:
    """Pairs of all pools.

    Args:
        answers: in pool order.
        prompt_rows: (prompts, languages) row of each prompt in the table of prompts, -1 where it is not in that language.
        filtered: by reason, (N,) answers that must not enter a pool; an answer counts under its first reason.
        eligible: (N,) answers that may be chosen; all by default.
    """
    if config.samples is not None:
        first = answers.sample < config.samples
        filtered = {reason: mask[first] for reason, mask in (filtered or {}).items()}
        eligible = None if eligible is None else eligible[first]
        answers = answers.take(first)
    all_pools = pools_of(answers, config.scope)
    scored = np.isfinite(answers.reward)
    keep, left_out = scored.copy(), {"failed score": int((~scored).sum())}
    for reason, mask in (filtered or {}).items():
        left_out[reason] = int((keep & mask).sum())
        keep &= ~mask
    pooled = answers if keep.all() else answers.take(keep)
    pools = all_pools[keep]
    value = comparable(pooled, config.normalise)
    may = None if eligible is None else eligible[keep]
    if config.points == "every":
        selection = pairing.every_pair(value, pools, config.pairs_per_pool, config.seed, may)
    else:
        selection = pairing.select(value, pools, rule_of(config), pooled.language, pooled.tokens, may)
    total, with_score, with_answer = (_distinct(p) for p in (all_pools, all_pools[scored], pools))
    refused = {"no scored answer": total - with_score, "all answers filtered": with_score - with_answer}
    columns = {f.name: getattr(selection, f.name) for f in fields(selection) if f.name != "refused"}
    none = np.zeros(len(selection.chosen), np.int16)
    alone = pairing.best(value, pools, rule_of(config), may)
    alone = alone[(alone >= 0) & ~np.isin(pools[alone], pools[selection.chosen])]
    found = Chosen(
        answers=pooled,
        value=value,
        prompt_language=none,
        pools=total,
        left_out=left_out,
        refused=refused | selection.refused,
        alone=alone,
        **columns,
    )
    return _cap(_prompted(found, config, prompt_rows), config)


def _distinct(sorted_pools: NDArray[np.int64]) -> int:
    return int((sorted_pools[1:] != sorted_pools[:-1]).sum()) + 1 if len(sorted_pools) else 0


def _prompted(pairs: Chosen, config: PairingConfig, prompt_rows: NDArray[np.int64]) -> Chosen:
    """With the language of the prompt that is shown; a pair whose prompt does not exist in it is refused."""
    answers = pairs.answers
    prompt = answers.prompt[pairs.chosen]
    if config.prompt_language in ("chosen", "rejected"):
        language = answers.language[getattr(pairs, config.prompt_language)]
    elif config.prompt_language == "random":
        there = prompt_rows[prompt] >= 0  # (P, languages)
        draw = _draws(pairs, config.seed, "prompt language") * there.sum(axis=1)
        language = (np.cumsum(there, axis=1) > draw[:, None]).argmax(axis=1).astype(np.int16)
    elif config.prompt_language in answers.languages:
        language = np.full(len(pairs), answers.languages.index(config.prompt_language), np.int16)
    else:
        language = np.full(len(pairs), -1, np.int16)
    there = (language >= 0) & (prompt_rows[prompt, language] >= 0)
    refused = pairs.refused | {"no prompt in the language wanted": int((~there).sum())}
    return replace(pairs, prompt_language=language, refused=refused).take(there)


def _cap(pairs: Chosen, config: PairingConfig) -> Chosen:
    """At most `pairs_per_prompt` of each prompt, those with the smallest draws."""
    if config.pairs_per_prompt is None:
        return pairs
    draws = _draws(pairs, config.seed, "pairs per prompt")
    prompt = pairs.answers.prompt[pairs.chosen]
    order = np.lexsort((draws, prompt))
    seen: Counter[int] = Counter()
    keep = np.zeros(len(pairs), bool)
    for position in order:
        seen[int(prompt[position])] += 1
        keep[position] = seen[int(prompt[position])] <= config.pairs_per_prompt
    refused = pairs.refused | {"enough pairs of the prompt": int((~keep).sum())}
    return replace(pairs, refused=refused).take(keep)


def _draws(pairs: Chosen, seed: int, purpose: str) -> NDArray[np.float64]:
    """(P,) uniform in [0, 1), a hash of the pair's identity: the same however the rows were ordered or cut."""
    answers = pairs.answers
    return np.array(
        [
            draw(
                seed,
                purpose,
                answers.prompt_ids[answers.prompt[c]],
                answers.languages[answers.language[c]],
                str(answers.sample[c]),
            )
            for c in pairs.chosen
        ],
        dtype=np.float64,
    )


def draw(seed: int, *identity: str) -> float:
    """Uniform in [0, 1), from nothing but its arguments."""
    digest = hashlib.sha256("\0".join((str(seed), *identity)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
