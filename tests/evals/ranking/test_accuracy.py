"""What a reward model ranks: preference data as it is read, corruptions, accuracy, agreement and offset by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from croco.artifacts.records import Prompt, Result
from croco.errors import UserError
from croco.evals.comparing import paired
from croco.evals.ranking import accuracy as ranking
from croco.evals.ranking import corruption
from croco.prompts import of_hub, preferences

SETTINGS = paired.Settings(200, 0.95)
ROW = {
    "id": 7,
    "prompt": "Wer?",
    "chosen": "Ich war es.",
    "rejected": "Nein",
    "language": "deu_Latn",
    "subset": "alpaca",
}


def prompt(prompt_id: str, language: str, reference: str | None) -> Prompt:
    return Prompt(prompt_id, language, [{"role": "user", "content": "?"}], "heldout", reference)


def test_m_rewardbench_rows_in_every_container(tmp_path: Path) -> None:
    """A file per FLORES code, as the hub's, and one JSONL with conversations for answers; `fr` is not asked for."""
    folder = tmp_path / "deu_Latn"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist([{k: v for k, v in ROW.items() if k != "language"}]), folder / "test.parquet")
    (german,) = preferences.read(of_hub.Asked(str(tmp_path)), ["de", "en"], None)
    assert (german.pair_id, german.language, german.subset) == ("7", "de", "alpaca")
    file = tmp_path / "mine.jsonl"
    talk = ROW | {"prompt": [{"role": "user", "content": "Wer?"}], "chosen": [{"role": "assistant", "content": "Ich"}]}
    lines = [talk, ROW | {"id": 3, "language": "German"}, ROW | {"language": "fr"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    read = preferences.read(of_hub.Asked(str(file)), ["de"], None)
    assert [(p.pair_id, p.chosen, p.language) for p in read] == [("3", "Ich war es.", "de"), ("7", "Ich", "de")]
    assert len(preferences.read(of_hub.Asked(str(file)), ["de"], 1)) == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", r"mine\.jsonl:1: not valid JSON"),
        ('{"prompt": "a"}', r"mine\.jsonl:1: no chosen nor rejected"),
        (json.dumps(ROW | {"language": "fr"}), "no comparison in de"),
    ],
)
def test_bad_preference_data_names_its_place(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(UserError, match=says):
        preferences.read(of_hub.Asked(str(file)), ["de"], None)


@given(st.text(max_size=60), st.text(max_size=20), st.integers(0, 3))
def test_a_corruption_is_never_the_answer_nor_empty(answer: str, other: str, seed: int) -> None:
    made = corruption.corrupt(answer, {"da": other}, "en/p", seed)
    assert made == corruption.corrupt(answer, {"da": other}, "en/p", seed)
    for kind, text in made.items():
        assert kind in corruption.KINDS
        assert text.strip()
        assert text.split() != answer.split()
    if "shuffled" in made:
        assert sorted(made["shuffled"].split()) == sorted(answer.split())


def test_corruptions_by_hand() -> None:
    made = corruption.corrupt("one two three four", {"da": "en to tre"}, "en/p", 0)
    assert made["truncated"] == "one two"
    assert made["other_language"] == "en to tre"
    assert corruption.corrupt("word", {}, "en/p", 0) == {"truncated": "wo"}


def scored(rewards: dict[tuple[str, str, str], float | None]) -> list[ranking.Result]:
    prompts = [prompt(p, lang, f"a b c {p} {lang}") for p in ("p", "q") for lang in ("en", "da")]
    items = list(ranking.of_prompts(prompts, 0))
    return list(ranking.results(items, {item.key: rewards.get(item.key, 0.0) for item in items}))


def test_accuracy_by_hand() -> None:
    """English p: 1 > 0 on both kinds and a tie on the other: (1 + 1 + 1/2) / 3 = 5/6; q: all ties, 1/2. Mean 2/3. The Danish
    reference of p failed, so that only q's ties are left: 1/2. Other language: the tie of p, that of q: 1/2."""
    rewards = {
        ("en", "p", "reference"): 1.0,
        ("en", "p", "other_language"): 1.0,
        ("da", "p", "reference"): None,
    }
    table = ranking.accuracy(scored(rewards), ranking.CORRUPTION, ["en", "da"], SETTINGS)
    assert table is not None
    english, danish, macro = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert english["accuracy"] == pytest.approx(2 / 3)
    assert (english["other_language"], english["shuffled"]) == (0.5, 0.75)
    assert (danish["prompts"], danish["accuracy"]) == (1, 0.5)
    assert macro["accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert "3 pairs left out" in table.note


def test_preferences_keep_their_subset() -> None:
    rows = [preferences.Preference("1", "da", [{"role": "user", "content": "?"}], "good", "bad", "chat")]
    items = list(ranking.of_preferences(rows))
    made = list(ranking.results(items, {("da", "1", "chosen"): 2.0, ("da", "1", "rejected"): -1.0}))
    table = ranking.accuracy(made, ranking.PREFERENCE, ["da"], SETTINGS)
    assert table is not None
    assert table.columns[-1] == "chat"
    assert table.rows[0][2] == 1.0
    assert ranking.accuracy(made, ranking.CORRUPTION, ["da"], SETTINGS) is None


def test_offset_and_correlation_by_hand() -> None:
    """Danish rewards are the English ones less 2: the same ranking, offset -2; what is in another language is not parallel."""
    kinds = ("reference", "truncated", "shuffled")
    english = {("en", p, kind): float(i + 3 * j) for j, p in enumerate("pq") for i, kind in enumerate(kinds)}
    danish = {("da", p, kind): value - 2 for (_, p, kind), value in english.items()}
    table = ranking.against_pivot(scored(english | danish), ["en", "da"], "en", SETTINGS)
    assert table is not None
    (row,) = table.rows
    assert row[:2] == ["da", 6]
    assert row[2:7] == pytest.approx([1.0, 1.0, -2.0, -2.0, -2.0])


def test_rewards_that_do_not_differ_have_no_rank_correlation() -> None:
    table = ranking.against_pivot(scored({}), ["en", "da"], "en", SETTINGS)
    assert table is not None
    assert table.rows[0][2:4] == [None, None]
    assert table.rows[0][-1] is None


def test_another_reward_model_on_the_same_pairs() -> None:
    """Two of three right against three of three in English, and in Danish what only one of them scored is left out."""

    def rows(values: dict[str, dict[str, float]]) -> list[Result]:
        return [
            Result("reward_ranking", "", prompt, language, 0, ranking.PREFERENCE, value, "")
            for language, of in values.items()
            for prompt, value in of.items()
        ]

    own = rows({"en": {"a": 1.0, "b": 1.0, "c": 1.0}, "da": {"a": 0.0}})
    other = rows({"en": {"a": 1.0, "b": 1.0, "c": 0.0}, "da": {"b": 1.0}})
    table = ranking.beside(own, other, ["en", "da"], paired.Settings(100, 0.95), "shipped")
    assert table is not None
    assert [row[:6] for row in table.rows[:1]] == [
        ["preference", "en", 3, pytest.approx(2 / 3), 1.0, pytest.approx(1 / 3)]
    ]
    assert [row[1] for row in table.rows] == ["en", "macro"]
    assert table.title == "Reward model: beside shipped"
    assert ranking.beside(own, [], ["en", "da"], paired.Settings(100, 0.95), "shipped") is None
