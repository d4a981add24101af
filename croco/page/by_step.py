"""Curves over the steps of training: an evaluation, and the reward that is followed against what it stands for."""

from __future__ import annotations

from collections.abc import Sequence

from croco.evals.comparing import paired
from croco.evals.comparing.by_step import Point
from croco.evals.comparing.overoptimisation import Course
from croco.page.curves import Curve, Warned


def curves(found: Sequence[Point], confidence: float) -> list[Curve]:
    """One plot per metric and language, `macro` first."""
    keys = dict.fromkeys((point.metric, point.language) for point in found)
    plots = []
    for metric, language in sorted(keys, key=lambda key: key[1] != paired.MACRO):
        line = [p for p in found if (p.metric, p.language) == (metric, language)]
        where = "mean over languages" if language == paired.MACRO else language
        plots.append(
            Curve(
                f"{metric} on held-out prompts by training step, {where}, with {confidence:.0%} band",
                [p.step for p in line],
                {metric: [p.value for p in line]},
                {metric: [(p.low, p.high) for p in line]},
            )
        )
    return plots


def against(found: Sequence[Course], confidence: float) -> list[Curve]:
    """Proxy and gold on one axis, `macro` first: what each has gained since the first step, in its own standard deviations."""
    plots = []
    for one in sorted(found, key=lambda one: one.language != paired.MACRO):
        if min(one.spreads) == 0:
            continue
        names = dict(zip(("proxy", one.gold), one.spreads, strict=True))
        effects = {"proxy": [gain.proxy for gain in one.gains], one.gold: [gain.gold for gain in one.gains]}
        lines = {name: [0.0, *(effect.difference / sd for effect in effects[name])] for name, sd in names.items()}
        bands = {
            name: [(0.0, 0.0), *((effect.low / sd, effect.high / sd) for effect in effects[name])]
            for name, sd in names.items()
        }
        steps = [0, *(gain.step for gain in one.gains)]
        warned = []
        if one.hacked(confidence):
            at = one.between[1]
            why = f"from step {one.between[0]} on proxy rose and {one.gold} fell"
            warned = [Warned(at, lines[one.gold][steps.index(at)], why)]
        where = "mean over languages" if one.language == paired.MACRO else one.language
        title = (
            f"Reward (proxy) and {one.gold} of held-out answers, {where}: gained since step 0, in standard deviations"
        )
        plots.append(Curve(title, steps, lines, bands, reference=0.0, warned=warned))
    return plots
