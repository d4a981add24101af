"""From verdicts to tables, by hand."""

from __future__ import annotations

import pytest

from croco.artifacts.records import Verdict
from croco.errors import UserError
from croco.evals.arena import analysis
from croco.show import tables

SETTINGS = analysis.Settings(resamples=200, confidence=0.95)


def verdict(
    question: str, order: str, winner: str | None, language: str = "en", lengths: tuple[int, int] = (10, 10)
) -> Verdict:
    return Verdict(
        question, language, f"{order}_first", winner, "", "stop", question == "q1", *lengths, "hard", "", "judge", 0
    )


def games(question: str, first: str | None, second: str | None, **more: object) -> list[Verdict]:
    """Both orders: the winner when the candidate is shown first, and when it is shown second."""
    return [verdict(question, o, w, **more) for o, w in (("candidate", first), ("opponent", second))]  # type: ignore[arg-type]


@pytest.fixture
def verdicts() -> analysis.Verdicts:
    """q1 won in both orders; q2 won in one, lost in the other (whoever is first); q3 a tie, and unreadable; q4 unreadable."""
    return analysis.Verdicts(
        [
            *games("q1", "candidate", "candidate", lengths=(30, 10)),
            *games("q2", "candidate", "opponent", lengths=(5, 10)),
            *games("q3", "tie", None),
            *games("q4", None, None),
        ],
        ["en"],
    )


def test_scores_average_the_orders_and_leave_out_what_cannot_be_read(verdicts: analysis.Verdicts) -> None:
    """Win rate (1 + 0.5 + 0.5) / 3; with half for the unreadable (1 + 0.5 + 0.5 + 0.5) / 4."""
    assert verdicts.scores[0, :3].tolist() == [1.0, 0.5, 0.5]
    row, macro = analysis.rows(verdicts, SETTINGS)
    assert row.rate.mean == pytest.approx(2 / 3)
    assert row.questions == macro.questions == 3
    assert macro.rate.mean == row.rate.mean


def test_what_is_said_of_the_judge(verdicts: analysis.Verdicts) -> None:
    """8 verdicts, 3 unreadable, 1 of 5 ties; q1 and q2 were read in both orders and agree once; of 4 decided games the first
    answer won in q1's first, q2's first and q2's second."""
    found = analysis.judge_numbers(verdicts, 0)
    assert found["verdicts"] == 8
    assert found["unreadable"] == 3
    assert found["shortened"] == 2
    assert found["ties"] == pytest.approx(1 / 5)
    assert found["orders_agree"] == 0.5
    assert found["first_wins"] == pytest.approx(3 / 4)
    assert found["cautious"] == pytest.approx(2.5 / 4)


def test_results_keep_both_systems_and_the_unreadable(verdicts: analysis.Verdicts) -> None:
    values = {(r.prompt_id, r.system, r.metric): r.value for r in analysis.results(verdicts)}
    assert values["q1", "tuned", "win"] == 1.0
    assert values["q1", "base", "win"] == 0.0
    assert values["q4", "tuned", "win"] is None
    assert values["q1", "tuned", "characters"] == 30.0
    assert len(values) == 16


def test_one_order_has_no_agreement() -> None:
    found = analysis.Verdicts([verdict("q1", "candidate", "candidate"), verdict("q2", "opponent", "tie")], ["en"])
    numbers = analysis.judge_numbers(found, 0)
    assert numbers["orders_agree"] is None
    assert found.scores.tolist() == [[1.0, 0.5]]


def test_holm_over_languages_and_not_the_macro() -> None:
    """Ten questions, all won in English and Danish: each p is near 2/2^10, twice that after Holm; the macro's stays."""
    rows = analysis.rows(
        analysis.Verdicts(
            [
                v
                for lang in ("en", "da")
                for i in range(10)
                for v in games(f"q{i}", "candidate", "candidate", language=lang)
            ],
            ["en", "da"],
        ),
        analysis.Settings(resamples=4000, confidence=0.95),
    )
    assert rows[0].p == pytest.approx(2 * rows[2].p)
    assert rows[2].p < 0.006


def test_a_question_missing_in_a_language_is_not_a_loss() -> None:
    found = analysis.Verdicts(
        [*games("q1", "candidate", "candidate"), *games("q2", "tie", "tie", language="da")], ["en", "da"]
    )
    assert [r.rate.mean for r in analysis.rows(found, SETTINGS)] == [1.0, 0.5, 0.75]
    assert len(list(analysis.results(found))) == 8


def test_a_judge_that_is_never_readable_is_an_error() -> None:
    with pytest.raises(UserError, match="not one can be read"):
        analysis.Verdicts(games("q1", None, None), ["en"])


def test_the_tables_are_whole(verdicts: analysis.Verdicts) -> None:
    rows = analysis.rows(verdicts, SETTINGS)
    shown = analysis.tables(verdicts, rows, SETTINGS)
    assert [t.title for t in shown] == ["Arena: tuned against base", "The judge", "Lengths", "By category"]
    for table in shown:
        assert all(len(row) == len(table.columns) for row in table.rows)
    assert "LC-minimal" in tables.text(shown)
    lengths = dict(zip(shown[2].columns, shown[2].rows[0], strict=True))
    assert (lengths["tuned"], lengths["base"], lengths["longer"]) == pytest.approx((15.0, 10.0, 1 / 3))
    assert (lengths["longer wins"], lengths["shorter wins"]) == (1.0, 0.5)
    assert shown[3].rows[0][:3] == ("hard", 4, 1)
    assert "66.7%" in analysis.headline(rows, SETTINGS)
