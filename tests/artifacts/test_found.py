"""The artifact folder as found: whatever lies there is one line that names it, or is made again; looking changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from croco.artifacts import locks, processes
from croco.artifacts.claims import Claims
from croco.artifacts.store import Artifact, Store
from croco.errors import UserError
from croco.jobs import overview

SCHEMA = pa.schema([("prompt_id", pa.string()), ("sample", pa.int64())])
ROWS = [{"prompt_id": "p", "sample": n} for n in range(3)]


def artifact(root: Path) -> Artifact:
    return Store(root).artifact("scores", 1, {"language": "da"})


def sealed(root: Path) -> Artifact:
    made = artifact(root)
    with made.lock():
        made.begin()
        made.write_table("scores", SCHEMA, ROWS)
        (made.path / "adapter").mkdir()
        (made.path / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
        made.seal({"rows": 3}, 1.0)
    made.verify()
    return made


IN_THE_WAY: dict[str, tuple[Callable[[Path], object], str]] = {
    "the root is a file": (lambda p: p.parent.parent.write_text(""), "runs: a file, where a folder is meant"),
    "the stage is a file": (lambda p: (p.parent.parent.mkdir(), p.parent.write_text("")), "scores: a file, where"),
    "the artifact is a file": (lambda p: (p.parent.mkdir(parents=True), p.write_text("")), "a file, where a folder"),
    "the lock is a folder": (lambda p: (p / ".lock").mkdir(parents=True), r"\.lock: a folder, where a file is meant"),
    "a link to nothing": (lambda p: (p.parent.mkdir(parents=True), p.symlink_to("gone")), "a link"),
    "a link out": (lambda p: (p.parent.mkdir(parents=True), p.symlink_to(p.parents[3])), "a link out of"),
    "its journal a link out": (lambda p: (p.mkdir(parents=True), (p / "journal").symlink_to("/")), "a link out of"),
}


@pytest.mark.parametrize("kind", IN_THE_WAY)
def test_what_is_in_the_way_is_named(kind: str, tmp_path: Path) -> None:
    put, says = IN_THE_WAY[kind]
    wanted = artifact(tmp_path / "own" / "runs")
    (tmp_path / "own").mkdir()
    put(wanted.path)
    with pytest.raises(UserError, match=says) as error, artifact(tmp_path / "own" / "runs").lock():
        pass
    assert "\n" not in str(error.value)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": lambda f: f.write_bytes(f.read_bytes()[:-5]),
    "another byte": lambda f: f.write_bytes(f.read_bytes()[:-9] + b"?" + f.read_bytes()[-8:]),
    "empty": lambda f: f.write_bytes(b""),
    "gone": lambda f: f.unlink(),
    "a folder": lambda f: (f.unlink(), f.mkdir()),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("name", ["scores.parquet", "adapter/adapter_model.safetensors"])
def test_a_file_that_is_not_what_was_sealed_is_named_with_what_to_do(kind: str, name: str, tmp_path: Path) -> None:
    made = sealed(tmp_path)
    if name.startswith("adapter") and kind == "another byte":
        (made.path / name).write_bytes(b"Weights")
    else:
        DAMAGE[kind](made.path / name)
    with pytest.raises(UserError, match=rf"{name}: is damaged .*; remove {made.path}, and the same command") as error:
        made.verify()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"stage": 1}'])
def test_a_manifest_that_is_none(content: bytes, tmp_path: Path) -> None:
    made = sealed(tmp_path)
    (made.path / "manifest.json").write_bytes(content)
    with pytest.raises(UserError, match=r"manifest\.json: is damaged"):
        Store.open(made.path)
    assert Store.begun(made.path) is None
    overview.overview(tmp_path)


def test_lines_that_are_none_are_made_again_and_leftovers_of_a_kill_go(tmp_path: Path) -> None:
    made = artifact(tmp_path)
    (made.path / "journal").mkdir(parents=True)
    lines = [json.dumps(ROWS[0]).encode(), b"\0" * 64, b"[1]", b'{"prompt_id": ', json.dumps(ROWS[1]).encode()]
    (made.path / "journal" / "0.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    assert [row for _, _, row in made.journalled()] == ROWS[:2]
    (made.path / "scores.host.123.tmp").write_bytes(b"half")
    made.write_table("scores", SCHEMA, ROWS)
    assert not list(made.path.glob("*.tmp"))


@pytest.mark.parametrize("name", ["manifest.json", "plan.json", "scores.parquet"])
def test_a_folder_in_the_place_of_a_file(name: str, tmp_path: Path) -> None:
    (artifact(tmp_path).path / name).mkdir(parents=True)
    with pytest.raises(UserError, match=rf"{name}: a folder, where a file is meant; remove it") as error:
        sealed(tmp_path)
    assert "\n" not in str(error.value)
    assert not list(artifact(tmp_path).path.glob("*.tmp"))


def test_odd_names_among_the_claims(tmp_path: Path) -> None:
    for name in (
        "x",
        ".beat",
        "a.beat",
        "-1-2-3.beat",
        "c-.0",
        "c-x.1",
        "c-1.x",
        "c-99999999999999999999.0",
        "c-0.0.0",
        "Ø.done",
    ):
        (tmp_path / name).write_text("")
    (tmp_path / "c-0.0").mkdir()
    claims = Claims(tmp_path, "c", 3, 0.01)
    claims.join()
    assert claims.take() is not None
    claims.others()
    claims.clear()
    claims.leave()


def test_looking_takes_no_lock_and_tells_who_holds(tmp_path: Path) -> None:
    """The lock's file is not even opened: another start of the same pid is nobody, and another machine is told by its notes."""
    made = artifact(tmp_path)
    said = []
    with made.lock():
        made.begin()
        os.rename(made.path / ".lock", made.path / ".away")
        said.append(overview.overview(tmp_path)[-1].rows[0][-1])
        assert not (made.path / ".lock").exists()
        os.rename(made.path / ".away", made.path / ".lock")
    said.append(overview.overview(tmp_path)[-1].rows[0][-1])
    host, pid, start, machine = processes.name().rsplit("-", 3)
    (made.path / locks.HOLDER).write_text(f"{host}-{pid}-{int(start) + 1}-{machine}")
    said.append(overview.overview(tmp_path)[-1].rows[0][-1])
    assert said == ["being made", "stopped", "stopped"]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"state": "running"}', '{"folder": "x", "overrides": [], "new": 1}']
)
def test_outcomes_of_other_versions_are_shown(content: str, tmp_path: Path) -> None:
    (tmp_path / "logs" / "a").mkdir(parents=True)
    (tmp_path / "logs" / "a" / "outcome.json").write_text(content)
    assert overview.overview(tmp_path)[0].title == "Runs"
