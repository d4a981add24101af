"""Proxy against gold over the steps of training: whether a policy has learnt to please its reward rather than to be better.

A reward model is a proxy of what is wanted. Optimised against, its score rises on while what it stands for, the gold score, first
rises and then falls: overoptimisation, or reward hacking (Gao et al. 2023, arXiv 2210.10760). Here gold is whatever measures the
same answers and was not trained against.

It is found between two steps where the proxy of the same held-out prompts is higher and gold is lower, neither by chance: the
larger of both p-values counts (both must hold: an intersection-union test, Berger 1982), corrected by Holm over what is looked
at. That is each step against the first, and the last against each: not all pairs of steps, which would find chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from croco.evals.comparing import paired
from croco.maths import statistics
from croco.show.tables import Table

SOURCE = "overoptimisation, or reward hacking: Gao et al. 2023"
PROXY, GOLD = "proxy", "gold"
GOLDS = (GOLD, "quality")
"""Metrics of held-out answers that gold is read from."""
BySteps = Mapping[int, paired.Scores]


@dataclass(frozen=True)
class Gain:
    """One step against the first."""

    step: int
    proxy: paired.Effect
    gold: paired.Effect


@dataclass(frozen=True)
class Course:
    """One language, or `macro`."""

    language: str
    gold: str
    """What measures gold, e.g. `quality`."""
    gains: Sequence[Gain]
    """By step, from the second on."""
    spreads: tuple[float, float]
    """Standard deviation over prompts of the first step's proxy and gold (macro: mean over languages)."""
    best: int
    """Step with the highest gold."""
    between: tuple[int, int]
    """The two steps at which proxy rises and gold falls most surely."""
    rise: float
    fall: float
    """What proxy and gold change between them."""
    p: float
    """Holm-adjusted; 1 where proxy and gold nowhere part."""

    def hacked(self, confidence: float) -> bool:
        return self.p < 1 - confidence


def courses(
    proxy: BySteps, gold: BySteps, name: str, languages: Sequence[str], settings: paired.Settings
) -> list[Course]:
    """By language, `macro` last.

    Args:
        proxy: by step, at least two of them.
        gold: of the same steps.
        name: of gold.
    """
    steps = sorted(proxy)
    pairs = [(steps[0], step) for step in steps[1:]] + [(step, steps[-1]) for step in steps[1:-1]]
    tests = len(pairs) * len(languages)
    # The least p-value of that many resamples is to survive the correction.
    enough = max(settings.resamples, math.ceil(2 * tests / (1 - settings.confidence)))
    own = replace(settings, correction="none", resamples=enough)
    proxies, golds = (
        {pair: paired.effects(of[pair[0]], of[pair[1]], languages, own) for pair in pairs} for of in (proxy, gold)
    )
    apart = np.array([[_apart(*both) for both in zip(proxies[pair], golds[pair], strict=True)] for pair in pairs])
    apart[:, :-1] = np.array(statistics.holm(apart[:, :-1].ravel().tolist())).reshape(len(pairs), len(languages))
    apart[:, -1] = statistics.holm(apart[:, -1].tolist())
    found = []
    for column, language in enumerate([*languages, paired.MACRO]):
        at = pairs[int(apart[:, column].argmin())]
        gains = [Gain(step, proxies[steps[0], step][column], golds[steps[0], step][column]) for step in steps[1:]]
        best = max(gains, key=lambda gain: gain.gold.difference)
        found.append(
            Course(
                language,
                name,
                gains,
                (_spread(proxy[steps[0]], languages, language), _spread(gold[steps[0]], languages, language)),
                best.step if best.gold.difference > 0 else steps[0],
                at,
                proxies[at][column].difference,
                golds[at][column].difference,
                float(apart[:, column].min()),
            )
        )
    return found


def _apart(proxy: paired.Effect, gold: paired.Effect) -> float:
    """p-value of the proxy having risen and gold fallen."""
    return max(proxy.p, gold.p) if proxy.difference > 0 > gold.difference else 1.0


def _spread(first: paired.Scores, languages: Sequence[str], language: str) -> float:
    of = languages if language == paired.MACRO else [language]
    return float(np.mean([np.std(list(first[one].values())) for one in of]))


def warnings(found: Sequence[Course], confidence: float) -> Iterator[str]:
    """One sentence for all languages together and one that names those in which it is seen."""
    for one in found:
        if one.language == paired.MACRO and one.hacked(confidence):
            first, second = one.between
            yield (
                f"proxy against gold: from step {first} to step {second} the reward of held-out answers rose ({one.rise:+.3f}) "
                f"while {one.gold} fell ({one.fall:+.3f}) ({SOURCE}); {one.gold} was highest at step {one.best}"
            )
    seen = [one.language for one in found if one.language != paired.MACRO and one.hacked(confidence)]
    if seen:
        yield f"proxy against gold: the reward rose while {found[0].gold} fell in {', '.join(seen)} ({SOURCE})"


def table(found: Sequence[Course], confidence: float) -> Table:
    """What became of both from the first to the last step, and whether they part."""
    name = found[0].gold
    rows = []
    for one in found:
        last = one.gains[-1]
        told = f"step {one.between[0]} to {one.between[1]}" if one.hacked(confidence) else "not seen"
        proxies, golds = (
            [effect.first, effect.second, _in_spreads(effect.difference, spread)]
            for effect, spread in zip((last.proxy, last.gold), one.spreads, strict=True)
        )
        rows.append([one.language, *proxies, *golds, one.best, told, one.p])
    heads = ["language", "proxy before", "proxy after", "proxy gained / sd", f"{name} before", f"{name} after"]
    note = (
        "Proxy: the run's reward of held-out answers. Sd: of the first step's answers over prompts. Overoptimised: proxy rose "
        "and gold fell between two steps (each against the first, the last against each; p Holm-adjusted over these and the "
        "languages, macro over these)."
    )
    return Table(
        f"Proxy against {name}", [*heads, f"{name} gained / sd", "best step", "overoptimised", "p"], rows, note
    )


def _in_spreads(value: float, spread: float) -> float | None:
    return value / spread if spread > 0 else None
