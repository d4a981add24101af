"""Several rewards as one: a weighted sum, from which answers that break a rule are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from croco.engines.base import Answered, Scorer


class CombinedScorer:
    """sum of weight * reward over the weighted parts; None where a part of it is None, or where a vetoing part is below its
    threshold. A vetoing part that cannot tell (None) vetoes nothing."""

    def __init__(self, parts: Mapping[str, Scorer], weights: Mapping[str, float], vetoes: Mapping[str, float]) -> None:
        self.parts, self.weights, self.vetoes = parts, weights, vetoes

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        scores = {name: scorer.score(answers) for name, scorer in self.parts.items()}
        return [self._one({name: values[i] for name, values in scores.items()}) for i in range(len(answers))]

    def _one(self, scores: Mapping[str, float | None]) -> float | None:
        total = 0.0
        for name, least in self.vetoes.items():
            value = scores[name]
            if value is not None and value < least:
                return None
        for name, weight in self.weights.items():
            value = scores[name]
            if value is None:
                return None
            total += weight * value
        return total

    def close(self) -> None:
        for scorer in self.parts.values():
            scorer.close()
