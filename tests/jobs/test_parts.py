"""A sweep in a queue is cut into parts: nobody holds a GPU to wait, and what fails takes with it what stands behind it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from croco.errors import UserError
from croco.jobs import outcomes, overview, parts, slurm, work
from croco.jobs.chain import Chain
from croco.jobs.parts import Part, Resources
from croco.stages import stages
from tests.jobs.test_needs import config_of

GPU = ("trainer.accelerator=gpu", "evals=quality")


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that takes a device takes 2.5 hours a language."""
    monkeypatch.setattr(work, "gpu_hours", lambda stage, config: 2.5 if work.takes_device(stage, config) else 0.0)


def test_what_jobs_share_is_a_part_with_workers_and_pairs_take_no_gpu(tmp_path: Path, long: None) -> None:
    """Two seeds of DPO and one of SFT, over two languages, training on four GPUs. By hand: all read the prompts; DPO's two read
    answers, rewards and the base's answers (3 x 2 languages x 2.5 h = 15 h, so that both jobs work on it), and one set of pairs;
    SFT reads the base's answers alone; each trains and answers, and has a report of its own."""
    words = (*GPU, f"paths.artifacts={tmp_path}", "lang.languages=[da,nl]", "trainer.devices=4", "trainer.strategy=ddp")
    jobs = ("method=dpo seed=1", "method=dpo seed=2", "method=sft seed=1")
    cut, last = parts.cut([config_of(*words, *job.split()) for job in jobs])
    found = {part.name: part for part in cut}
    answers, pairs = found["answers-1"], found["pairs-1"]
    assert answers.makes == ("generations", "scores", "answers_base")
    assert (answers.resources, answers.workers(64), answers.hours) == (Resources(1, 1, True), 2, 15.0)
    assert answers.workers(1) == 1
    assert pairs.makes == ("pairs",)
    assert pairs.resources == found["prompts-1"].resources == Resources()
    assert [cut[one].name for one in pairs.after] == ["answers-1"]
    trained = [part for part in cut if "training" in part.makes]
    assert [part.resources for part in trained] == [Resources(1, 4, True)] * 3
    assert [cut[trained[0].after[0]].name, len(trained[0].jobs)] == ["pairs-1", 1]
    tuned = [part for part in cut if "answers_tuned" in part.makes]
    assert {part.resources for part in tuned} == {Resources(1, 1, True)}, "one engine, not four idle GPUs"
    assert [one.resources for one in last] == [Resources()] * 3
    assert not any("report" in part.makes or "quality" in part.makes for part in cut)
    for place, part in enumerate(cut):
        assert all(one < place for one in part.after), "submitted in this order"
    assert "4 GPUs" in str(parts.table(cut, last, 64).rows)


def test_a_training_that_several_jobs_read_is_nobodys_to_wait_for(tmp_path: Path, long: None) -> None:
    """Two evaluations of one adapter: it is a part alone, and each has its own behind it."""
    words = (*GPU, f"paths.artifacts={tmp_path}", "lang.languages=[da]")
    cut, last = parts.cut([config_of(*words, f"evals={evals}") for evals in ("quality", "checks")])
    (trained,) = [part for part in cut if "training" in part.makes]
    assert trained.makes == ("training",)
    assert (trained.jobs, trained.workers(64)) == ([0, 1], 1)
    assert len(last) == 2


@pytest.mark.parametrize("word", ["method.refresh_every=2", "reward=icr", "workers=shared"])
def test_what_cannot_be_told_before_is_left_whole(tmp_path: Path, word: str) -> None:
    """And the English run that is a reward comes before the jobs that read it."""
    config = config_of(*GPU, f"paths.artifacts={tmp_path}", "lang.languages=[en,da]", word)
    cut, last = parts.cut([config, config, None])
    assert [one.resources.device for one in last] == [True] * 3
    if word == "reward=icr":
        assert [(part.makes, part.jobs) for part in cut] == [(("english",), [0, 1])]
        assert [one.after for one in last] == [(0,), (0,), ()]
    else:
        assert cut == []


def test_a_part_walks_what_leads_to_it_and_no_more(tmp_path: Path) -> None:
    config = config_of(f"paths.artifacts={tmp_path}")
    walked = [stage.name for stage in parts.needed(stages(), config, ("pairs",))]
    assert walked == ["prompts", "generations", "scores", "pairs"]
    assert [stage.name for stage in parts.needed(stages(), config, ("answers_base",))] == ["prompts", "answers_base"]


def test_a_job_without_a_gpu_never_makes_what_takes_one(tmp_path: Path) -> None:
    from croco import tracking
    from croco.artifacts.store import Store
    from croco.show.progress import Progress

    config = config_of(f"paths.artifacts={tmp_path}", "lang.languages=[en]", "prompts.train=4", "prompts.heldout=2")
    chain = Chain(config, Store(tmp_path), Progress(), tracking.silence(), device=False)
    with pytest.raises(UserError, match=r"generations/en: is not made yet .* has no GPU; the same command makes it"):
        chain.run(parts.needed(stages(), config, ("scores",)))


def launcher(tmp_path: Path, *typed: str, **params: Any) -> slurm.SlurmLauncher:
    made = slurm.SlurmLauncher(
        nodes=1, gpus_per_node=8, name="run", timeout_min=9, partition="gpu", gres="gpu:a:1", **params
    )
    made.config = OmegaConf.create(
        {"hydra": {"overrides": {"hydra": list(typed)}, "sweep": {"dir": str(tmp_path)}, "sweeper": {"_target_": "x"}}}
    )
    return made


def test_each_asks_for_what_it_needs(tmp_path: Path) -> None:
    """No GPU, nor the partition of GPUs, for what runs no model; what a person has typed of GPUs stands."""
    made = launcher(tmp_path, without_gpu={"partition": "cpu"})
    host = made.options(Resources(), "pairs-1", ["afterok:3", "afterok:4"])
    assert "gpus_per_node" not in host
    assert "slurm_gres" not in host
    assert host["slurm_partition"] == "cpu"
    assert host["slurm_dependency"] == "afterok:3,afterok:4"
    assert host["slurm_additional_parameters"] == {"kill-on-invalid-dep": "yes"}
    assert host["name"] == "run-pairs-1"
    two = made.options(Resources(2, 4, True), "training-1", [])
    assert (two["nodes"], two["gpus_per_node"], two["slurm_partition"]) == (2, 4, "gpu")
    assert "slurm_dependency" not in two
    typed = launcher(tmp_path, "hydra.launcher.gpus_per_node=8")
    assert typed.options(Resources(1, 1, True), "answers-1", [])["gpus_per_node"] == 8


class Queued:
    """As submitit's job."""

    def __init__(self, name: str, error: str | None = None) -> None:
        self.job_id, self.error, self.cancelled = name, error, False

    def done(self) -> bool:
        return True

    def results(self) -> list[str]:
        if self.error is not None:
            raise RuntimeError(self.error)
        return [self.job_id]

    def cancel(self, check: bool = True) -> None:
        self.cancelled = True


def test_what_stands_behind_a_failed_part_is_cancelled_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """answers (fails) <- pairs <- job 0; job 1 stands behind nothing. The reason is the part's own, from where it wrote it."""
    made = launcher(tmp_path)
    folder = tmp_path / outcomes.PARTS / "answers-1"
    folder.mkdir(parents=True)
    outcomes.begin(folder, [], 0).failed(UserError("reward.path: no such folder"))
    jobs = [Queued("1", "trace\nlast"), Queued("2"), Queued("3"), Queued("4")]
    names = ("answers-1", "pairs-1", "job-0", "job-1")
    after = ((), (0,), (1,), ())
    queued = [slurm.Submitted(n, [j], j.job_id, a) for n, j, a in zip(names, jobs, after, strict=True)]
    made._wait(queued)
    assert [one.cancelled for one in jobs] == [False, True, True, False]
    assert queued[3].returned == ["4"]
    assert "reward.path: no such folder" in str(queued[2].failure)
    assert "2 in the queue stand behind it" in capsys.readouterr().err
    assert overview._parts(tmp_path).rows[0][:2] == ("answers-1", "failed")


@pytest.mark.parametrize(
    ("said", "preempted"),
    [
        ("JobId=7 JobState=RUNNING PreemptTime=2026-01-01T00:00:00 ", True),
        ("JobId=7 JobState=PREEMPTED ", True),
        ("JobId=7 JobState=RUNNING PreemptTime=None ", False),
        ("JobId=7 JobState=CANCELLED ", False),
    ],
)
def test_what_slurm_takes_back_is_told_from_what_a_person_cancels(
    monkeypatch: pytest.MonkeyPatch, said: str, preempted: bool
) -> None:
    monkeypatch.setattr(slurm.subprocess, "run", lambda *given, **named: SimpleNamespace(stdout=said))
    assert slurm._is_preempted() is preempted


def test_alike_parts_are_one_row() -> None:
    cut = [Part(f"training-{n}", ("training",), Resources(1, 1, True), n, (), 2.0, False, [n]) for n in (1, 2, 3)]
    rows = parts.table(cut, [parts.Last(Resources(), (0,))] * 3, 64).rows
    assert rows == [
        ("training-1 to 3", "", "training", "1 GPU", 6.0),
        ("3 jobs", "their parts", "tables and reports", "no GPU", None),
    ]
