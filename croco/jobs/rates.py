"""What a run's work is reckoned with: rates of devices, lengths of texts, bytes of rows. The only place that has them.

The plan (`croco doctor hardware=...`), a submitted sweep, preflight and docs/scale.md read them here. Each says whether it was
measured, and where; `rates.NAME=VALUE` on the plan's command line puts one's own in its place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from croco.errors import UserError
from croco.models.shapes import PUBLISHED

WRITER = PUBLISHED["utter-project/EuroLLM-9B-Instruct-2512"].active
READER = PUBLISHED["Skywork/Skywork-Reward-V2-Qwen3-8B"].active
"""Parameters of the models that `writes` and `reads` are the rates of; others go as the inverse of theirs."""
FASTER = 10.0  # times at most that a small model is taken to be faster: then launches take the time, not parameters
PREFIX = "rates."


def _rate(value: float, unit: str, said: str) -> float:
    return field(default=value, metadata={"unit": unit, "said": said})  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Rates:
    """Of one GPU of the 80 GB class."""

    prompt: float = _rate(200, "tokens", "assumed: mean of a prompt")
    answer: float = _rate(400, "tokens", "assumed: mean of an answer")
    verdict: float = _rate(300, "tokens", "assumed: mean of a judge's words")
    questions: float = _rate(500, "a language", "assumed: of an arena whose questions are on the hub")
    writes: float = _rate(12_000, "tokens/s", "assumed: EuroLLM-9B in bfloat16 under vLLM, with a full batch")
    reads: float = _rate(25_000, "tokens/s", "assumed: the 8B reward model; 380 TFLOP/s, which needs a full batch")
    trains: float = _rate(422e12, "FLOP/s", "measured on an H100: EuroLLM-9B, packs of 8,192, 57 % of 740 TFLOP/s")
    recomputes: float = _rate(1.41, "times", "measured on an H200: a step that computes activations again")
    compiled: float = _rate(
        0.84, "times", "measured on an H100: activations where layers are compiled, 45.0 of 53.4 GB"
    )
    start: float = _rate(90, "s", "assumed: an engine starts and reads its weights")
    beside: float = _rate(2.0, "GB", "assumed: what an engine or a training holds of a GPU beside what is counted")
    journal: float = _rate(4_759 / 400, "bytes a token", "measured on two CPU cores: an answer in the journal")
    table: float = _rate(2_580 / 400, "bytes a token", "measured on two CPU cores: an answer in its table")
    reward: float = _rate(100, "bytes", "assumed: a reward's row, at most")
    pairing: float = _rate(26 / 8.96e6, "s", "measured on two CPU cores: pairs, for each answer")


def given(words: Sequence[str]) -> Rates:
    """With one's own, from `rates.NAME=VALUE`.

    Raises:
        UserError: no such rate, or no number above 0.
    """
    known = {one.name for one in dataclasses.fields(Rates)}
    own: dict[str, float] = {}
    for word in words:
        name, _, said = word.removeprefix(PREFIX).partition("=")
        if name not in known:
            raise UserError(f"{PREFIX}{name}: no such rate; there is {', '.join(sorted(known))}")
        try:
            own[name] = float(said)
        except ValueError:
            own[name] = 0.0
        if not 0 < own[name] < float("inf"):
            raise UserError(f"{PREFIX}{name}: {said}: must be a number above 0")
    return replace(Rates(), **own)


def rows(rates: Rates) -> list[tuple[str, str, str, str]]:
    """Name, value, unit, and where from; one's own are called so."""
    found = []
    for one in dataclasses.fields(Rates):
        value = getattr(rates, one.name)
        said = one.metadata["said"] if value == one.default else "given"
        shown = f"{value / 1e12:,.0f}e12" if value >= 1e9 else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        found.append((one.name, shown, one.metadata["unit"], said))
    return found
