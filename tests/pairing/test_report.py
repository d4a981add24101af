"""The pair report's figures on pair sets made by hand, and the limits that stop a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from croco.jobs import counts
from croco.language.repetition import repeated_share
from croco.maths.pairing import Rule
from croco.pairing import levels, report, show
from tests.support.tables import World, config

DANISH = "Det er en helt almindelig dansk sætning om vejret i dag, og den er lang nok."
GERMAN = "Das ist ein ganz gewöhnlicher deutscher Satz über das Wetter von heute, und er ist lang genug."


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Chosen and rejected: p/da 3 and 1 (8 and 2 tokens), q/da 5 and 0 (4 and 4), p/en 2 and 1 (1 and 9)."""
    world = World(tmp_path)
    world.pool("p", "da", [3.0, 1.0], [DANISH, GERMAN], [8, 2], {0: "length"})
    world.pool("q", "da", [5.0, 0.0], [GERMAN, GERMAN], [4, 4], prompt="question p in da")
    return world.pool("p", "en", [2.0, 1.0], ["This sentence is surely long enough to be English.", ""], [1, 9])


def test_figures_by_hand(world: World) -> None:
    """Rewards: Danish 3, 1, 5, 0 (mean 2.25), English 2, 1 (1.5); all: mean 2, variance (1+1+9+4+0+1)/6 = 16/6."""
    _, summary = world.build()
    numbers = summary["report"]
    assert (numbers["pairs"], numbers["answers"]) == (3, 6)
    assert numbers["pool_size"] == {"smallest": 2, "median": 2.0, "largest": 2}
    assert numbers["margin"]["mean"] == pytest.approx((2 + 5 + 1) / 3, abs=1e-6)
    assert numbers["margin"]["quantiles"]["0.5"] == 2.0
    assert numbers["length_difference"]["mean"] == pytest.approx((6 + 0 - 8) / 3, abs=1e-6)
    assert (numbers["chosen_longer"], numbers["same_length"]) == (pytest.approx(1 / 3, abs=1e-6),) * 2
    assert numbers["truncated"] == {"chosen": pytest.approx(1 / 3, abs=1e-6), "rejected": 0.0}
    assert numbers["empty"] == {"chosen": 0, "rejected": 1}
    assert (numbers["identical"], numbers["repeated_pairs"]) == (1, 0)
    assert numbers["prompts_with_the_text_of_another"] == 2
    assert numbers["language_of_answers"] == {
        "chosen": {"right": 2, "wrong": 1, "undecided": 0},
        "rejected": {"right": 0, "wrong": 2, "undecided": 1},
    }
    assert numbers["reward_by_language"]["da"]["mean"] == 2.25
    assert numbers["reward_by_language"]["en"]["offset"] == pytest.approx(-0.5 / np.sqrt(16 / 6), abs=1e-6)
    assert numbers["languages"]["same_language"] == 1.0
    assert numbers["sources"] == {"on_policy": 3}


def test_answers_that_are_other_ids_as_text_are_counted_by_language(world: World) -> None:
    """World samples [10 + sample, 1]. Encoded anew, Danish answers become [10, 1]: sample 0 is the same, sample 1 is not; English
    ones (and nothing) become [10, 2], which also ends otherwise."""

    def anew(said: str) -> list[int]:
        return [10, 1 if said in (DANISH, GERMAN) else 2]

    numbers = world.build(encoding=report.Encoding({"on_policy": anew}))[1]["report"]
    assert numbers["other_ids_as_text"] == {
        "da": {"answers": 4, "differ": 2, "get an end": 0},
        "en": {"answers": 2, "differ": 2, "get an end": 2},
    }
    assert "66.7% of 6 answers looked at (33.3% get another end)" in str(show.tables(numbers)[0].rows)


def test_texts_that_spell_a_mark_are_counted(world: World) -> None:
    """Both sides of q/da are German, and one of p/da's; `question p in da` is one prompt's text, "question q" is another's."""
    numbers = world.build(encoding=report.Encoding(spells=lambda said: "deutscher" in said or "question p" in said))[1]
    spelled = numbers["report"]["spelled"]
    assert spelled == {"prompts": 3, "chosen": 1, "rejected": 2}
    assert ("spell a mark, as text", "prompts 3, chosen 1, rejected 2") in show.tables(numbers["report"])[0].rows


def test_small_pools_are_told_from_nothing_but_the_minimum(world: World) -> None:
    """Pools of 2: the bound -sqrt(K - 1) = -1 lies above -2, so the rejected is the minimum with certainty."""
    _, summary = world.build()
    minimum = summary["report"]["rejected_is_minimum"]
    assert minimum == {
        "share": 1.0,
        "expected_for_normal_rewards": 1.0,
        "certain": True,
        "cannot_be_told_from_min": True,
    }
    assert any("cannot be told from the minimum" in line for line in levels.warnings(summary["report"]))
    _, asked_for = world.build("pairing=best_worst")
    assert not asked_for["report"]["rejected_is_minimum"]["cannot_be_told_from_min"]


@pytest.mark.parametrize(("size", "share"), [(5, 1.0), (16, 0.957), (64, 0.27), (128, 0.04)])
def test_the_theory_for_normal_rewards(size: int, share: float) -> None:
    """Published simulations of nearest to mu - 2 sigma; ours has about 3,000 pools of 64, hence sd 0.008."""
    assert report.expected_minimum(Rule(), size) == pytest.approx(share, abs=0.025)


def test_across_languages_it_says_who_wins(tmp_path: Path) -> None:
    """Multi pools: chosen da over en twice, en over da once, da over da once."""
    world = World(tmp_path)
    for prompt, danish, english in (
        ("p", [9.0], [0.0]),
        ("q", [9.0], [0.0]),
        ("r", [0.0], [9.0]),
        ("s", [9.0, 0.0], [5.0]),
    ):
        world.pool(prompt, "da", danish).pool(prompt, "en", english)
    _, summary = world.build("pairing=multi")
    languages = summary["report"]["languages"]
    assert languages["chosen_by_rejected"] == {"da": {"da": 1, "en": 2}, "en": {"da": 1, "en": 0}}
    assert languages["same_language"] == 0.25
    assert languages["wins_across_languages"] == {
        "da": pytest.approx(2 / 3, abs=1e-6),
        "en": pytest.approx(1 / 3, abs=1e-6),
    }
    assert languages["of_prompts"] == {"da": 3, "en": 1}


@pytest.mark.parametrize(
    ("limit", "value", "line"),
    [
        ("min_pairs", 4, "min_pairs: 3 pairs are fewer than 4"),
        ("max_rejected_is_minimum", 0.9, "max_rejected_is_minimum: 1.000 is above 0.9"),
        ("max_chosen_longer", 0.3, "0.333 is above 0.3"),
        ("max_truncated", 0.1, "0.333 is above 0.1"),
        ("max_wrong_language", 0.2, "0.333 is above 0.2"),
        ("max_identical", 0.0, "0.333 is above 0"),
    ],
)
def test_a_limit_that_is_not_kept_is_named(world: World, limit: str, value: float, line: str) -> None:
    _, summary = world.build()
    (told,) = levels.breaches(summary["report"], config(f"pairing.limits.{limit}={value}").limits)
    assert line in told
    assert levels.breaches(summary["report"], config().limits) == []


def test_a_share_of_many_pairs_stops_the_run_by_itself_unless_allowed(world: World) -> None:
    """As a report of 300 pairs whose chosen answers are cut off in 97 % of the cases, as a real run's were at 80 tokens."""
    _, summary = world.build()
    many = {**summary["report"], "pairs": 300, "truncated": {"chosen": 0.97, "rejected": 0.72}, "longest_answer": 80}
    (warning,) = [line for line in levels.warnings(many) if "cut off" in line]
    assert "97% of the chosen answers were cut off" in warning
    assert "raise sampling.max_new_tokens to 160" in warning
    stops = [line for line in levels.breaches(many, config().limits) if "max_truncated" in line]
    assert "pairing.limits.max_truncated=1 trains on them all the same" in stops[0]
    allowed = config("pairing.limits.max_truncated=1").limits
    assert not [line for line in levels.breaches(many, allowed) if "max_truncated" in line]
    assert not levels.breaches({**many, "pairs": 199}, config().limits)


@pytest.mark.parametrize(("share", "warned", "stopped"), [(0.7, False, False), (0.8, True, False), (0.95, True, True)])
def test_one_of_two_languages_wins(world: World, share: float, warned: bool, stopped: bool) -> None:
    """One of two has at least half of the wins, so that 70 % say nothing yet."""
    _, summary = world.build()
    wins = {"da": share, "en": 1 - share}
    told = {**summary["report"], "pairs": 300}
    told["languages"] = {**told["languages"], "wins_across_languages": wins}
    assert any("are in 'da'" in line for line in levels.warnings(told)) is warned
    assert any("max_one_language_wins" in line for line in levels.breaches(told, config().limits)) is stopped


def test_every_share_has_a_level_that_warns_before_one_that_stops() -> None:
    limits = {name for name in vars(config().limits) if name != "min_pairs"}
    assert {level.limit for level in levels.LEVELS} == limits
    assert all(level.stop is None or level.warn < level.stop for level in levels.LEVELS)


def test_found_artifacts_warn_again(world: World) -> None:
    """Of these pairs, and of a training whose verdict had reasons."""
    _, summary = world.build()
    assert counts.warned(summary) == levels.warnings(summary["report"]) != []
    assert counts.warned({"rows": 3, "reasons": ["a margin of 0.010"]}) == ["a margin of 0.010"]


def test_the_console_shows_it(world: World) -> None:
    _, summary = world.build()
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(show.render(summary["report"], console.width))
    text = console.export_text()
    for expected in ("3 of 3 pools", "rejected is the minimum", "reward margin", "wins across", "cannot be told"):
        assert expected in text


def test_repetition_is_told_from_prose() -> None:
    """'a b c d' * 10 has 40 words and 37 4-grams, of which 4 are different."""
    assert repeated_share("a b c d " * 10) == pytest.approx(1 - 4 / 37)
    assert repeated_share("no no no") == 0.0
    assert repeated_share(DANISH) == 0.0
    assert repeated_share("あいうえお" * 40) > 0.9
