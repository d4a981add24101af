"""`make fuzz`: what users, disks and schedulers do, at random; each find becomes a named test elsewhere.

    words      command lines from a grammar of groups, keys and values, legal and not
    files      prompt files that were right before a few bytes changed
    folders    a run's artifacts cut, changed, replaced or removed, then run again
    kills      runs ended at a random moment by SIGINT, SIGTERM or SIGKILL, then run again

Whatever happens is an exit code of 0, 2, 130 or 143, one line that begins with `croco:`, and no traceback; and what is run again
ends in the same tables. FUZZ_SECONDS is the time in all, FUZZ_SEED makes a session the same again.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from croco import tracking
from croco.artifacts import refusals
from croco.artifacts.store import Store
from croco.cli import words
from croco.config import CONF, Config, strict
from croco.config.groups import PromptsConfig
from croco.errors import UserError
from croco.jobs import overview
from croco.jobs.chain import Chain
from croco.prompts import parsing, reading
from croco.show.progress import Progress
from croco.stages import stages
from tests.support import interrupts

ROOT = Path(__file__).parents[1]
SECONDS = float(os.environ.get("FUZZ_SECONDS", "600"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
SMALL = (
    "engine=fake",
    "logger=none",
    "evals=none",
    "trainer.threads=1",
    "sampling.samples=4",
    "lang.languages=[en,da]",
)
SIZE = ("prompts.train=6", "prompts.heldout=4")
EXPECTED = {0, 2, 130, 143}
EVERY = settings(max_examples=1_000_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))

ODD = [
    "null",
    "-1",
    "0",
    "1e400",
    "nan",
    ".inf",
    "true",
    "[]",
    "{}",
    "[",
    "{a",
    "${x}",
    "${oc.env:X}",
    "'",
    '"',
    "a,b",
    "\\",
    "???",
    "*",
    "~",
    "=",
    "@",
    "1_0",
    "0x10",
    "no",
    "/dev/null",
    "..",
    "[1,[2]]",
    "{a:{b:1}}",
    "[en,en]",
]
ODD += ["", "x" * 5000]
NASTY = st.one_of(
    st.sampled_from(ODD),
    st.text(max_size=12),
    st.integers(-(10**30), 10**30).map(str),
    st.floats().map(str),
)
KEYS = sorted(words.every_key())
GROUPS = {group: choices for group, choices in words.groups().items() if choices}


@st.composite
def word(draw: st.DrawFn) -> str:
    kind = draw(st.integers(0, 9))
    if kind < 4:
        group = draw(st.sampled_from(sorted(GROUPS)))
        return f"{group}={draw(st.sampled_from(GROUPS[group]) if kind < 3 else NASTY)}"
    key = draw(st.sampled_from(KEYS)) + (draw(st.text("abc.", max_size=4)) if kind == 9 else "")
    return draw(st.sampled_from(["", "", "", "+", "++", "~"])) + f"{key}={draw(NASTY)}"


class Time:
    """A share of the session, which ends a Hypothesis test by making its examples nothing."""

    def __init__(self, share: float) -> None:
        self.until = time.monotonic() + SECONDS * share
        self.seen: Counter[str] = Counter()

    @property
    def over(self) -> bool:
        return time.monotonic() > self.until


class Over(Exception):
    """No time is left."""


def one_line(error: BaseException) -> None:
    assert str(error).strip()
    assert "Traceback" not in str(error)


def test_words() -> None:
    clock = Time(0.25)

    @seed(SEED)
    @EVERY
    @given(st.lists(word(), min_size=1, max_size=4))
    def any_words(given_words: list[str]) -> None:
        if clock.over:
            raise Over
        try:
            words.check(given_words)
            with initialize_config_dir(str(CONF), version_base="1.3"):
                composed = compose("config", overrides=given_words)
            strict(composed)
            clock.seen["right"] += 1
        except UserError as error:
            one_line(error)
            clock.seen["refused"] += 1
        except (HydraException, OmegaConfBaseException):  # one line on the command line (cli/commandline.py)
            clock.seen["refused by Hydra"] += 1

    ended(any_words, clock)


LINES = [
    json.dumps({"id": f"p{n}", "language": "da", "prompt": "Hvad hedder du?", "reference": "Ja."}) for n in range(3)
]
TURNS = [json.dumps({"id": 1, "language": "en", "messages": [{"role": "user", "content": "Hi"}]})]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    data = bytearray("\n".join(LINES + TURNS).encode())
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 20))] = draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(
                    [b'"', b"\n", b"{", b"[", b"null", b"1e999", b"\\ud83d", b"\xef\xbb\xbf", b"9" * 4400, b"[" * 9000]
                ),
            )
        )
    return bytes(data)


def test_files(tmp_path: Path) -> None:
    clock = Time(0.15)
    file = tmp_path / "rows.jsonl"
    base = OmegaConf.to_container(OmegaConf.load(CONF / "prompts" / "jsonl.yaml"))
    assert isinstance(base, dict)
    known = {key: base.get(key) for key in PromptsConfig.__dataclass_fields__}
    config = PromptsConfig(**{**known, "path": str(file), "turns": "all"})  # type: ignore[arg-type]

    @seed(SEED)
    @EVERY
    @given(broken())
    def any_file(data: bytes) -> None:
        if clock.over:
            raise Over
        file.write_bytes(data)
        try:
            for prompt in parsing.parse(config, reading.read(config), Counter()):
                json.dumps(prompt.messages, ensure_ascii=False).encode()
            clock.seen["right"] += 1
        except UserError as error:
            one_line(error)
            clock.seen["refused"] += 1

    ended(any_file, clock)


def ended(test: object, clock: Time) -> None:
    try:
        test()  # type: ignore[operator]
    except Over:
        pass
    except BaseExceptionGroup as group:
        if group.split(Over)[1] is not None:
            raise
    print(dict(clock.seen))


def made(config: Config, runs: Path) -> dict[str, object]:
    """The chain to the pairs, in this process; returns its tables."""
    progress = Progress(Console(file=io.StringIO(), width=200))
    wanted = [s for s in stages() if s.name in ("prompts", "generations", "scores", "sources", "pairs")]
    Chain(config, Store(runs, {}), progress, tracking.silence()).run(wanted)
    return tables(runs)


def tables(runs: Path) -> dict[str, object]:
    """Those that the manifests name: what somebody else put beside them is nobody's, and stays."""
    return {
        f"{manifest.parents[1].name}/{manifest.parent.name}/{table}": pq.read_table(
            manifest.parent / f"{table}.parquet"
        ).to_pylist()
        for manifest in sorted(runs.glob("*/*/manifest.json"))
        for table in json.loads(manifest.read_text(encoding="utf-8"))["tables"]
    }


def damage(chance: random.Random, runs: Path) -> str:
    """Do something to something below; returns what."""
    there = [path for path in runs.rglob("*") if not path.name.startswith(".") and not path.is_symlink()]
    path = chance.choice(sorted(there))
    kind = chance.choice(["cut", "byte", "empty", "gone", "folder", "link", "file", "extra"])
    if path.is_dir():
        if kind in ("gone", "folder", "cut"):
            shutil.rmtree(path)
        elif kind in ("file", "byte"):
            shutil.rmtree(path)
            path.write_bytes(b"x")
        elif kind == "link":
            shutil.rmtree(path)
            path.symlink_to("/nowhere")
        else:
            put = path / chance.choice(["x.tmp", "x.parquet", "journal", ".lock", "plan.json", "c-1.x"])
            if not put.exists() and not put.is_symlink():
                put.mkdir()
        return f"{kind} {path.name}/"
    data = path.read_bytes()
    if kind in ("cut", "empty"):
        path.write_bytes(data[: chance.randrange(len(data) + 1) if kind == "cut" else 0])
    elif kind == "byte" and data:
        at = chance.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :])
    else:
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "link":
            path.symlink_to("/nowhere")
    return f"{kind} {path.name}"


def named_in(message: str, runs: Path) -> Path:
    """What a refusal asks to remove, or the place it names."""
    said = message.split("; remove ")[-1].split(",")[0] if "; remove " in message and "remove it" not in message else ""
    said = said or message.split(": ")[0]
    path = Path(said)
    assert path.is_relative_to(runs), message
    return path


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def test_folders(policy: Path, reward: Path, tmp_path: Path) -> None:
    clock, chance = Time(0.3), random.Random(SEED)
    runs = tmp_path / "runs"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        models = (f"model.path={policy}", f"reward.path={reward}", f"paths.artifacts={runs}")
        config = strict(compose("config", overrides=[*SMALL, *SIZE, *models]))
    expected = made(config, runs)
    shutil.copytree(runs, tmp_path / "whole")
    while not clock.over:
        what = [damage(chance, runs) for _ in range(chance.randint(1, 2))]
        overview.overview(runs)
        for _ in range(12):  # at most so many refusals, each mended as it says
            try:
                assert made(config, runs) == expected, what
                break
            except UserError as error:
                one_line(error)
                clock.seen["refused"] += 1
                remove(named_in(str(error), runs))
            except OSError as error:  # a line on the command line (jobs/job.py), with the place
                refusal = refusals.of(error, runs)
                if refusal is None:
                    raise
                remove(named_in(str(refusal), runs))
        else:
            pytest.fail(f"{what}: what is refused does not end")
        clock.seen["again"] += 1
        shutil.rmtree(runs)
        shutil.copytree(tmp_path / "whole", runs)
    print(dict(clock.seen))


def call(runs: Path, models: tuple[str, ...], after: float | None, number: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "croco.run", *SMALL, *SIZE, *models, f"paths.artifacts={runs}"]
    pipe = subprocess.PIPE
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, preexec_fn=interrupts.hear, env=environment
    )
    try:
        out, err = run.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        run.send_signal(number)
        out, err = run.communicate(timeout=300)
    return subprocess.CompletedProcess(command, run.returncode, out, err)


def moments(chance: random.Random) -> Iterator[tuple[float, int]]:
    while True:
        yield chance.uniform(0.5, 25), chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL])


def test_kills(policy: Path, reward: Path, tmp_path: Path) -> None:
    """Signals at random moments of the whole run; at the end all tables are those of a run that nobody touched."""
    clock, chance = Time(0.3), random.Random(SEED)
    models = (f"model.path={policy}", f"reward.path={reward}")
    whole = call(tmp_path / "whole", models, None, 0)
    assert whole.returncode == 0, whole.stderr
    for after, number in moments(chance):
        done = call(tmp_path / "runs", models, after, number)
        clock.seen[str(done.returncode)] += 1
        assert done.returncode in EXPECTED or (number == signal.SIGKILL and done.returncode == -number), done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        if done.returncode in (2, 130, 143):
            assert len([line for line in lines if line.startswith("croco: ")]) == 1, done.stderr
        if clock.over:
            break
    last = call(tmp_path / "runs", models, None, 0)
    assert last.returncode == 0, last.stderr
    assert tables(tmp_path / "runs") == tables(tmp_path / "whole")
    print(dict(clock.seen))
