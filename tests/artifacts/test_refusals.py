"""Files that cannot be written: the old one stays, no part of the new one is left, and one line names the file and what to do."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from croco.artifacts import files, refusals, sharing
from croco.artifacts.records import Score
from croco.artifacts.sharing import Cut, Terms, Work
from croco.artifacts.store import Store
from croco.errors import UserError
from croco.jobs import outcomes
from croco.language import clock
from croco.show import logs
from croco.show.progress import Progress
from croco.training import tensors
from tests.artifacts.test_reuse import files_up_to

LARGE = torch.arange(50_000)


def by(write: Callable[[Path], object]) -> Callable[[Path], None]:
    def through(path: Path) -> None:
        with files.whole(path) as temporary:
            write(temporary)

    return through


WRITERS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: files.write_atomically(path, "x" * 100_000),
    "checkpoint": lambda path: tensors.Checkpoints().save_checkpoint({"state": LARGE}, path),
    "torch": by(lambda path: torch.save(LARGE, path)),
    "safetensors": by(lambda path: save_file({"x": LARGE}, path)),
    "parquet": by(lambda path: pq.write_table(pa.table({"x": LARGE.tolist()}), path)),
    "numpy": by(lambda path: np.save(path.open("wb"), LARGE.numpy())),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_what_cannot_be_written_whole_leaves_the_old_one_and_nothing_else(kind: str, tmp_path: Path) -> None:
    """Every library says in its own way that there is no room."""
    path = tmp_path / "file"
    path.write_text("old")
    with files_up_to(4096), pytest.raises(UserError, match="no room to write") as error, refusals.told(tmp_path):
        WRITERS[kind](path)
    assert str(error.value).startswith(f"{tmp_path}")
    assert "\n" not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE])
@pytest.mark.parametrize("named", [True, False])
def test_what_the_system_says_is_one_line(number: int, named: bool, tmp_path: Path) -> None:
    """Of a folder too, which is not for that "where a file is meant"."""
    error = OSError(number, os.strerror(number), *([str(tmp_path / "scores")] if named else []))
    (tmp_path / "scores").mkdir()
    refusal = refusals.of(error, tmp_path)
    assert refusal is not None
    assert str(refusal).startswith(f"{tmp_path / 'scores' if named else tmp_path}: ")
    assert os.strerror(number) in str(refusal)
    assert "a folder, where" not in str(refusal)


def test_a_place_that_is_none_of_ours_is_no_refusal(tmp_path: Path) -> None:
    assert refusals.of(FileNotFoundError(errno.ENOENT, "gone", "/elsewhere"), tmp_path) is None
    assert refusals.of(ValueError("No space between words"), tmp_path) is None


def test_a_unit_whose_rows_found_no_room_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found on a disk that grew: the claim said done, no row was there, and the next run made none."""
    monkeypatch.setattr(sharing, "FLUSH_SECONDS", 0.0)
    output = Store(tmp_path).artifact("scores", 1, {})
    rows = [Score("p", "da", n, 0.5, 3, "stop", "r" * 3000) for n in range(4)]
    cut = Cut("c", 1, lambda unit: [("p", n) for n in range(4)], ("prompt_id", "sample"), 4, "rewards")

    def work(made: Counter[str]) -> None:
        with output.lock(), Work(output, cut, Terms(), Progress(), "scores") as part:
            for feed in part.feeds(ahead=False):
                for _, keys in feed:
                    for _, sample in keys:
                        made["rows"] += 1
                        part.add(rows[sample])

    first, second = Counter[str](), Counter[str]()
    with files_up_to(7000), pytest.raises(OSError, match="too large") as error:
        work(first)
    assert str(error.value.filename).endswith(".jsonl")
    work(second)
    there = [row["sample"] for _, _, row in output.journalled()]
    assert sorted(there) == [0, 1, 2, 3]
    assert second["rows"] == 2, "the two that were on the disk are not made again"


def test_a_log_that_cannot_be_written_is_one_line_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler = logs.File(tmp_path / "run.log")
    record = logging.LogRecord("x", logging.INFO, "", 0, "y" * 9000, None, None)
    with files_up_to(1000):
        handler.handle(record)
        handler.handle(record)
    said = capsys.readouterr().err
    assert said == f"croco: warning: {tmp_path / 'run.log'}: cannot be written (File too large)\n"


def test_what_became_of_a_run_is_kept_in_the_place_of_what_was_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk has no room for another file; the old one's is there."""
    outcome = outcomes.begin(tmp_path, ["x" * 300], None)

    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(outcomes, "write_atomically", full)
    outcome.failed(UserError("no room"))
    outcome.overrides = []
    outcome.write()
    assert json.loads((tmp_path / outcomes.NAME).read_text())["failure"] == "no room"


def test_a_date_that_found_no_room_is_written_by_the_next(tmp_path: Path) -> None:
    (tmp_path / clock.FILE).write_text("")
    clock.begin(None, tmp_path)
    today = clock.date()
    assert (tmp_path / clock.FILE).read_text() == today + "\n"


def test_a_checkpoint_is_what_lightning_reads(tmp_path: Path) -> None:
    saved: dict[str, Any] = {"state_dict": {"w": torch.ones(3)}, "global_step": 4}
    tensors.Checkpoints().save_checkpoint(saved, tmp_path / "new" / "last.ckpt")
    read = tensors.Checkpoints().load_checkpoint(tmp_path / "new" / "last.ckpt", weights_only=True)
    assert read["global_step"] == 4
    assert torch.equal(read["state_dict"]["w"], saved["state_dict"]["w"])
