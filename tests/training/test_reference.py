"""The reference's log-probs: computed once per answer, found by whoever needs them, never taken for another's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from croco.artifacts import locks
from croco.errors import UserError
from croco.training import reference
from croco.training.data import Example
from croco.training.examples import key
from croco.training.forward import padded
from croco.training.model import build_model
from croco.training.reference import ReferenceCache, compute, entry, lacking
from tests.training.test_packed import random_examples
from tests.training.test_training import config_of

ON = {"model": "m", "dtype": "float32"}


class Counted:
    """Log-probs that tell what they were made for: answer's sum over its length, at every token."""

    def __init__(self, fail_after: int = 10**9) -> None:
        self.calls: list[Example] = []
        self.fail_after = fail_after

    def __call__(self, examples: Sequence[Example]) -> Iterator[tuple[Example, list[Tensor]]]:
        for example in examples:
            if len(self.calls) == self.fail_after:
                raise RuntimeError("killed")
            self.calls.append(example)
            yield example, [torch.full((len(a),), -sum(a) / len(a)) for a in example.answers]


ONE, TWO = Example([1, 2], ([3], [4, 5])), Example([1, 2], ([4, 5], [6]))
OTHER = Example([1], ([3], [4, 5]))


def test_every_answer_is_computed_once(tmp_path: Path) -> None:
    """TWO shares an answer with ONE, but needs another; a third run needs nothing."""
    cache, work = ReferenceCache(tmp_path, ON), Counted()
    assert cache.sums([ONE], cache.of([ONE], work)).tolist() == [[-3.0], [-9.0]]
    known = ReferenceCache(tmp_path, ON).of([ONE, TWO], work)
    assert cache.sums([ONE, TWO], known).tolist() == [[-3.0, -9.0], [-9.0, -6.0]]
    assert work.calls == [ONE, TWO]
    cache.of([TWO, ONE], work)
    assert work.calls == [ONE, TWO]


def test_another_prompt_or_base_shares_nothing(tmp_path: Path) -> None:
    work = Counted()
    ReferenceCache(tmp_path, ON).of([ONE], work)
    ReferenceCache(tmp_path, ON).of([OTHER], work)
    ReferenceCache(tmp_path, ON | {"model": "n"}).of([ONE], work)
    assert work.calls == [ONE, OTHER, ONE]


def test_the_key_tells_prompt_from_answer() -> None:
    assert key([1, 2], [3]) != key([1], [2, 3])
    assert key([1, 2], [3]) == key([1, 2], [3])


def test_a_kill_loses_only_what_was_not_computed(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path, ON)
    with pytest.raises(RuntimeError):
        cache.of([ONE, OTHER], Counted(fail_after=1))
    again = Counted()
    cache.of([ONE, OTHER], again)
    assert again.calls == [OTHER]


@pytest.mark.parametrize("values", [[-1.0, -1.0], [float("nan")], []])
def test_an_entry_that_does_not_fit_is_refused(tmp_path: Path, values: list[float]) -> None:
    """An answer of one token with two numbers, with none, or with one that is no number."""
    cache = ReferenceCache(tmp_path, ON)
    known = {key([1, 2], [3]): entry(np.array(values, np.float32)), key([1, 2], [4, 5]): entry(np.zeros(2, np.float32))}
    with pytest.raises(UserError, match="missing or does not fit"):
        cache.sums([ONE], known)


def test_nothing_missing_goes_unnoticed(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path, ON)
    assert lacking([ONE], cache.read([ONE])) == [ONE]
    with pytest.raises(UserError, match="missing or does not fit"):
        cache.sums([ONE], {})


def test_the_model_without_its_adapter(policy: Path, tmp_path: Path) -> None:
    """Against the padded path, one example at a time; the adapter is far from zero, and must not matter."""
    model = build_model(config_of(policy), 0.0)
    examples = random_examples()
    expected = [padded(model, [e]).sums(2)[:, 0] for e in examples]
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    cache = ReferenceCache(tmp_path, ON)
    sums = cache.sums(examples, cache.of(examples, lambda some: compute(model, padded, some, 64)))
    assert torch.allclose(sums, torch.stack(expected, 1).detach(), atol=1e-3)
    assert model.training
    (file,) = cache.folder.glob("*.parquet")
    assert pq.read_table(file).num_rows == 6


def test_what_another_run_holds_is_asked_for_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first of several processes, whose others hear of it in between."""
    monkeypatch.setattr(reference, "PATIENCE", 0.01)
    cache, said = ReferenceCache(tmp_path, ON), []
    own: Any = reference._Reference(*[None] * 4, said.append)  # type: ignore[arg-type]
    with ExitStack() as held:
        with locks.held(cache.folder):
            assert not own._holds(held, cache)
        assert own._holds(held, cache)
        assert not own._holds(held, cache)
    assert len(said) == 2
    with locks.held(cache.folder, patience=0.01):
        pass
