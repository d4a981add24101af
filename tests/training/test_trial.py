"""What becomes of a pack that the device has no room for; the device is a pretence that counts tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from croco.errors import UserError
from croco.training import compiled, trial
from croco.training.data import Example
from croco.training.forward import Forward, padded
from croco.training.model import build_model
from tests.training.test_training import config_of, fit


class Device:
    """Has room for `room` tokens of a pack, for four times as many where activations are computed again."""

    def __init__(self, room: int) -> None:
        self.room, self.seen = room, []  # type: ignore[var-annotated]

    def peak(self, model: Any, forward: Forward, tokens: int) -> int:
        room = self.room * (4 if model.get_base_model().is_gradient_checkpointing else 1)
        self.seen.append(tokens)
        if tokens > room:
            raise torch.OutOfMemoryError("no room")
        return tokens


@pytest.mark.parametrize(
    ("room", "largest", "tokens", "recomputes", "seen"),
    [
        (9000, 500, 8192, False, [8192]),
        (5000, 500, 4096, False, [8192, 4096]),
        (5000, 4500, 8192, True, [8192, 8192]),  # half a pack would not hold the largest example
        (1500, 500, 4096, True, [8192, 4096, 2048, 8192, 4096]),
    ],
)
def test_a_pack_that_does_not_fit(
    room: int,
    largest: int,
    tokens: int,
    recomputes: bool,
    seen: list[int],
    policy: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Halves down to 2,048 tokens or the largest example, then recomputation of packs as asked for, then halves of those."""
    model, device = build_model(config_of(policy), 0.0), Device(room)
    monkeypatch.setattr(trial, "_peak", device.peak)
    monkeypatch.setattr(trial, "_free", lambda model: 10**9)
    monkeypatch.setattr(type(model), "device", torch.device("cuda"), raising=False)
    settled = trial.settle(model, padded, config_of(policy).trainer, largest, 10**6, 10**6)
    assert (settled.tokens, settled.recomputes, device.seen) == (tokens, recomputes, seen)
    assert model.get_base_model().is_gradient_checkpointing is recomputes


@pytest.mark.slow
def test_layers_that_cannot_be_compiled_run_as_they_are(
    policy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of(policy, "trainer.compile=true")
    model = build_model(config, 0.0)
    forward = replace(padded, name="packed")

    def broken(model: Any, forward: Forward, tokens: int) -> None:
        if model.get_base_model().model.layers[1]._compiled_call_impl is not None:
            raise RuntimeError("no C compiler")

    monkeypatch.setattr(trial, "_peak", broken)
    settled = trial.settle(model, forward, config.trainer, 10, 100, 100)
    assert not settled.compiled
    assert settled.forward(forward) is forward
    assert "no C compiler" in caplog.text


def test_a_trial_leaves_nothing(policy: Path) -> None:
    model = build_model(config_of(policy), 0.0)
    before = torch.random.get_rng_state()
    assert trial._peak(model, padded, 40) is None
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_it_compiles_where_the_run_is_long(policy: Path) -> None:
    model = build_model(config_of(policy), 0.0)
    for setting, expected in (("true", True), ("false", False), ("null", False)):  # null: never on a CPU
        hardware = config_of(policy, f"trainer.compile={setting}").trainer
        assert compiled.wanted(hardware, model, 10**12) is expected


def test_training_goes_on_with_smaller_packs(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A device with room for three examples, where packs hold four: the step is made again, and the run is the same run."""
    examples = [Example([5, 6, 7], ([10 + i, 1], [20 + i, 30, 1])) for i in range(8)]
    config = config_of(policy, "trainer.packing=false", "method.epochs=2", "method.learning_rate=0.01")
    whole = fit(config, examples, tmp_path / "a")[1]
    plain = padded.logps

    def narrow(model: Any, some: Any) -> Any:
        if torch.is_grad_enabled() and len(some) > 3:
            raise torch.OutOfMemoryError("no room")
        return plain(model, some)

    monkeypatch.setattr("croco.training.packed.padded", replace(padded, logps=narrow))
    halved = fit(config, examples, tmp_path / "b")[1]
    assert "trainer.tokens_per_pack: 22 from now on, a pack of 44 did not fit" in caplog.text
    assert [row["loss"] for row in halved] == pytest.approx([row["loss"] for row in whole], abs=1e-5)

    def full(model: Any, some: Any) -> Any:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr("croco.training.packed.padded", replace(padded, logps=full))
    settings = ("trainer.packing=false", "trainer.cache_reference=false", "trainer.tokens_per_pack=1")
    with pytest.raises(UserError, match=r"no memory for a pack of 11 tokens \(1 examples\); lower model.max_length"):
        fit(config_of(policy, *settings, "method=max_r"), [Example([5] * 8, ([10, 11, 1],))] * 4, tmp_path / "c")
