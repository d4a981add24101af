"""What is taken up from a training's folder is data: no file there can run code."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from croco.errors import UserError
from croco.training import fit, handover
from croco.training.data import Example, Material, Probe
from croco.training.start import Start
from tests.training.test_training import config_of, examples  # noqa: F401 - a fixture
from tests.training.test_training import fit as train


class Code:
    """Pickled, it makes a file where it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.proof),)


@pytest.mark.parametrize("place", ["whole", "inside"])
def test_a_foreign_checkpoint_runs_nothing(
    policy: Path,
    examples: list[Example],  # noqa: F811
    tmp_path: Path,
    place: str,
) -> None:
    """A pickle in the place of last.ckpt, or a checkpoint with one inside: refused, named, and its code not run."""
    proof, folder = tmp_path / "ran", tmp_path / "run"
    (folder / fit.LAST).parent.mkdir(parents=True)
    torch.save(Code(proof) if place == "whole" else {"global_step": 1, "loops": Code(proof)}, folder / fit.LAST)
    with pytest.raises(UserError, match=r"last\.ckpt: not a checkpoint .* remove it"):
        train(config_of(policy), examples, folder)
    assert not proof.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x04."])
def test_a_broken_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / fit.LAST).parent.mkdir(parents=True)
    (tmp_path / fit.LAST).write_bytes(content)
    with pytest.raises(UserError, match=r"last\.ckpt: not a checkpoint"):
        fit.step_of(tmp_path)


def test_processes_are_handed_what_was_written(policy: Path, tmp_path: Path) -> None:
    """Also text that looks like an interpolation, infinity, and no examples at all."""
    config = config_of(policy, "pairing.filters.repetition=inf")
    config = replace(config, model=replace(config.model, chat_template="a${b}"))
    material = Material(
        [Example([1, 2], ([3], [4, 5])), Example([6], ([], [7]))], [], [Probe([8], "da")], Start(tmp_path, None, 3, 4)
    )
    handover.write(tmp_path / "job", config, material, tmp_path / "run", tmp_path)
    assert handover.read(tmp_path / "job") == (config, material, tmp_path / "run", tmp_path)
