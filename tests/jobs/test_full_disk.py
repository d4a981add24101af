"""A full disk and read-only folders in every stage, as a user meets them: one line, exit code 2, and the same command goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import small_disk

pytestmark = pytest.mark.slow
SMALL = (
    "debug=smoke",
    "lang.languages=[en,da]",
    "engine=fake",
    "trainer.threads=1",
    "prompts.train=6",
    "prompts.heldout=4",
    "evals=none",
)
KIB = (4, 32, 76, 150, 1400, 2300)
"""Sizes of the disk, which grows: too small for Hydra's files, a table, a journal, a manifest, a checkpoint, the adapter."""


def words(folder: Path) -> list[str]:
    return [*SMALL, f"paths.artifacts={folder}/disk/runs"]


def test_no_room_in_any_stage(tmp_path: Path) -> None:
    """Run again and again while the disk grows, it ends in the tables of a run that had room, and made nothing twice."""
    sizes = [f"size={size}k" for size in KIB] + ["size=64m"]
    (tmp_path / "grows").mkdir()
    (tmp_path / "whole").mkdir()
    grown = small_disk.run(tmp_path / "grows", [(size, [], words(tmp_path / "grows")) for size in sizes])
    (whole,) = small_disk.run(tmp_path / "whole", [("size=64m", [], words(tmp_path / "whole"))])
    assert (grown[-1]["code"], whole["code"]) == (0, 0), (grown[-1]["whole"], whole["whole"])
    assert grown[-1]["tables"] == whole["tables"]
    named, before = set(), set()
    for size, case in zip(sizes, grown[:-1], strict=False):
        if case["code"] == 0:  # room enough since
            continue
        lines = [line for line in case["said"] if "no room to write" in line]
        assert (case["code"], case["trace"], case["left"], len(lines)) == (2, False, [], 1), (size, case["whole"])
        assert str(tmp_path / "grows" / "disk") in lines[0], size
        assert "the same command goes on" in lines[0]
        named.add(lines[0].removeprefix(f"croco: {tmp_path}/grows/disk/runs").split("/")[1])
        assert before <= set(case["sealed"]), "what is finished stays so"
        before = set(case["sealed"])
    assert {"logs", "prompts", "generations", "training"} <= named
    assert len(before) == 7, "the last ones stood on all that had been made"
    assert "running" not in grown[-1]["outcomes"]


def test_no_room_for_what_wandb_records(tmp_path: Path) -> None:
    """Its files lie on the disk that is full, the run's do not: the run ends whole, and one line says which records are cut."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "wandb").symlink_to(tmp_path / "disk")
    calls = [
        [*SMALL, f"paths.artifacts={tmp_path}/runs", "logger=wandb", "logger.mode=offline", f"sampling.seed={n}"]
        for n in (1, 2)
    ]
    full, roomy = small_disk.run(tmp_path, [("size=32k", [], calls[0]), ("size=64m", [], calls[1])])
    assert (full["code"], roomy["code"]) == (0, 0), (full["whole"], roomy["whole"])
    assert (full["trace"], roomy["trace"]) == (False, False), full["whole"]
    (line,) = [line for line in full["whole"].splitlines() if line.startswith("W&B: ")]
    assert line.startswith(f"W&B: {tmp_path}/runs/wandb: no room to write")
    assert "3 runs recorded offline" in roomy["whole"]


def test_no_room_where_two_processes_train(tmp_path: Path) -> None:
    """The first one's checkpoint finds no room: what it says of that is what the run says, and the same command goes on."""
    call = [*words(tmp_path), "trainer.devices=2", "trainer.strategy=ddp", "trainer.checkpoint_every=1"]
    full, roomy = small_disk.run(tmp_path, [("size=900k", [], call), ("size=64m", [], call)])
    assert (full["code"], full["trace"], full["left"]) == (2, False, []), full["whole"]
    (line,) = full["said"]
    assert line.startswith(f"croco: {tmp_path}/disk/runs/training/"), line
    assert "no room to write" in line
    assert roomy["code"] == 0, roomy["whole"]


READ_ONLY = {
    "runs": "runs/logs/",
    "runs/logs": "runs/logs/",
    "runs/generations": "runs/generations/",
    "runs/training": "runs/training/",
}


def test_read_only_parts(tmp_path: Path) -> None:
    """What is finished is found in read-only folders; what is to be made there is refused by name, and made once they are not."""
    call = words(tmp_path)
    other = [*call, "sampling.seed=7"]
    room = "size=64m"
    found = ["runs/prompts", "runs/generations", "runs/scores", "runs/training", "runs/report"]
    cases: list[small_disk.Case] = [(room, [], call), (room, found, call)]
    cases += [(room, [part], other) for part in READ_ONLY]
    made, again, *refused = small_disk.run(tmp_path, [*cases, (room, [], other)])
    *refused, mended = refused
    assert (made["code"], again["code"], mended["code"]) == (0, 0, 0), (made["whole"], again["whole"], mended["whole"])
    for part, case in zip(READ_ONLY, refused, strict=True):
        assert (case["code"], case["trace"], case["left"], len(case["said"])) == (2, False, [], 1), (
            part,
            case["whole"],
        )
        assert case["said"][0].startswith(f"croco: {tmp_path}/disk/{READ_ONLY[part]}"), case["said"]
        assert "Read-only file system" in case["said"][0]
