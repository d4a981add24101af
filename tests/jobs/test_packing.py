"""`croco pack` and `croco unpack`, with packs that somebody changed."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

import croco
from croco import pack, unpack
from croco.artifacts import holdings
from croco.artifacts.store import Store
from croco.jobs import outcomes, reproducing
from tests.support.finished import finish


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Run 7 of a folder that holds run 8, too; with an optimiser state, which stays."""
    report = finish(tmp_path / "here", 7)
    finish(tmp_path / "here", 8)
    outcomes.begin(tmp_path / "here" / "sweeps" / "s" / "0", ["seed=7"], 0).done(0.5, report.path)
    for training in (tmp_path / "here" / "training").iterdir():
        (training / "checkpoints").mkdir()
        (training / "checkpoints" / "last.ckpt").write_text("large")
    assert pack.main([str(report.path), str(tmp_path / "run.tar.gz")]) == 0
    return tmp_path / "run.tar.gz"


def test_a_run_arrives_whole_and_alone(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten artifacts of run 7, none of run 8's three own; they read as before, the words are known, and twice is once."""
    there = packed.parent / "there"
    assert unpack.main([str(packed), "--artifacts", str(there)]) == 0
    assert "10 artifacts unpacked, 0 were here" in capsys.readouterr().out
    held = holdings.found(there)
    assert len(held) == 10
    (report,) = (there / "report").iterdir()
    assert croco.open(report).pairs() == croco.open(packed.parent / "here" / "report" / report.name).pairs()
    assert reproducing.words(Store.open(report)) == "croco run seed=7"
    assert not list(there.rglob("*.ckpt"))
    assert not list(there.glob(".unpack*"))
    assert unpack.main([str(packed), "--artifacts", str(there)]) == 0
    assert "0 artifacts unpacked, 10 were here" in capsys.readouterr().out


def changed(packed: Path, name: str, content: bytes | None, link: str | None = None) -> Path:
    """The pack with another content of the first file whose name ends so, or with one more."""
    other = packed.with_name("other.tar")
    with tarfile.open(packed) as old, tarfile.open(other, "w") as new:
        members = old.getmembers()
        first = next((member.name for member in members if member.name.endswith(name)), None)
        for member in members:
            data = old.extractfile(member).read()  # type: ignore[union-attr]
            data = content if member.name == first and content is not None else data
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
        if first is None:
            more = tarfile.TarInfo(name)
            if link is not None:
                more.type, more.linkname = tarfile.SYMTYPE, link
            more.size = len(content or b"")
            new.addfile(more, io.BytesIO(content or b""))
    return other


@pytest.mark.parametrize(
    ("name", "content", "link", "told"),
    [
        ("pairs.parquet", b"x", None, "is damaged"),
        ("../outside", b"x", None, "holds '../outside', which no pack does"),
        ("pairs/link", None, "/etc/passwd", "holds 'pairs/link', which no pack does"),
        ("pack.json", b"{}", None, "no file of `croco pack`"),
    ],
)
def test_what_was_changed_is_refused_and_nothing_is_put(
    packed: Path, name: str, content: bytes | None, link: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    there = packed.parent / "there"
    other = changed(packed, name, content, link)
    assert unpack.main([str(other), "--artifacts", str(there)]) == 2
    assert told in capsys.readouterr().err
    assert not list(there.iterdir())
    assert not (packed.parent / "outside").exists()


def test_a_file_more_and_a_manifest_of_another_origin_are_refused(
    packed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (manifest,) = (packed.parent / "here" / "pairs").glob("*/manifest.json")
    said = {**json.loads(manifest.read_text()), "config": {"scope": "other"}}
    place = f"pairs/{manifest.parent.name}/code.py"
    assert unpack.main([str(changed(packed, place, b"1")), "--artifacts", str(packed.parent / "there")]) == 2
    assert f"{place} is not what was sealed" in capsys.readouterr().err
    other = changed(packed, f"{manifest.parent.name}/manifest.json", json.dumps(said).encode())
    assert unpack.main([str(other), "--artifacts", str(packed.parent / "there")]) == 2
    assert "was made from something else" in capsys.readouterr().err


def test_half_a_pack_and_a_name_that_is_taken(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = packed.with_name("half.tar.gz")
    half.write_bytes(packed.read_bytes()[:2000])
    assert unpack.main([str(half), "--artifacts", str(packed.parent / "there")]) == 2
    (report, *_) = (packed.parent / "here" / "report").iterdir()
    assert pack.main([str(report), str(packed)]) == 2
    assert "exists already" in capsys.readouterr().err
