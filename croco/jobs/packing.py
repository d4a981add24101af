"""`croco pack` and `croco unpack`: a finished run and all it stands on, as one file.

    <name>.tar.gz
        pack.json                   which report it is
        <stage>/<folder>/...        of each artifact what was sealed
        logs/.../outcome.json       the words that made it, where they are kept

Who unpacks trusts nothing: names stay below the folder, links are none of ours, an artifact's address is worked out anew from
what its manifest says it was made from, and every file is held against its digest.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import socket
import tarfile
from contextlib import suppress
from pathlib import Path, PurePosixPath

from croco.artifacts import holdings, refusals
from croco.artifacts.addresses import address
from croco.artifacts.files import as_files, put, whole
from croco.artifacts.store import Artifact, Store
from croco.errors import UserError
from croco.evals.comparing import stored
from croco.jobs import origins, outcomes, reproducing
from croco.jobs.cleaning import scaled

INDEX = "pack.json"
KINDS = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What packing asks for."""
    parser.add_argument("report", metavar="RUN", help="its report's folder, or the first characters of its address")
    parser.add_argument("file", type=Path, metavar="FILE", help="a new .tar or .tar.gz")
    parser.add_argument("--artifacts", type=Path, default=Path("runs"), help="where runs keep theirs (runs)")


def pack(given: argparse.Namespace) -> int:
    """Write the file, which appears only when it is whole.

    Raises:
        UserError: no such run, an artifact of it is damaged, or the file is there already.
    """
    file: Path = given.file
    if file.suffix not in KINDS:
        raise UserError(f"{file}: a pack is a .tar or a .tar.gz")
    if file.exists():
        raise UserError(f"{file}: exists already; name another file, or remove it")
    report = stored.open_run(given.report, given.artifacts).report
    held = holdings.found(report.root)
    packed = [held[short].artifact for short in sorted(holdings.below(held, [report.address]))]
    with whole(file) as temporary:
        _write(temporary, KINDS[file.suffix], report, packed)
    print(f"{file}: {len(packed)} artifacts, {scaled(file.stat().st_size)}")
    missing = {short for artifact in packed for short in artifact.upstream.values()} - {a.address for a in packed}
    if missing:
        print(f"not packed, as they are no longer on disk: {len(missing)} artifacts it was made from")
    for key, path in origins.named(report.manifest.get("run", {})):
        print(f"not packed: {key}={path}")
    return 0


def _write(temporary: Path, mode: str, report: Artifact, packed: list[Artifact]) -> None:
    with tarfile.open(temporary, mode) as tar:  # type: ignore[call-overload]
        said = json.dumps({"pack": 1, "report": f"{report.stage}/{report.path.name}"}).encode()
        info = tarfile.TarInfo(INDEX)
        info.size = len(said)
        tar.addfile(info, io.BytesIO(said))
        for artifact in packed:
            artifact.verify()
            for name in _sealed(artifact):
                place = f"{artifact.stage}/{artifact.path.name}/{name}"
                tar.add(artifact.path / name, place, False, filter=_nobodys)
        if (log := reproducing.log_of(report)) is not None:
            tar.add(log / outcomes.NAME, str((log / outcomes.NAME).relative_to(report.root)), False, filter=_nobodys)


def _sealed(artifact: Artifact) -> list[str]:
    """Names below its folder of what the manifest vouches for, and of itself."""
    said = artifact.manifest
    return ["manifest.json", *sorted({**as_files(said.get("tables", {})), **said.get("files", {})})]


def _nobodys(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the name and number of who packs; two names of one file are two files."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def unpack_arguments(parser: argparse.ArgumentParser) -> None:
    """What unpacking asks for."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what `croco pack` wrote")
    parser.add_argument("--artifacts", type=Path, default=Path("runs"), help="where runs keep theirs (runs)")


def unpack(given: argparse.Namespace) -> int:
    """Put what is new among the artifacts; all of it is checked before the first is put.

    Raises:
        UserError: it is no pack, or something in it is not what was sealed; nothing is put then.
    """
    root: Path = given.artifacts
    temporary = root / f".unpack.{socket.gethostname()}.{os.getpid()}"
    temporary.mkdir(parents=True)
    try:
        report = _read(given.file, temporary)
        made = [_checked(given.file, manifest.parent) for manifest in sorted(temporary.glob("*/*/manifest.json"))]
        if not any(f"{one.stage}/{one.path.name}" == report for one in made):
            raise UserError(f"{given.file}: holds no {report}, which it says it is of")
        put_there = [_put(root, artifact) for artifact in sorted(made, key=lambda one: one.stage == holdings.REPORT)]
        for outcome in temporary.glob(f"*/**/{outcomes.NAME}"):
            target = root / outcome.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                put(outcome, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(f"{root / report}: {sum(put_there)} artifacts unpacked, {put_there.count(False)} were here")
    return 0


def _read(file: Path, folder: Path) -> str:
    """Write the files below a folder; returns the report's place among the artifacts."""
    try:
        with tarfile.open(file) as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if not member.isreg() or name.is_absolute() or ".." in name.parts or "\\" in member.name:
                    raise UserError(f"{file}: holds '{member.name}', which no pack does; nothing was unpacked")
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                content = tar.extractfile(member)
                assert content is not None, "a regular file has content"
                with content, target.open("wb") as out:
                    shutil.copyfileobj(content, out)
        return str(json.loads((folder / INDEX).read_text(encoding="utf-8"))["report"])
    except (OSError, tarfile.TarError, EOFError, ValueError, KeyError, TypeError) as error:
        if getattr(error, "errno", None) in refusals.FULL:
            raise refusals.no_room(folder.parent) from None
        raise UserError(f"{file}: no file of `croco pack`, or not whole ({error})") from None


def _checked(file: Path, folder: Path) -> Artifact:
    """An artifact that is what its manifest says, which is what its address says."""
    try:
        artifact = Store.open(folder)
        artifact.verify()
    except UserError as error:
        raise UserError(f"{file}: {error}; nothing was unpacked") from None
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    if more := sorted(there - set(_sealed(artifact))):
        raise UserError(
            f"{file}: {artifact.stage}/{folder.name}/{more[0]} is not what was sealed; nothing was unpacked"
        )
    own = address(artifact.stage, artifact.version, artifact.config, artifact.upstream)
    if own != artifact.address or not folder.name.endswith(own) or folder.parent.name != artifact.stage:
        raise UserError(f"{file}: {artifact.stage}/{folder.name} was made from something else; nothing was unpacked")
    return artifact


def _put(root: Path, artifact: Artifact) -> bool:
    """Whether it was not here; under the folder's lock, as a job that makes it holds it."""
    known = Artifact(root, *(getattr(artifact, n) for n in ("stage", "address", "version", "config", "upstream")))
    known.words = artifact.path.name.removesuffix(artifact.address).rstrip("-")
    with known.lock():
        if known.sealed:
            return False
        for part in sorted(artifact.path.iterdir(), key=lambda path: path.name == "manifest.json"):
            target = known.path / part.name
            with suppress(FileNotFoundError):
                shutil.rmtree(target) if target.is_dir() else target.unlink()
            os.replace(part, target)
    return True
