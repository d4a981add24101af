"""What is there is not made again, and nothing is lost: more samples, more prompts, kills, a full disk."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import re
import resource
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir
from rich.console import Console

from croco import tracking
from croco.artifacts import sharing
from croco.artifacts.store import Store
from croco.config import CONF, strict
from croco.engines import fake
from croco.engines.base import Completion, Request
from croco.engines.process import EngineCrash, IsolatedGenerator
from croco.errors import UserError
from croco.jobs.chain import Chain
from croco.jobs.job import execute
from croco.language import fidelity
from croco.show.progress import Progress
from croco.stages import stages
from tests.support.builders import real


def composed(policy: Path, reward: Path, runs: Path, *more: str):
    fixed = [
        "engine=fake",
        "logger=none",
        "evals=none",
        "trainer.threads=1",
        "lang.languages=[en]",
        "sampling.samples=4",
    ]
    paths = [f"model.path={policy}", f"reward.path={reward}", f"paths.artifacts={runs}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=[*fixed, *paths, *more])


def answers(config, runs: Path) -> str:
    """Prompts, generations and scores; what was said."""
    out = io.StringIO()
    progress = Progress(Console(file=out, width=200, highlight=False))
    wanted = [s for s in stages() if s.name in ("prompts", "generations", "scores")]
    Chain(strict(config), Store(runs), progress, tracking.silence()).run(wanted)
    return out.getvalue()


def own(path: Path, texts: dict[str, str]) -> list[str]:
    rows = [json.dumps({"id": i, "prompt": t, "language": "en"}) + "\n" for i, t in texts.items()]
    path.write_text("".join(rows))
    return ["prompts=jsonl", f"prompts.path={path}", "prompts.heldout=1", f"prompts.train={len(texts)}"]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, list]:
    """What the fake engine was really asked for."""
    seen: dict[str, list] = {"generated": [], "scored": []}
    generate, score = fake.FakeGenerator.generate, fake.FakeScorer.score

    def counted(self, requests):
        for completion in generate(self, requests):
            seen["generated"].append((completion.request.prompt_id, completion.sample))
            yield completion

    def scored(self, rows):
        seen["scored"] += rows
        return score(self, rows)

    monkeypatch.setattr(fake.FakeGenerator, "generate", counted)
    monkeypatch.setattr(fake.FakeScorer, "score", scored)
    return seen


def tables(runs: Path) -> dict[str, bytes]:
    """Content of the sealed tables by `stage/address`."""
    return {
        str(f.parent.relative_to(runs)): f.read_bytes()
        for stage in ("generations", "scores")
        for f in runs.glob(f"{stage}/*/{stage}.parquet")
    }


def test_more_samples_cost_the_new_ones_and_give_the_same_bytes(
    policy: Path, reward: Path, tmp_path: Path, made: dict[str, list]
) -> None:
    """4 samples of 6 prompts, then 6: 2 * 6 are new; then 2: none is new."""
    small = ["prompts.train=6", "prompts.heldout=6"]
    answers(composed(policy, reward, tmp_path / "a", *small), tmp_path / "a")
    for samples, new in ((6, 12), (2, 0)):
        made["generated"].clear()
        made["scored"].clear()
        config = composed(policy, reward, tmp_path / "a", *small, f"sampling.samples={samples}")
        said = answers(config, tmp_path / "a")
        assert (len(made["generated"]), len(made["scored"])) == (new, new)
        assert f"generations/en: {6 * samples - new} answers taken over" in said
        answers(config, tmp_path / "fresh")
    fresh = tables(tmp_path / "fresh")
    assert len(fresh) == 4
    assert {place: tables(tmp_path / "a")[place] for place in fresh} == fresh


def test_answers_without_a_record_of_their_engine_are_taken_over(
    policy: Path, reward: Path, tmp_path: Path, made: dict[str, list]
) -> None:
    small = ["prompts.train=6", "prompts.heldout=6"]
    answers(composed(policy, reward, tmp_path, *small), tmp_path)
    (lost,) = tmp_path.glob("generations/*/engine.json")
    lost.unlink()
    made["generated"].clear()
    answers(composed(policy, reward, tmp_path, *small, "sampling.samples=2"), tmp_path)
    assert made["generated"] == []
    manifests = [json.loads(path.read_text())["summary"] for path in tmp_path.glob("generations/*/manifest.json")]
    assert {m["rows"]: m["engine"] and m["engine"]["engine"] for m in manifests} == {24: "fake", 12: None}


@pytest.mark.slow
def test_an_engine_killed_in_the_middle_names_its_prompts_and_the_next_run_goes_on(
    policy: Path, reward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine in a process of its own, killed at its 7th answer: 6 are kept, and the rest are what they would have been."""
    settings = ["engine=hf", "prompts.train=12", "prompts.heldout=6", "engine.batch_size=16"]
    answers(composed(policy, reward, tmp_path / "whole", *settings), tmp_path / "whole")
    generate = IsolatedGenerator.generate

    def killed(self: IsolatedGenerator, requests: Iterator[Request]) -> Iterator[Completion]:
        for number, completion in enumerate(generate(self, requests)):
            if number == 6:
                os.kill(self.pid, signal.SIGKILL)
            yield completion

    config, runs = composed(policy, reward, tmp_path / "runs", *settings, "engine.isolate=true"), tmp_path / "runs"
    with monkeypatch.context() as context:
        context.setattr(IsolatedGenerator, "generate", killed)
        with pytest.raises(EngineCrash, match="killed by SIGKILL") as crash:
            answers(config, runs)
    (journal,) = runs.glob("generations/*/journal/*.jsonl")
    kept = Counter(json.loads(line)["prompt_id"] for line in journal.read_text().splitlines())
    prompts = pq.read_table(next(runs.glob("prompts/*/prompts.parquet")), filters=[("split", "=", "train")])
    in_flight = {p for p in prompts["prompt_id"].to_pylist() if kept[p] < 4}
    assert 6 <= kept.total() < 12 * 4
    assert set(re.findall(r"(\S+) \(en\)", str(crash.value))) == in_flight
    said = answers(config, runs)
    assert "generations/en: made" in said
    assert tables(runs) == tables(tmp_path / "whole")


def test_an_added_prompt_costs_itself_and_a_changed_one_too(
    policy: Path, reward: Path, tmp_path: Path, made: dict[str, list]
) -> None:
    texts = {f"p{i}": f"hi {i}" for i in range(8)}
    file = tmp_path / "mine.jsonl"
    policy, reward = real(policy, tmp_path / "own_policy"), real(reward, tmp_path / "own_reward")
    answers(composed(policy, reward, tmp_path, *own(file, texts)), tmp_path / "a")
    before = {prompt for prompt, _ in made["generated"]}
    changed = sorted(before)[0]
    made["generated"].clear()
    made["scored"].clear()
    config = composed(policy, reward, tmp_path, *own(file, {**texts, changed: "other", "new1": "x", "new2": "y"}))
    answers(config, tmp_path / "a")
    asked = {prompt for prompt, _ in made["generated"]}
    assert changed in asked
    assert asked.isdisjoint(before - {changed})
    assert len(made["scored"]) == len(made["generated"])
    answers(config, tmp_path / "fresh")
    fresh = tables(tmp_path / "fresh")
    assert {place: tables(tmp_path / "a")[place] for place in fresh} == fresh


@pytest.mark.parametrize("other", ["sampling.seed=7", "sampling.temperature=0.5"])
def test_other_sampling_takes_nothing_over(
    policy: Path, reward: Path, tmp_path: Path, made: dict[str, list], other: str
) -> None:
    small = ["prompts.train=6", "prompts.heldout=6"]
    answers(composed(policy, reward, tmp_path, *small), tmp_path)
    made["generated"].clear()
    answers(composed(policy, reward, tmp_path, *small, other, "sampling.samples=5"), tmp_path)
    assert len(made["generated"]) == 30


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """The system refuses to write beyond `size` bytes into any file, as a quota does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
def test_no_room_is_one_line_loses_nothing_and_goes_on(
    policy: Path, reward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: dict[str, list]
) -> None:
    small = ["prompts.train=6", "prompts.heldout=6", "sampling.samples=64"]
    monkeypatch.setattr(sharing, "FLUSH_SECONDS", 0.0)
    config = composed(policy, reward, tmp_path / "runs", *small)
    fidelity.is_known("da")  # unpacks its model to a file that is larger than the limit here
    with files_up_to(30_000), pytest.raises(UserError, match=r"no room to write.*the same command goes on") as error:
        execute(config, Progress(Console(quiet=True)))
    assert "\n" not in str(error.value)
    (journal,) = (tmp_path / "runs").glob("generations/*/journal/*.jsonl")
    kept = [json.loads(line) for line in journal.read_text().splitlines()]
    assert 0 < len(kept) < 6 * 64
    made["generated"].clear()
    answers(config, tmp_path / "runs")
    assert len(made["generated"]) == 6 * 64 - len(kept)
    answers(config, tmp_path / "fresh")
    assert tables(tmp_path / "runs") == tables(tmp_path / "fresh")


def _grown(runs: Path) -> int:
    return sum(f.stat().st_size for f in runs.glob("*/*/journal/*.jsonl"))


@pytest.mark.slow
def test_killed_at_random_points_it_ends_in_the_same_bytes(
    policy: Path, reward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """24 jobs are killed after a random number of bytes more; each continues the one before. The first takes over from K = 64."""
    small = ["prompts.train=6", "prompts.heldout=6"]
    config = composed(policy, reward, tmp_path, *small, "sampling.samples=512")
    answers(config, tmp_path / "whole")
    runs, draw = tmp_path / "runs", np.random.default_rng(0)
    answers(composed(policy, reward, tmp_path, *small, "sampling.samples=64"), runs)
    context = multiprocessing.get_context("fork")
    with monkeypatch.context() as slowly:
        slowly.setattr(sharing, "FLUSH_SECONDS", 0.0)
        for _ in range(24):
            job = context.Process(target=answers, args=(config, runs))
            end = _grown(runs) + int(draw.integers(1, 4000))
            job.start()
            while _grown(runs) < end and job.is_alive():
                time.sleep(0.0005)
            os.kill(int(job.pid or 0), signal.SIGKILL)
            job.join()
            assert job.exitcode == -signal.SIGKILL
    answers(config, runs)
    whole = tables(tmp_path / "whole")
    assert {place: tables(runs)[place] for place in whole} == whole


def test_of_two_jobs_at_once_one_generates(policy: Path, reward: Path, tmp_path: Path) -> None:
    """Both end well, and one set of artifacts is there, equal to a single job's."""
    config = composed(policy, reward, tmp_path, "prompts.train=6", "prompts.heldout=6", "sampling.samples=64")
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=answers, args=(config, tmp_path / "runs")) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    answers(config, tmp_path / "whole")
    assert tables(tmp_path / "runs") == tables(tmp_path / "whole")
