"""The whole chain: in this process on tiny random checkpoints and the fake engine, and as a user's command where it matters."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from rich.console import Console

from croco.config import CONF
from croco.errors import UserError
from croco.jobs.job import execute
from croco.show.progress import Progress
from tests.evals.benchmarks import stub
from tests.support import interrupts
from tests.support.builders import build_reward, real

ROOT = Path(__file__).parents[2]


def overrides_of(policy: Path, reward: Path, runs: Path, *more: str) -> list[str]:
    small = [
        "prompts.train=6",
        "prompts.heldout=6",
        "lang.languages=[en,da]",
        "engine=fake",
        "logger=none",
        "trainer.threads=1",
    ]
    return [f"model.path={policy}", f"reward.path={reward}", f"paths.artifacts={runs}", *small, *more]


def run(policy: Path, reward: Path, runs: Path, *more: str) -> str:
    """In this process; what it says."""
    out = io.StringIO()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", overrides=overrides_of(policy, reward, runs, *more))
    execute(composed, Progress(Console(file=out, width=200, highlight=False)))
    return out.getvalue()


def command(policy: Path, reward: Path, runs: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "croco.run", *overrides_of(policy, reward, runs, *more)]


def reals(policy: Path, reward: Path, folder: Path) -> tuple[Path, Path]:
    """Both, as checkpoints of one's own."""
    return real(policy, folder / "own_policy"), real(reward, folder / "own_reward")


def report_of(out: str) -> str:
    """The table, from its head to the line that says where the artifacts are."""
    return out[out.index("language prompts") : out.index("artifacts:")]


def test_sft_on_the_data_sets_answers_makes_no_others(policy: Path, reward: Path, tmp_path: Path) -> None:
    """No generations, scores or pairs, and none in the address of its training; the report, page and cards do without."""
    said = run(policy, reward, tmp_path, "method=sft", "lang.languages=[da]", "evals=none")
    assert "training: made" in said
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == [
        "encoded",
        "hub",
        "prompts",
        "report",
        "training",
    ]
    (manifest,) = tmp_path.glob("training/*/manifest.json")
    assert list(json.loads(manifest.read_text())["upstream"]) == ["prompts/da"]
    (card,) = tmp_path.glob("hub/*/*/README.md")
    assert card.parent.name == "model"


def test_own_answers_that_are_not_there_are_said_at_the_start(policy: Path, reward: Path, tmp_path: Path) -> None:
    (tmp_path / "da.jsonl").write_text("".join(f'{{"id": "{i}", "prompt": "spørgsmål {i}"}}\n' for i in range(9)))
    own = ["prompts=jsonl", f"prompts.path={tmp_path / 'da.jsonl'}", "prompts.language=da", "lang.languages=[da]"]
    model = [f"model.path={real(policy, tmp_path / 'policy')}", f"reward.path={real(reward, tmp_path / 'reward')}"]
    with pytest.raises(UserError, match=r"method\.trains_on: the data set's own answers are wanted"):
        run(policy, reward, tmp_path / "runs", *own, *model, "method=sft", "evals=none")
    assert not (tmp_path / "runs").exists()


def test_run_find_and_share(policy: Path, reward: Path, tmp_path: Path) -> None:
    first = run(policy, reward, tmp_path)
    assert "made in" in first
    assert Path(re.search(r"page: (\S+)", first)[1]).is_file()  # type: ignore[index]
    again = run(policy, reward, tmp_path)
    assert "made in" not in again
    assert report_of(again) == report_of(first)
    other = run(policy, reward, tmp_path, "method=max_r", "lang.languages=[da]")
    for stage in ("prompts/da", "generations/da", "scores/da", "answers_base/da"):
        assert f"{stage}: found" in other
    assert "training: made" in other
    manifest = json.loads(next(tmp_path.glob("training/*/manifest.json")).read_text())
    assert manifest["run"]["lang"]["languages"]
    assert manifest["versions"]["torch"]
    assert manifest["seed"] == 42


@pytest.mark.parametrize("more", [["pairing=multi"], ["method=sft"], ["source=off_policy"]])
@pytest.mark.slow
def test_other_settings_run(policy: Path, reward: Path, tmp_path: Path, more: list[str]) -> None:
    source = [f"source.model={policy}"] if more == ["source=off_policy"] else []
    assert "training: made" in run(policy, reward, tmp_path, *more, *source, "evals=none")


@pytest.mark.slow
def test_killed_anywhere_it_goes_on_to_the_same_table(policy: Path, reward: Path, tmp_path: Path) -> None:
    overrides = (
        "engine=hf",
        "method.epochs=8",
        "method.batch_size=2",
        "trainer.checkpoint_every=1",
        "sampling.max_new_tokens=16",
    )
    expected = report_of(run(policy, reward, tmp_path / "whole", *overrides))
    runs = tmp_path / "killed"
    for attempt in range(40):
        job = subprocess.Popen(
            command(policy, reward, runs, *overrides),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            out, err = job.communicate(timeout=4 + 1.5 * attempt)
        except subprocess.TimeoutExpired:
            os.kill(job.pid, signal.SIGKILL)
            job.communicate()
            continue
        assert job.returncode == 0, err
        break
    assert attempt >= 2
    assert report_of(out) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line_before", "words"),
    [("prompts/da", ["engine=hf", "sampling.samples=64"]), ("training: computing", ["method.epochs=500"])],
    ids=["generations", "training"],
)
def test_ctrl_c_leaves_a_resumable_run_and_says_so(
    policy: Path, reward: Path, tmp_path: Path, line_before: str, words: list[str]
) -> None:
    job = subprocess.Popen(
        command(policy, reward, tmp_path, *words),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interrupts.hear,
    )
    for line in job.stdout or ():
        if line.startswith(line_before):
            break
    time.sleep(0.5)
    job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=60)
    assert job.returncode == 130
    assert err.strip().endswith("the same command goes on where it stopped")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.path=/nowhere/at/all", "model.path: .*no such folder"),
        ("prompts.heldout=9999", r"prompts\.heldout"),
        ("trainer=gpu", "no CUDA device"),
        ("sampling.max_new_tokens=0", r"sampling\.max_new_tokens"),
        ("reward.path=${model.path}", "reward"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    policy: Path, reward: Path, tmp_path: Path, override: str, says: str
) -> None:
    with pytest.raises(UserError, match=says) as error:
        run(policy, reward, tmp_path, "engine=hf", override)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("pairs/*/*"))


def test_what_is_no_reward_model_is_refused_before_anything_is_made(policy: Path, tmp_path: Path) -> None:
    two, broken = build_reward(tmp_path / "two", labels=2), tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("[]")
    for path, says in (
        (two, "2 labels; a reward model has one"),
        (policy, "is no reward model: it holds LlamaForCausalLM"),
        (broken, "its config.json is no checkpoint's configuration"),
    ):
        with pytest.raises(UserError, match=rf"^{path}: .*{says}") as error:
            run(policy, path, tmp_path / "runs", "engine=hf")
        assert "\n" not in str(error.value)
    assert not list((tmp_path / "runs").glob("*/*/manifest.json"))


def test_malformed_prompts_name_file_and_line(policy: Path, reward: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "hi", "language": "en"}\n{"prompt": \n')
    with pytest.raises(UserError, match=r"mine\.jsonl:2"):
        run(*reals(policy, reward, tmp_path), tmp_path / "runs", "prompts=jsonl", f"prompts.path={file}", "evals=none")


def test_too_few_prompts_to_hold_any_out_stop_before_anything_is_generated(
    policy: Path, reward: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"id": i, "prompt": f"hi {i}", "language": "en"}) + "\n" for i in range(3)))
    own = ["prompts=jsonl", f"prompts.path={file}", "evals.quality.grader=croco.errors:UserError"]
    with pytest.raises(UserError, match=r"prompts\.heldout: no prompt is held out"):
        run(*reals(policy, reward, tmp_path), tmp_path / "runs", *own, "lang.languages=[en]")
    assert not list((tmp_path / "runs").glob("generations/*/manifest.json"))


def test_a_prompt_longer_than_the_context_is_named(policy: Path, reward: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"id": "long", "prompt": "x " * 400, "language": "en"}) + "\n")
    with pytest.raises(UserError, match=r"prompt long \(en\)"):
        run(
            *reals(policy, reward, tmp_path),
            tmp_path / "runs",
            "prompts=jsonl",
            f"prompts.path={file}",
            "engine=hf",
            "lang.languages=[en]",
            "evals=none",
        )


def test_the_command_exits_with_2_and_one_line(policy: Path, reward: Path, tmp_path: Path) -> None:
    done = subprocess.run(command(policy, reward, tmp_path, "+typo=1"), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.strip() == "croco: typo: Key 'typo' not in 'Config'"


def test_unknown_choice_names_the_valid_ones() -> None:
    done = subprocess.run([sys.executable, "-m", "croco.run", "method=dop"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert re.search(r"\bdpo\b", done.stderr)


def test_checks_beside_quality(policy: Path, reward: Path, tmp_path: Path) -> None:
    """Two evaluations in one run, the second found again."""
    first = run(
        policy, reward, tmp_path, "evals=[quality,checks]", "evals.checks.prompts=3", "evals.checks.resamples=20"
    )
    assert "checks_prompts/da: made" in first
    assert "Instructions followed, all languages" in first
    again = run(policy, reward, tmp_path, "evals=checks", "evals.checks.prompts=3", "evals.checks.resamples=20")
    assert "checks: found" in again
    assert "answers_base" not in again


def test_checks_leave_out_a_language_without_prompts(policy: Path, reward: Path, tmp_path: Path) -> None:
    """Trained in Danish and Welsh, checked in Danish, and Welsh is said."""
    rows = [{"id": f"q{i}", "language": code, "prompt": f"hi {i}"} for code in ("da", "cy") for i in range(9)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = ["prompts=jsonl", f"prompts.path={tmp_path / 'mine.jsonl'}", "prompts.heldout=2", "lang.languages=[da,cy]"]
    checks = ["evals=checks", "evals.checks.prompts=3", "evals.checks.resamples=20"]
    said = run(*reals(policy, reward, tmp_path), tmp_path / "runs", *own, *checks)
    assert "checks: left out, no prompts of our own: cy" in said
    assert "checks_prompts/da: made" in said
    assert "checks_prompts/cy" not in said


@pytest.mark.slow
def test_euroeval_of_base_and_tuned(policy: Path, reward: Path, tmp_path: Path) -> None:
    """With a stand-in for its command; the tuned model is merged into a folder that is gone afterwards."""
    executable = stub.install(tmp_path / "environment")
    chosen = [
        "evals=euroeval",
        f"evals.euroeval.executable={executable}",
        "evals.euroeval.datasets={da: [scala-da, danwic], en: [squad]}",
    ]
    out = run(policy, reward, tmp_path / "runs", *chosen)
    assert "EuroEval by data set" in out
    assert (
        "data sets fell"
        in json.loads(next(tmp_path.glob("runs/report/*/manifest.json")).read_text())["summary"]["evaluated"][
            "euroeval"
        ]
    )
    logs = [path.read_text() for path in tmp_path.glob("runs/euroeval_scores/*/euroeval.log")]
    assert sorted(log.split()[-1].rsplit("/")[-1] for log in logs) == ["base", "model"]
    assert not [*tmp_path.glob("runs/euroeval_scores/*/model"), *tmp_path.glob("runs/euroeval_scores/*/base")]
    assert "euroeval: found" in run(policy, reward, tmp_path / "runs", *chosen)
    with pytest.raises(UserError, match=r"datasets\.en: the installed EuroEval has 'squat' nowhere"):
        run(policy, reward, tmp_path / "other", *chosen[:2], "evals.euroeval.datasets={da: [danwic], en: [squat]}")
    assert not list(tmp_path.glob("other/generations/*"))
