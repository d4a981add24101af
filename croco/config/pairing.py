"""Which answers become pairs: the pairing group."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FiltersConfig:
    """Answers that leave their pool before pairing, each counted by reason."""

    truncated: bool
    """Cut off at the length limit (`finish_reason` is not `stop`)."""
    empty: bool
    """No text but white space."""
    duplicate: bool
    """Same text as an earlier answer of the same prompt and language."""
    wrong_language: bool
    """Identified as another language than the prompt's; what is too short to tell is kept, and counted."""
    repetition: float | None
    """Largest share of a text's word (or character) n-grams that may be repeats; null lets all through."""
    disagreement: float | None
    """Largest standard deviation among the rewards that the members of an ensemble give an answer; null lets all through."""


@dataclass
class PairLimitsConfig:
    """Largest (or smallest) figures of the pair report that a run accepts, shares in [0, 1]; null is the level of
    croco/pairing/levels.py, and 1 accepts all."""

    min_pairs: int | None
    max_prompts_without_pair: float | None
    """Share of the pools that gave no pair."""
    max_rejected_is_minimum: float | None
    max_chosen_longer: float | None
    max_truncated: float | None
    """Share of chosen answers that were cut off."""
    max_wrong_language: float | None
    """Share of chosen answers in another language than the prompt, among those that could be told."""
    max_identical: float | None
    """Share of pairs whose two texts are the same."""
    max_one_language_wins: float | None
    """Largest share of the chosen answers of pairs across languages that one language has."""


@dataclass
class PairingConfig:
    """Which answers become chosen and rejected."""

    scope: str
    """`mono` pools the answers in one language, `multi` those in all languages of the set; `cross_only` and `same_only` pool
    as `multi` does, and take the rejected answer from another language than the chosen's, or from the same."""
    points: str
    """What `chosen` and `rejected` are: `sigma` (k of mu + k sigma) or `quantile` (a level in [0, 1]). `every` pairs each answer
    with each lower one of its pool, `pairs_per_pool` of them at most."""
    chosen: float
    """Chosen is nearest to mu + this many sigma; .inf is the best."""
    rejected: float
    """Rejected is nearest to mu + this many sigma, strictly below the chosen; -.inf is the worst."""
    samples: int | None
    """Only the first so many samples per prompt and language are pooled (best and worst of n); null pools all."""
    normalise: str
    """What selection compares: `none` (rewards), `language` (z-scores within a language), `prompt_language` (z-scores within
    a prompt and language) or `rank` (ranks within a language)."""
    prompt_language: str
    """Language of the prompt that is shown: `chosen`, `rejected`, `random` (seeded), or a language of the set."""
    min_margin: float | None
    """Smallest difference between chosen and rejected, in what selection compares."""
    max_margin: float | None
    length_ratio: float | None
    """The longer answer has at most so many times the tokens of the shorter; null pairs any lengths."""
    pairs_per_pool: int
    pairs_per_prompt: int | None
    """At most so many pairs of one prompt, over all languages, drawn by seed; null keeps all."""
    seed: int
    """Of `prompt_language: random`, `pairs_per_prompt` and the shares of a mixture."""
    filters: FiltersConfig
    limits: PairLimitsConfig
