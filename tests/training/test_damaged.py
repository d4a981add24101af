"""What training goes on with, cut or changed: one line that names the file and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from croco.errors import UserError
from croco.training import metrics
from croco.training.reference import ReferenceCache
from croco.training.start import OPTIMISER, Start, moments
from tests.training.test_training import examples  # noqa: F401 - a fixture


@pytest.mark.parametrize("line", ["{", "[1]", "{}", '{"step": "x"}', "\0\0"])
def test_a_line_of_the_metrics(line: str, tmp_path: Path) -> None:
    (tmp_path / metrics.NAME).write_text('{"step": 0}\n' + line + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl:2: is damaged; remove this line"):
        metrics.read(tmp_path)
    (tmp_path / metrics.NAME).write_text('{"step": 0}\n' + line)
    assert metrics.read(tmp_path) == [{"step": 0}], "a torn last line is none"


def test_the_references_log_probs(examples: list, tmp_path: Path) -> None:  # noqa: F811
    cache = ReferenceCache(tmp_path, {"model": "x"})
    cache.folder.mkdir(parents=True)
    (cache.folder / "a.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(UserError, match=r"a\.parquet: is damaged .*; remove it"):
        cache.read(examples)


def test_the_moments_of_the_round_before(tmp_path: Path) -> None:
    (tmp_path / OPTIMISER).write_bytes(b"cut")
    with pytest.raises(UserError, match=rf"{OPTIMISER}: is damaged .*; remove {tmp_path}"):
        moments(Start(before=tmp_path), {})
