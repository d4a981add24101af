"""Proxy against gold over the steps of training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pytest

from croco.evals.comparing import overoptimisation as over
from croco.evals.comparing import paired
from croco.page import by_step as drawn
from croco.page.curves import curve, restored

SETTINGS = paired.Settings(500, 0.95)
PROMPTS = [f"p{number}" for number in range(40)]
STEPS = (0, 34, 68, 103, 137)
PROXY = (0.08, 0.851, 0.905, 0.62, 0.616)
GOLD = (0.526, 0.482, 0.461, 0.376, 0.363)
"""Means of a run at beta 0.1 for four epochs on the embedded world, by step."""


def course(means: Sequence[float], languages: Sequence[str] = ("en", "da"), spread: float = 0.1) -> over.BySteps:
    """Scores by step: each prompt keeps its own distance from the mean, half of them `spread` above it and half below."""
    own = {p: spread if number % 2 else -spread for number, p in enumerate(PROMPTS)}
    return {
        step: {lang: {p: mean + off for p, off in own.items()} for lang in languages}
        for step, mean in zip(STEPS, means, strict=False)
    }


def macro(proxy: Sequence[float], gold: Sequence[float]) -> over.Course:
    return over.courses(course(proxy), course(gold), "quality", ["en", "da"], SETTINGS)[-1]


def test_a_proxy_that_rises_while_gold_falls_is_told() -> None:
    """Each step against the first and the last against each: the first of the surest is told; gold was best at the start."""
    found = macro(PROXY, GOLD)
    assert found.language == "macro"
    assert found.hacked(0.95)
    assert found.between == (0, 34)
    assert (found.rise, found.fall) == (pytest.approx(0.771), pytest.approx(-0.044))
    assert found.best == 0
    assert found.spreads == (pytest.approx(0.1), pytest.approx(0.1))
    first, *others = over.warnings([found], 0.95)
    assert not others
    assert "from step 0 to step 34 the reward of held-out answers rose (+0.771) while quality fell (-0.044)" in first
    assert "reward hacking: Gao et al. 2023" in first


def test_gold_that_rises_first_and_falls_later_is_told_against_its_best_step() -> None:
    """Gao et al.'s curve: at the end gold is above where it began, and below its best."""
    found = macro((0.0, 1.0, 2.0), (0.5, 0.8, 0.6))
    assert found.between == (34, 68)
    assert found.best == 34
    assert found.hacked(0.95)


@pytest.mark.parametrize(
    ("proxy", "gold"),
    [((0.0, 1.0), (0.5, 0.6)), ((0.0, -1.0), (0.5, 0.4)), ((0.0, 0.0), (0.5, 0.5))],
    ids=["both rise", "both fall", "nothing moves"],
)
def test_where_they_go_together_nothing_is_told(proxy: Sequence[float], gold: Sequence[float]) -> None:
    found = macro(proxy, gold)
    assert found.p == 1
    assert not list(over.warnings([found], 0.95))
    assert over.table([found], 0.95).rows[0][8] == "not seen"


def test_chance_is_rarely_told() -> None:
    """Proxy and gold of prompts that only scatter about no change, in three languages at three steps: of ten such runs at most
    one is told (two families at 5 per cent, and the proxy must seem to rise besides)."""
    languages = [f"l{number}" for number in range(3)]
    told = 0
    for seed in range(10):
        draw = np.random.default_rng(seed)

        def scattered(draw: np.random.Generator = draw) -> Mapping[int, paired.Scores]:
            return {
                step: {lang: dict(zip(PROMPTS, draw.normal(size=40).tolist(), strict=True)) for lang in languages}
                for step in STEPS[:3]
            }

        found = over.courses(scattered(), scattered(), "quality", languages, SETTINGS)
        told += any(one.hacked(0.95) for one in found)
    assert told <= 1


def test_a_language_alone_is_named() -> None:
    proxy, gold = course((0.0, 1.0)), course((0.5, 0.5))
    gold[34] = {**gold[34], "da": course((0.5, 0.3))[34]["da"]}  # type: ignore[index]
    found = over.courses(proxy, gold, "gold", ["en", "da"], SETTINGS)
    assert [one.language for one in found if one.hacked(0.95)] == ["da", "macro"]
    assert list(over.warnings(found, 0.95))[-1].startswith(
        "proxy against gold: the reward rose while gold fell in da ("
    )


def test_the_plot_has_both_on_one_axis_and_a_mark_where_they_part() -> None:
    """In standard deviations of the first step's answers, 0.1: from 0.5 to 0.45 is half a one."""
    found = over.courses(course((0.0, 0.2)), course((0.5, 0.45)), "quality", ["en", "da"], SETTINGS)
    first, *others = drawn.against(found, 0.95)
    assert "mean over languages" in first.title
    assert first.lines == {"proxy": [0, pytest.approx(2.0)], "quality": [0, pytest.approx(-0.5)]}
    assert [one.step for one in first.warned] == [34]
    assert len(others) == 2
    assert 'class="warned"' in curve(first)
    assert restored(json.loads(json.dumps(asdict(first)))).warned == first.warned


def test_answers_that_are_all_alike_have_no_unit() -> None:
    found = over.courses(course((0.0, 0.2), spread=0), course((0.5, 0.4), spread=0), "gold", ["en", "da"], SETTINGS)
    assert drawn.against(found, 0.95) == []
    assert over.table(found, 0.95).rows[0][3] is None
