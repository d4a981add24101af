"""Cutting a run into rounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from croco.maths.rounds import places, rounds


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 40), st.sampled_from([0.5, 1.0, 2.5]), st.integers(1, 20))
def test_rounds_take_every_unit_as_often_as_epochs_say(
    units: int, pairs: int, batch: int, epochs: float, every: int
) -> None:
    plan = rounds(units, pairs, batch, epochs, every, seed=3)
    places = sum(len(one.units) * one.passes for one in plan)
    assert abs(places - -(-units * epochs // 1)) < 1e-6
    assert all(one.units == sorted(set(one.units)) for one in plan)
    if epochs == 1.0:
        assert sorted(unit for one in plan for unit in one.units) == list(range(units))


def test_rounds_by_hand() -> None:
    """10 units of 3 pairs in batches of 6, two steps a round: 4 units fill 12 pairs; 4 + 4 + 2 units, the last for one step."""
    plan = rounds(10, 3, 6, 1.0, 2, seed=0)
    assert [(len(one.units), one.steps, one.passes) for one in plan] == [(4, 2, 1.0), (4, 2, 1.0), (2, 1, 1.0)]


def test_a_round_longer_than_an_epoch_passes_over_its_pairs_again() -> None:
    (only,) = rounds(4, 1, 2, 2.0, 100, seed=0)
    assert (only.units, only.passes, only.steps) == ([0, 1, 2, 3], 2.0, 4)


def test_a_part_of_an_epoch_is_a_whole_number_of_units() -> None:
    """100 * 0.07 is 7.000000000000001 in binary; 5/7 of 7 is 5 though its decimals are rounded up."""
    assert [places(100, 0.07), places(7, 5 / 7), places(10, 0.25), places(3, 2.0)] == [7, 5, 3, 6]
