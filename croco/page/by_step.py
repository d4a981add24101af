"""Curves of an evaluation over the steps of training."""

from __future__ import annotations

from collections.abc import Sequence

from croco.evals.comparing import paired
from croco.evals.comparing.by_step import Point
from croco.page.curves import Curve


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
