"""Summed log-probs as training computes them, against a model's whole logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from croco.errors import UserError
from croco.training import packed
from croco.training.summed import Logps
from tests.support.builders import build_policy

PROMPTS = [5, 40, 41], [5, 42], [5, 43, 44, 45, 46]
SEQUENCES = [
    (list(PROMPTS[number % 3]), [50 + (7 * number + place) % 20 for place in range(1 + number % 6)])
    for number in range(14)
]


def expected(model: Any, prompt: list[int], answer: list[int]) -> float:
    """From all logits of one sequence."""
    ids = prompt + answer
    logps = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), -1)
    return sum(logps[place - 1, ids[place]].item() for place in range(len(prompt), len(ids)))


@pytest.mark.parametrize("budget", [1, 16, 1000])
@pytest.mark.parametrize("family", ["llama", "cohere2", "gemma3", "padded"])
def test_equal_to_whole_logits(family: str, budget: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three prompts in turn, in batches of one and of several; a model that is not proven is read in padded rows."""
    model = AutoModelForCausalLM.from_pretrained(
        build_policy(tmp_path, "llama" if family == "padded" else family)
    ).eval()
    with torch.no_grad():
        wanted = [expected(model, *sequence) for sequence in SEQUENCES]
    if family == "padded":
        monkeypatch.setattr(packed, "refusal", lambda base: "not proven")
    logps = Logps(model, 9, budget, "too much")
    assert logps.forward.name == ("padded" if family == "padded" else "packed")
    found = logps.of([*SEQUENCES, ([5, 40], [50] * 8), ([5], [])])
    assert found[: len(SEQUENCES)] == [
        None if len(p) + len(a) > 9 else pytest.approx(value, abs=1e-4)
        for (p, a), value in zip(SEQUENCES, wanted, strict=True)
    ]
    assert found[len(SEQUENCES) :] == [None, 0.0]


def test_a_batch_without_room_goes_in_halves(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device with room for three answers at a time gives what one with room for all does; with none it says what to do."""
    model = AutoModelForCausalLM.from_pretrained(policy).eval()
    logps = Logps(model, 100, 1000, "lower it")
    whole, sums, room = logps.of(SEQUENCES), Logps._sums, 3

    def short(self: Logps, sequences: Any) -> list[float]:
        if len(sequences) > room:
            raise torch.OutOfMemoryError
        return sums(self, sequences)

    monkeypatch.setattr(Logps, "_sums", short)
    assert logps.of(SEQUENCES) == [pytest.approx(value, abs=1e-5) for value in whole]
    room = 0
    with pytest.raises(UserError, match="lower it"):
        logps.of(SEQUENCES)
