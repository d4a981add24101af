"""Several processes make one artifact: the rows are one process's, whatever happens on the way."""

from __future__ import annotations

import fcntl
import io
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from croco import tracking
from croco.artifacts import sharing
from croco.artifacts.store import Artifact, Store
from croco.config import strict
from croco.engines import fake
from croco.errors import UserError
from croco.jobs.chain import Chain, NothingToShare
from croco.show.progress import Progress
from croco.stages import stages
from croco.stages.base import Stage
from tests.artifacts.test_reuse import answers, composed, tables

SMALL = ["prompts.train=12", "prompts.heldout=6", "sampling.samples=8"]
SHARED = ["workers=shared", "workers.prompts_per_unit=2", "workers.answers_per_unit=8"]


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer takes 5 ms, and is on the disk at once."""
    generate = fake.FakeGenerator.generate

    def slow(self: Any, requests: Any) -> Any:
        for completion in generate(self, requests):
            time.sleep(0.005)
            yield completion

    monkeypatch.setattr(fake.FakeGenerator, "generate", slow)
    monkeypatch.setattr(sharing, "FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(sharing, "POLL_SECONDS", 0.05)


def manifests(runs: Path, stage: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(runs.glob(f"{stage}/*/manifest.json"))]


def journals(runs: Path) -> list[Path]:
    return sorted(path for path in runs.glob("generations/*/journal/*.jsonl") if path.stat().st_size)


def start(number: int, config: Any, runs: Path) -> list[Any]:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=answers, args=(config, runs)) for _ in range(number)]
    for process in processes:
        process.start()
    return processes


@pytest.mark.slow
def test_three_share_and_one_is_killed(policy: Path, reward: Path, tmp_path: Path, slowly: None) -> None:
    """Nothing is lost, nothing is made twice but what the killed one had not yet written, and all get the same bytes."""
    languages = ["lang.languages=[en,da]"]
    answers(composed(policy, reward, tmp_path / "whole", *SMALL, *languages), tmp_path / "whole")
    runs = tmp_path / "runs"
    processes = start(3, composed(policy, reward, runs, *SMALL, *languages, *SHARED), runs)
    deadline = time.monotonic() + 60
    while len(journals(runs)) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(int(processes[0].pid or 0), signal.SIGKILL)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [-signal.SIGKILL, 0, 0]
    assert tables(runs) == tables(tmp_path / "whole")
    made = [manifest["writers"] for manifest in manifests(runs, "generations")]
    assert {sum(writers.values()) for writers in made} == {12 * 8}
    assert any(f"-{processes[0].pid}-" in writer for writers in made for writer in writers), "its rows are used"
    assert max(len(writers) for writers in made) >= 2
    for manifest, whole in zip(manifests(runs, "scores"), manifests(tmp_path / "whole", "scores"), strict=True):
        assert manifest["tables"] == whole["tables"]
    assert not list(runs.glob("*/*/journal"))


def test_rows_do_not_depend_on_the_cut(policy: Path, reward: Path, tmp_path: Path) -> None:
    for size in (1, 5, 100):
        cut = [f"workers.prompts_per_unit={size}", f"workers.answers_per_unit={size}"]
        answers(composed(policy, reward, tmp_path / str(size), *SMALL, *cut), tmp_path / str(size))
    assert tables(tmp_path / "1") == tables(tmp_path / "5") == tables(tmp_path / "100")


@pytest.mark.slow
def test_when_all_are_killed_one_goes_on(policy: Path, reward: Path, tmp_path: Path, slowly: None) -> None:
    answers(composed(policy, reward, tmp_path / "whole", *SMALL), tmp_path / "whole")
    runs = tmp_path / "runs"
    config = composed(policy, reward, runs, *SMALL, *SHARED)
    processes = start(2, config, runs)
    deadline = time.monotonic() + 60
    while len(journals(runs)) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    for process in processes:
        os.kill(int(process.pid or 0), signal.SIGKILL)
        process.join()
    kept = sum(len(path.read_bytes().splitlines()) for path in journals(runs))
    assert 0 < kept < 12 * 8
    answers(composed(policy, reward, runs, *SMALL), runs)
    assert tables(runs) == tables(tmp_path / "whole")
    (writers,) = [manifest["writers"] for manifest in manifests(runs, "generations")]
    assert len(writers) == 3


def test_an_engine_that_leaves_rows_out_is_told_and_nothing_is_sealed(
    policy: Path, reward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = fake.FakeGenerator.generate
    monkeypatch.setattr(
        fake.FakeGenerator, "generate", lambda self, requests: (c for c in generate(self, requests) if c.sample)
    )
    config = composed(policy, reward, tmp_path, *SMALL, *SHARED)
    with pytest.raises(UserError, match="answers are there; run again to make the rest"):
        answers(config, tmp_path)
    assert not manifests(tmp_path, "generations")
    monkeypatch.setattr(fake.FakeGenerator, "generate", generate)
    answers(config, tmp_path)
    assert manifests(tmp_path, "generations")


@pytest.mark.slow
def test_a_worker_waits_where_work_to_share_follows_and_leaves_what_only_one_can_make(
    policy: Path, reward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has shared translations when it meets another at the prompts made of them, and rewards when at the pairs.

    Where the prompts are all that is wanted, nothing to share follows them.
    """
    from tests.support.builders import real

    policy, reward = real(policy, tmp_path / "own_policy"), real(reward, tmp_path / "own_reward")
    rows = [{"id": f"q{n}", "language": "en", "prompt": f"why does fox {n} jump?"} for n in range(12)]
    (tmp_path / "en.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = [f"prompts=jsonl prompts.path={tmp_path / 'en.jsonl'} prompts.heldout=4 translation=plain"]
    own += [f"translation.model={policy} translation.check_language=false lang.languages=[en,da] sampling.samples=8"]

    def chain(runs: Path, *more: str, last: str = "pairs") -> str:
        config, out = strict(composed(policy, reward, runs, *" ".join(own).split(), *SHARED, *more)), io.StringIO()
        progress = Progress(Console(file=out, width=200))
        names = [stage.name for stage in stages()]
        try:
            Chain(config, Store(runs), progress, tracking.silence()).run(
                stages()[: len(names) - names[::-1].index(last)]
            )
        except NothingToShare as left:
            return f"{out.getvalue()}{left}"
        return out.getvalue()

    whole, runs = tmp_path / "whole", tmp_path / "runs"
    chain(whole)
    (prompts,) = [m for m in manifests(whole, "prompts") if m["config"]["language"] == "da"]
    (pairs,) = manifests(whole, "pairs")
    held = []
    for made in (prompts, pairs):
        (folder := runs / made["stage"] / made["address"]).mkdir(parents=True)
        held.append((folder / ".lock").open("w"))
        fcntl.flock(held[-1], fcntl.LOCK_EX)  # as another process would
    left = chain(runs, "workers.number=1", last="prompts")
    assert "prompts/da: another worker is making it, and there is nothing to share; leaving" in left
    waiting = Chain._waiting

    def waited(self: Chain, stage: Stage, label: str, output: Artifact) -> None:
        if stage.name == "prompts":
            held[0].close()
        waiting(self, stage, label, output)

    monkeypatch.setattr(Chain, "_waiting", waited)
    said = chain(runs, "workers.number=1")
    assert "prompts/da: another run is making it; waiting" in said
    assert "pairs: another worker is making it, and there is nothing to share; leaving" in said
    assert tables(runs) == tables(whole)
    for stage in ("translations", "generations", "scores"):
        assert [m["tables"] for m in manifests(runs, stage)] == [m["tables"] for m in manifests(whole, stage)]
    held[1].close()
    assert "pairs: made" in chain(runs, "workers.number=1")
