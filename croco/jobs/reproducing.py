"""`croco reproduce`: what made a finished run, what of it differs here, and the same again in another folder."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from croco.artifacts import provenance
from croco.artifacts.store import Artifact
from croco.errors import UserError
from croco.evals.comparing import stored
from croco.jobs import origins, outcomes
from croco.language import text
from croco.page import lineage
from croco.show import tables
from croco.show.tables import Table

DIGEST = re.compile(r"(?:sha256:)?\b[0-9a-f]{16}\b")
HUB = re.compile(r"[\w.-]+/[\w.-]+@\w+")
ANOTHER = "another content than the run read"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it asks for."""
    parser.add_argument("report", metavar="RUN", help="its report's folder, or the first characters of its address")
    parser.add_argument("--artifacts", type=Path, default=Path("runs"), help="where runs keep theirs (runs)")
    parser.add_argument("--run", action="store_true", help="run it again, and compare every table")
    parser.add_argument("--to", type=Path, default=Path("reproduced"), help="where --run keeps its own (reproduced)")


def run(given: argparse.Namespace) -> int:
    """Print what made it; with --run make it again, and print what came out as another."""
    report = stored.open_run(given.report, given.artifacts).report
    print(f"words:      {words(report) or 'not kept here; --run takes the resolved configuration'}")
    print(f"made at:    {report.manifest['sealed_at']}")
    print(f"run:        {report.path}\n")
    before = lineage.ancestors({"report": report})
    print(tables.text([_versions(report), _files(report, before)], tables.terminal()), end="")
    if not given.run:
        return 0
    again = _run(report, given.to)
    made = _compared(before, lineage.ancestors({"report": again}))
    print(tables.text([made], tables.terminal()), end="")
    return int(any(row[-1] != "the same" for row in made.rows))


def log_of(report: Artifact) -> Path | None:
    """The log folder of the job that made a report, or found it whole; the first, where several did."""
    found = [*outcomes.of_single_runs(report.root)]
    for sweep in sorted((report.root / "sweeps").glob("*/")):
        found += outcomes.of_sweep(sweep)
    done = sorted(
        (one for one in found if one.report and Path(one.report).name == report.path.name), key=lambda o: o.started
    )
    return Path(done[0].folder) if done else None


def words(report: Artifact) -> str:
    """The command, as it is typed; empty where no log of it is there."""
    folder = log_of(report)
    return "" if folder is None else shlex.join(["croco", "run", *outcomes.read(folder / outcomes.NAME).overrides])


def _versions(report: Artifact) -> Table:
    here, then = provenance.of_this_process(), report.manifest
    rows: list[tuple[str, Any, Any]] = [
        (name, then.get("versions", {}).get(name), here["versions"].get(name))
        for name in dict.fromkeys([*then.get("versions", {}), *here["versions"]])
    ]
    rows += [("python", then.get("python"), here["python"]), ("croco's commit", then.get("git"), here["git"])]
    told = [(name, old, new, "" if old == new else "differs") for name, old, new in rows]
    differing = sum(bool(row[-1]) for row in told)
    note = f"{differing} differ here." if differing else "All are the same here."
    return Table("Versions", ("what", "then", "here", ""), told, note)


def _files(report: Artifact, before: Mapping[str, Artifact]) -> Table:
    """What the configuration names on a disk, against the contents that its artifacts' addresses hold."""
    configs = [json.dumps(artifact.config, ensure_ascii=False) for artifact in before.values()]
    known = {name for config in configs for name in DIGEST.findall(config)}
    here = origins.Here()
    rows = []
    for key, path in origins.named(report.manifest.get("run", {})):
        if key.endswith("chat_template") and path.is_file():  # addresses hold its text
            source = json.dumps(text.template_source(str(path)), ensure_ascii=False)
            same = any(source in config for config in configs)
        else:
            same = bool(here.contents(path) & known)
        rows.append((key, str(path), "not here" if not path.exists() else "the same" if same else ANOTHER))
    hub = {name for config in configs for name in HUB.findall(config)}
    rows += [("hub", name, "by its commit") for name in sorted(hub)]
    return Table("Files and checkpoints", ("key", "path", "here"), rows or [("none", "", "")])


def _run(report: Artifact, to: Path) -> Artifact:
    """From the resolved configuration, not from words, whose files may have changed since.

    Raises:
        UserError: the folder is the run's own, where everything would be found and nothing made.
    """
    if to.resolve() == report.root.resolve():
        raise UserError(f"--to {to}: holds the run itself; name another folder")
    from omegaconf import OmegaConf

    from croco.jobs import job
    from croco.show.progress import Progress

    said = {**report.manifest["run"], "paths": {"artifacts": str(to)}}
    made = job.execute(OmegaConf.create(said), Progress())
    assert made is not None, "only a part of a job makes no report"
    return made


def _compared(then: Mapping[str, Artifact], now: Mapping[str, Artifact]) -> Table:
    """Table by table, what came out; an artifact of another address was made from something else."""
    rows = []
    for name, artifact in then.items():
        other = now.get(name)
        state = "not made" if other is None else "another address" if other.address != artifact.address else "the same"
        if other is not None and state == "the same":
            digests = [{t: d["sha256"] for t, d in one.manifest["tables"].items()} for one in (artifact, other)]
            state = "the same" if digests[0] == digests[1] else "other rows"
        rows.append((name, artifact.address, None if other is None else other.address, state))
    metrics = [found["report"].summary.get("metric") for found in (then, now)]
    same = sum(row[-1] == "the same" for row in rows)
    note = f"{same} of {len(rows)} came out the same; metric {metrics[0]} then, {metrics[1]} now."
    return Table("Again", ("artifact", "then", "now", "came out"), rows, note)
