"""From tables on disk to a pairs table: scopes, prompt languages, filters, and what must not change the result."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from croco.artifacts import records
from croco.artifacts.records import Pair
from croco.artifacts.store import Artifact
from croco.errors import UserError
from croco.training import rows as trained_rows
from tests.support.tables import World, config, sides


def test_mono_pairs_within_a_language_and_keeps_the_way_back(tmp_path: Path) -> None:
    """Rewards 1, 5, 3: mu = 3, sigma = sqrt(8/3) = 1.633, mu - 2 sigma = -0.27, so 5 is chosen and 1 rejected."""
    world = World(tmp_path).pool("p", "da", [1.0, 5.0, 3.0], tokens=[7, 8, 9]).pool("p", "en", [2.0, 0.0, 1.0])
    rows, summary = world.build()
    assert pq.read_schema(tmp_path / "pairs.parquet").equals(records.schema(Pair))
    assert rows[0] == {
        "prompt_id": "p",
        "language": "da",
        "prompt": [{"role": "user", "content": "question p in da"}],
        "chosen": [{"role": "assistant", "content": "p da 1"}],
        "rejected": [{"role": "assistant", "content": "p da 0"}],
        "chosen_score": 5.0,
        "rejected_score": 1.0,
        "chosen_language": "da",
        "rejected_language": "da",
        "chosen_sample": 1,
        "rejected_sample": 0,
        "chosen_tokens": 8,
        "rejected_tokens": 7,
        "pool_size": 3,
        "pool_min": 1.0,
        "pool_mean": 3.0,
        "pool_std": pytest.approx(math.sqrt(8 / 3)),
        "source": "on_policy",
        "chosen_token_ids": [11, 1],
        "rejected_token_ids": [10, 1],
    }
    assert sides(rows)[1] == ("en", "p en 0", "p en 1")
    assert summary["rows"] == 2


def test_multi_pools_all_languages_and_shows_the_chosens_prompt(tmp_path: Path) -> None:
    rows, _ = World(tmp_path).pool("p", "da", [1.0, 5.0]).pool("p", "en", [2.0, 0.0]).build("pairing=multi")
    assert sides(rows) == [("da", "p da 1", "p en 1")]
    assert rows[0]["pool_size"] == 4


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["pairing=cross_only", "pairing.normalise=none"], ("da", "p da 1", "p en 2")),
        (["pairing=same_only", "pairing.normalise=none"], ("da", "p da 1", "p da 0")),
        (["pairing=multi", "pairing.prompt_language=rejected"], ("en", "p da 1", "p en 2")),
        (["pairing=multi", "pairing.prompt_language=en"], ("en", "p da 1", "p en 2")),
        (["pairing=multi_z"], ("en", "p en 0", "p da 0")),
        (["pairing=multi_rank"], ("da", "p da 1", "p da 0")),
    ],
)
def test_scopes_and_prompt_languages(tmp_path: Path, overrides: list[str], expected: tuple[str, str, str]) -> None:
    """Danish 1, 9, 8.9; English 6, 2, 0. z-scores: Danish (-1.41, 0.72, 0.69), English (1.34, -0.27, -1.07).

    Raw: best da 1 (9), minimum en 2. Under z: best en 0, worst da 0. Ranks: both bests have 5/6 (Danish comes first), both
    worsts 1/6. mu - 2 sigma lies below every pool's minimum here.
    """
    world = World(tmp_path).pool("p", "da", [1.0, 9.0, 8.9]).pool("p", "en", [6.0, 2.0, 0.0])
    rows, _ = world.build(*overrides)
    assert sides(rows) == [expected]


def test_a_language_offset_decides_raw_multi_pairs_and_no_normalised_ones(tmp_path: Path) -> None:
    """Danish rewards are English ones plus 100: raw, Danish wins every prompt; within languages it wins about half."""
    rng = np.random.default_rng(0)
    world = World(tmp_path)
    for p in range(40):
        world.pool(f"p{p:02d}", "da", (100 + rng.normal(size=8)).tolist()).pool(
            f"p{p:02d}", "en", rng.normal(size=8).tolist()
        )
    raw, summary = world.build("pairing=multi")
    assert {(r["chosen_language"], r["rejected_language"]) for r in raw} == {("da", "en")}
    assert summary["report"]["languages"]["wins_across_languages"] == {"da": 1.0, "en": 0.0}
    for normalise in ("language", "rank", "prompt_language"):
        rows, _ = world.build("pairing=multi", f"pairing.normalise={normalise}")
        assert 10 <= sum(r["chosen_language"] == "da" for r in rows) <= 30


def test_a_failed_score_enters_nothing(tmp_path: Path) -> None:
    """With -999 in it, mu - 2 sigma of 1..4 would be far below; without, the pool is 1..4: mu 2.5, sigma 1.118."""
    rewards = [1.0, None, 2.0, math.nan, 3.0, math.inf, 4.0, -math.inf]
    rows, summary = World(tmp_path).pool("p", "da", rewards).build()
    assert (rows[0]["chosen_sample"], rows[0]["rejected_sample"], rows[0]["pool_size"]) == (6, 0, 4)
    assert (rows[0]["pool_mean"], rows[0]["pool_std"]) == (2.5, pytest.approx(math.sqrt(1.25)))
    assert summary["report"]["left_out"] == {"failed score": 4}
    assert summary["report"]["reward_by_language"]["da"]["mean"] == 2.5


def test_pools_without_a_pair_are_counted_by_reason(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.pool("failed", "da", [None, None]).pool("one", "da", [1.0]).pool("equal", "da", [2.0, 2.0])
    world.pool("cut", "da", [1.0, 2.0], reasons={0: "length", 1: "length"}).pool("good", "da", [1.0, 2.0])
    _, summary = world.build("pairing.filters.truncated=true")
    report = summary["report"]
    assert (report["pairs"], report["pools"], report["left_out"]) == (1, 5, {"failed score": 2, "truncated": 2})
    assert {reason: count for reason, count in report["refused"].items() if count} == {
        "no scored answer": 1,
        "all answers filtered": 1,
        "pool too small": 1,
        "no lower answer": 1,
    }


def test_every_filter_takes_out_its_answers_and_counts_them(tmp_path: Path) -> None:
    danish = "Det er en helt almindelig dansk sætning om vejret i dag, og den er lang nok."
    german = "Das ist ein ganz gewöhnlicher deutscher Satz über das Wetter von heute, und er ist lang genug."
    texts = [german, " \n", "løkken går " * 40, danish, danish, danish + " Og solen skinner.", danish + " Slut."]
    world = World(tmp_path).pool("p", "da", [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], texts, reasons={5: "length"})
    rows, summary = world.build("pairing=filtered")
    assert summary["report"]["left_out"] == {
        "failed score": 0,
        "truncated": 1,
        "empty": 1,
        "duplicate": 1,
        "wrong language": 1,
        "repetition": 1,
    }
    assert [(r["chosen_sample"], r["rejected_sample"], r["pool_size"]) for r in rows] == [(3, 6, 2)]
    unfiltered, _ = world.build()
    assert unfiltered[0]["chosen_sample"] == 0


def test_answers_that_an_ensemble_disagrees_on_leave_their_pool(tmp_path: Path) -> None:
    """The best answer's rewards lie 0.6 apart, more than 0.5; of one model, as in English, there is none."""
    world = World(tmp_path).pool("p", "da", [9.0, 2.0, 1.0], disagreement=[0.6, 0.5, 0.0]).pool("p", "en", [3.0, 4.0])
    rows, summary = world.build("pairing.filters.disagreement=0.5")
    assert sides(rows) == [("da", "p da 1", "p da 2"), ("en", "p en 1", "p en 0")]
    assert summary["report"]["left_out"] == {"failed score": 0, "disagreement": 1}


def test_the_first_n_samples_make_the_pool(tmp_path: Path) -> None:
    rows, _ = (
        World(tmp_path).pool("p", "da", [1.0, 3.0, 2.0, 9.0, -9.0]).build("pairing=best_worst", "pairing.samples=3")
    )
    assert (rows[0]["chosen_score"], rows[0]["rejected_score"], rows[0]["pool_size"]) == (3.0, 1.0, 3)


def test_a_prompt_that_is_not_in_the_language_wanted_gives_no_pair(tmp_path: Path) -> None:
    world = World(tmp_path).pool("p", "da", [1.0, 2.0]).pool("q", "da", [1.0, 2.0]).pool("q", "en", [0.0, 1.0])
    rows, summary = world.build("pairing=multi", "pairing.prompt_language=en")
    assert [r["prompt_id"] for r in rows] == ["q"]
    assert summary["report"]["refused"]["no prompt in the language wanted"] == 1


def test_the_random_prompt_language_is_seeded_and_among_those_there_are(tmp_path: Path) -> None:
    world = World(tmp_path)
    for p in range(60):
        for language in ("da", "de", "en")[: 2 + p % 2]:
            world.pool(f"p{p:02d}", language, [1.0, 2.0])
    runs = [world.build("pairing=multi", "pairing.prompt_language=random", f"pairing.seed={s}")[0] for s in (1, 1, 2)]
    languages = [[r["language"] for r in rows] for rows in runs]
    assert languages[0] == languages[1] != languages[2]
    assert set(languages[0]) == {"da", "de", "en"}
    assert all(r["language"] != "en" for r in runs[0] if int(r["prompt_id"][1:]) % 2 == 0)


def test_pairs_of_a_prompt_can_be_capped(tmp_path: Path) -> None:
    world = World(tmp_path)
    for language in ("da", "de", "en"):
        world.pool("p", language, [1.0, 2.0, 3.0, 4.0])
    rows, summary = world.build("pairing.pairs_per_pool=2", "pairing.pairs_per_prompt=4")
    assert len(rows) == 4
    assert summary["report"]["refused"]["enough pairs of the prompt"] == 2


def test_no_pair_at_all_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no pair came out of 1 pools \(no lower answer: 1\)"):
        World(tmp_path).pool("p", "da", [1.0, 1.0]).build()


def test_scores_of_other_answers_are_noticed(tmp_path: Path) -> None:
    world = World(tmp_path).pool("p", "da", [1.0, 2.0, 3.0])
    world.generations["da"].reverse()
    with pytest.raises(UserError, match="not those that were scored"):
        world.build()


def test_an_answer_scored_twice_is_noticed(tmp_path: Path) -> None:
    world = World(tmp_path).pool("p", "da", [1.0, 2.0])
    world.scores["da"][1] = replace(world.scores["da"][1], sample=0)
    with pytest.raises(UserError, match="sample 0 of prompt p in da is scored twice"):
        world.build()


pools = st.lists(
    st.tuples(
        st.sampled_from(["p", "q", "r"]),
        st.sampled_from(["da", "de", "en"]),
        st.lists(st.one_of(st.none(), st.just(math.nan), st.floats(-9, 9)), min_size=1, max_size=5),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda pool: pool[:2],
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pools, st.randoms(use_true_random=False), st.sampled_from(["mono", "multi", "multi_z", "cross_only"]))
def test_neither_row_order_nor_sharding_nor_equal_prompts_matter(
    tmp_path: Path, drawn: list[tuple[str, str, list[float | None]]], shuffler: random.Random, pairing: str
) -> None:
    """All prompts have the same text, rows are shuffled together in scores and generations, row groups are cut elsewhere."""
    world = World(tmp_path / "a")
    for prompt_id, language, rewards in drawn:
        world.pool(prompt_id, language, rewards, prompt="the same question")
    other = World(tmp_path / "b", world.prompts[::-1])
    for language in sorted(world.scores, reverse=True):
        order = list(range(len(world.scores[language])))
        shuffler.shuffle(order)
        other.scores[language] = [world.scores[language][i] for i in order]
        other.generations[language] = [world.generations[language][i] for i in order]
    results = []
    for each in (world, other):
        try:
            results.append(each.build(f"pairing={pairing}")[0])
        except UserError as error:
            results.append([str(error)])
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pairing.scope=bilingual", "pairing.scope: 'bilingual' is not one of"),
        ("pairing.rejected=inf", "must lie below pairing.chosen"),
        ("pairing.points=quantile", "levels in"),
        ("pairing.prompt_language=fi", "pairing.prompt_language: 'fi' is not one of"),
        ("pairing.samples=1", "pairing.samples: 1 must lie between"),
        ("pairing.length_ratio=0.5", "pairing.length_ratio: 0.5 must be at least 1"),
        ("pairing.limits.max_truncated=5", "not a share"),
        ("pairing.chsoen=1", "chsoen"),
    ],
)
def test_bad_settings_name_their_key(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        config(override)


def test_answers_without_a_pair_are_kept_for_training_on_single_answers(tmp_path: Path) -> None:
    """p has a pair; in q both rewards are equal, so that nothing lies below the first; r has one answer, and s none with a
    reward. max_r trains on three answers, dpo on one pair."""
    world = World(tmp_path).pool("p", "da", [1.0, 5.0]).pool("q", "da", [2.0, 2.0]).pool("r", "da", [3.0])
    rows, summary = world.pool("s", "da", [None]).build()
    assert sides(rows) == [("da", "p da 1", "p da 0")]
    assert summary["answers_without_pair"] == 2
    alone = pq.read_table(tmp_path / "alone.parquet").to_pylist()
    assert [(row["prompt_id"], row["chosen"][0]["content"], row["chosen_score"]) for row in alone] == [
        ("q", "q da 0", 2.0),
        ("r", "r da 0", 3.0),
    ]
    assert not any(name.startswith(("rejected", "pool")) for name in alone[0])
    pairs = Artifact(tmp_path.parent, "pairs", "", 1, {}, {})
    pairs.path = tmp_path
    for kind, trained in (("chosen", ["p", "q", "r"]), ("pairs", ["p"])):
        single: Any = SimpleNamespace(method=SimpleNamespace(trains_on=kind))
        assert trained_rows.prompt_ids(single, pairs, pairs) == trained
        assert [row.prompt_id for row in trained_rows.each(single, pairs, pairs, {"on_policy"})] == trained
