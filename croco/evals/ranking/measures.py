"""What one accuracy hides: whether a reward model ranks by length, how sure it is where it is right and where it is wrong, and
whether it is right where people were sure.

Balanced accuracy is the mean of the accuracies where the better answer is the longer and where it is the shorter one: in
preference data it is mostly the one or the other, and an accuracy over all pairs then says how long good answers are there.
Calibration takes sigmoid(difference of the rewards) for the probability that Bradley-Terry gives the better answer; a pair is
seen from both sides, so that a model that says 1/2 of every pair is calibrated and useless (expected calibration error: Naeini
et al. 2015).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from croco.evals.comparing import paired
from croco.evals.ranking.accuracy import CHOSEN, REJECTED, Item
from croco.maths import statistics
from croco.show.tables import Table

BINS = 10
LEAST = 5
"""Pairs of either kind, below which an accuracy is not balanced."""
LEVELS = 5
"""Margins of the data that are at most so many numbers, such as ratings, are told one by one; others by quarters."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Compared:
    """The comparisons of one language, whose both answers have a reward, shape (pairs,) each."""

    margin: Floats
    """Reward of the better answer minus that of the worse."""
    longer: Floats
    """Characters of the better answer minus those of the worse."""
    said: Floats
    """How much better it is in the data's own measure; NaN where the data do not say."""

    @property
    def right(self) -> Floats:
        """1, 1/2 for equal rewards, or 0."""
        return (self.margin > 0) + 0.5 * (self.margin == 0)

    def balanced(self, settings: paired.Settings) -> statistics.Interval | None:
        """Accuracy balanced over length; None where one kind of pair is as good as missing."""
        kinds = (self.longer > 0, self.longer < 0)
        if min(int(kind.sum()) for kind in kinds) < LEAST:
            return None
        told = np.array([np.where(kind, self.right, np.nan) for kind in kinds])[:, self.longer != 0]
        return statistics.bootstrap_macro(told, settings.resamples, settings.confidence)


def compared(
    items: Sequence[Item], rewards: Mapping[tuple[str, str, str], float | None], languages: Sequence[str]
) -> dict[str, Compared]:
    """The comparisons of people's preferences, by language; languages without any are not there."""
    texts = {item.key: item.answered.answer for item in items if item.kind in (CHOSEN, REJECTED)}
    margins = {item.key: math.nan if item.margin is None else item.margin for item in items if item.kind == CHOSEN}
    found: dict[str, Compared] = {}
    for language in languages:
        both = []
        for lang, prompt, kind in texts:
            if lang == language and kind == CHOSEN:
                better, worse = ((language, prompt, k) for k in (CHOSEN, REJECTED))
                first, second = rewards[better], rewards[worse]
                if first is not None and second is not None:
                    both.append((first - second, len(texts[better]) - len(texts[worse]), margins[better]))
        if both:
            found[language] = Compared(*np.array(both, np.float64).T)
    return found


def by_length(found: Mapping[str, Compared], settings: paired.Settings) -> Table | None:
    """Accuracy where the better answer is the longer one, where it is the shorter, and balanced over both."""
    lines: list[list[Any]] = []
    for language, one in found.items():
        longer, shorter = one.longer > 0, one.longer < 0
        accuracies = [float(one.right[kind].mean()) if kind.any() else None for kind in (longer, shorter)]
        balanced = one.balanced(settings)
        interval = [balanced.mean, balanced.low, balanced.high] if balanced is not None else [None] * 3
        counts = [int(longer.sum()), int(shorter.sum())]
        lines.append([language, len(one.margin), float(one.right.mean()), *counts, *accuracies, *interval])
    columns = ["language", "pairs", "accuracy", "longer", "shorter", "where longer", "where shorter", "balanced"]
    note = (
        "Longer, shorter: pairs whose better answer is so, in characters. Balanced: mean of the accuracies in both, with its "
        f"{settings.confidence:.0%} interval over pairs; none below {LEAST} pairs of a kind."
    )
    return Table("Reward model: accuracy by length", [*columns, "low", "high"], lines, note) if lines else None


def by_said_margin(found: Mapping[str, Compared], settings: paired.Settings) -> Table | None:
    """Accuracy by how much better the data say that the better answer is; the same bins in every language."""
    said = np.concatenate([one.said[~np.isnan(one.said)] for one in found.values()]) if found else np.array([])
    if len(said) == 0:
        return None
    starts = np.unique(said)
    if len(starts) > LEVELS:
        starts = np.unique(np.quantile(said, (0.0, 0.25, 0.5, 0.75), method="higher"))
    lines: list[list[Any]] = []
    for language, one in found.items():
        place = np.where(np.isnan(one.said), -1, np.searchsorted(starts, one.said, side="right") - 1)
        for number in range(len(starts)):
            right, own = one.right[place == number], said[np.searchsorted(starts, said, side="right") - 1 == number]
            if len(right):
                interval = statistics.bootstrap_mean(right, settings.resamples, settings.confidence)
                low, high = (f"{end:g}" for end in (own.min(), own.max()))
                label = low if low == high else f"{low} to {high}"
                lines.append([language, label, len(right), interval.mean, interval.low, interval.high])
    unsaid = sum(int(np.isnan(one.said).sum()) for one in found.values())
    note = f"Margin: of the data, how much better the chosen answer is. With {settings.confidence:.0%} intervals over pairs."
    note += f" {unsaid} pairs have none." if unsaid else ""
    columns = ["language", "margin", "pairs", "accuracy", "low", "high"]
    return Table("Reward model: accuracy by the data's margin", columns, lines, note)


def by_margin(found: Mapping[str, Compared]) -> Table | None:
    """How sure the rewards are, and how right: calibration, and accuracy by quarters of the difference of the rewards."""
    lines: list[list[Any]] = []
    for language, one in found.items():
        quarters = np.array_split(one.right[np.argsort(abs(one.margin), kind="stable")], 4)
        shares = [float(part.mean()) if len(part) else None for part in quarters]
        told = [log_loss(one.margin), brier(one.margin), calibration_error(one.margin)]
        lines.append([language, len(one.margin), float(np.median(abs(one.margin))), *told, *shares])
    columns = ["language", "pairs", "margin", "log loss", "Brier", "ECE", "closest", "2nd", "3rd", "widest"]
    note = (
        "Margin: median difference of the two rewards. Log loss (chance 0.693), Brier score (chance 0.250) and expected "
        "calibration error of sigmoid(difference); then accuracy by quarters of the difference."
    )
    return Table("Reward model: calibration, and accuracy by its own margin", columns, lines, note) if lines else None


def log_loss(margin: Floats) -> float:
    """Mean of -log sigmoid(margin), nats."""
    return float(np.logaddexp(0.0, -margin).mean())


def brier(margin: Floats) -> float:
    """Mean of (1 - sigmoid(margin))^2."""
    return float(((1 - _probability(margin)) ** 2).mean())


def calibration_error(margin: Floats) -> float:
    """Expected calibration error over equal bins of the probability, each pair seen from both sides."""
    p = _probability(np.concatenate([margin, -margin]))
    hit = np.repeat([1.0, 0.0], len(margin))
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = abs(np.bincount(bins, p - hit, BINS))  # sum over a bin of said minus seen
    return float(gaps.sum() / len(p))


def _probability(margin: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -margin))
