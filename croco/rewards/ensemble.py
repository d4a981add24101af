"""Several reward models as one, with how far they disagree.

Where members of different seeds disagree, the reward is a guess, and what is chosen by it is chosen by its errors (Coste et al.
2024, arXiv 2310.02743, whose worst-case and uncertainty-weighted objectives these are).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from croco.engines.base import Answered, Scorer


class Agreed(float):
    """A reward of several members, with the standard deviation (ddof 0) among them."""

    disagreement: float

    def __new__(cls, reward: float, disagreement: float) -> Agreed:
        made = super().__new__(cls, reward)
        made.disagreement = disagreement
        return made


class EnsembleScorer:
    """`aggregate` of the members' rewards: their `mean`, the `minimum`, or `pessimistic`, the mean less their standard deviation.
    None where a member has no reward."""

    def __init__(self, members: Sequence[Scorer], aggregate: str) -> None:
        self.members, self.aggregate = members, aggregate

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        by_member = [member.score(answers) for member in self.members]
        return [self._one(values) for values in zip(*by_member, strict=True)]

    def _one(self, values: Sequence[float | None]) -> Agreed | None:
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        spread = float(np.std(known))
        mean = float(np.mean(known))
        return Agreed({"mean": mean, "minimum": min(known), "pessimistic": mean - spread}[self.aggregate], spread)

    def close(self) -> None:
        for member in self.members:
            member.close()
