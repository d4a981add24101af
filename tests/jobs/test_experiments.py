"""The paper's tables and ablations: each composes, says how it is run, and has a twin on the embedded world."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from croco import tiny
from croco.config import CONF, Config, strict
from croco.errors import UserError
from croco.evals.comparing import paired
from croco.jobs import experiments, outcomes
from croco.show.tables import Table
from tests.jobs.test_sweep import SMALL, call
from tests.support.builders import real

ROOT = Path(__file__).parents[2]
OWN = ("real", "small")  # none of the paper's
FILES = sorted(path for path in (ROOT / "experiments").glob("*.yaml") if path.stem not in OWN)
PAPER = [path for path in FILES if not path.stem.endswith("_tiny")]
POINTS = {"max": ".inf", "mu_plus_2s": "2.0", "mu_plus_s": "1.0", "mu": "0.0", "mu_minus_s": "-1.0"} | {
    "mu_minus_2s": "-2.0",
    "min": "-.inf",
}


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def axes(path: Path) -> dict[str, list[str]]:
    """Key of each axis -> its words."""
    params = read(path)["hydra"]["sweeper"]["params"]
    made = {}
    for override in OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()]):
        key = override.get_key_element()
        values = (
            override.sweep_string_iterator() if override.is_sweep_override() else [override.get_value_element_as_str()]
        )
        made[key] = [f"{key}={value}" for value in values]
    return made


def composed(path: Path, *words: str) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return strict(compose("config", overrides=[f"experiments={path.stem}", *words]))


@pytest.mark.checkout
def test_every_table_and_ablation_of_the_paper_is_there() -> None:
    names = {"euroeval", "arena", "mono_multi", "methods", "source", "online", "low_resource", "icr", "mapo"}
    assert names | {"reward_points", "reward_ranking"} <= {path.stem for path in PAPER}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_it_says_what_it_is_and_how_it_is_run(path: Path) -> None:
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert f"#   make experiment NAME={path.stem}" in head
    content = read(path)
    assert content["hydra"]["mode"] == "MULTIRUN", "it is a sweep also without -m"
    assert content["logger"]["group"] == path.stem
    assert content["logger"]["tags"][0] == ("tiny" if path.stem.endswith("_tiny") else "paper")


@pytest.mark.parametrize("path", PAPER, ids=lambda p: p.stem)
def test_its_twin_sweeps_the_same_axes_offline(path: Path) -> None:
    twin = path.with_stem(f"{path.stem}_tiny")
    assert list(axes(twin)) == list(axes(path))
    assert "seed" in axes(path)
    config = composed(twin, *(words[0] for words in axes(twin).values()))
    assert config.model.path == str(tiny.MODELS / "policy")
    assert (config.prompts.source, config.evals.euroeval) == ("tiny", None)
    assert config.reward.path is None or Path(config.reward.path).is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_value_of_every_axis_composes(path: Path) -> None:
    first = {key: words[0] for key, words in axes(path).items()}
    jobs = {tuple((first | {key: word}).values()) for key, words in axes(path).items() for word in words}
    for job in jobs:
        assert isinstance(composed(path, *job), Config)


@pytest.mark.checkout
def test_the_21_pairs_of_reward_points() -> None:
    """Every two of seven points, the higher one chosen; numbers from the names."""
    names = list(POINTS)
    expected = {f"{a}_{b}": (a, b) for number, a in enumerate(names) for b in names[number + 1 :]}
    assert len(expected) == 21
    files = {path.stem: yaml.safe_load(path.read_text()) for path in (CONF / "pairing" / "points").glob("*.yaml")}
    as_numbers = {key: yaml.safe_load(value) for key, value in POINTS.items()}
    assert files == {name: {"chosen": as_numbers[a], "rejected": as_numbers[b]} for name, (a, b) in expected.items()}
    for twin in ("reward_points", "reward_points_tiny"):
        words = axes(ROOT / "experiments" / f"{twin}.yaml")["+pairing/points"]
        assert words == [f"+pairing/points={name}" for name in expected]
    config = composed(ROOT / "experiments" / "reward_points_tiny.yaml", "+pairing/points=mu_plus_s_mu_minus_2s")
    assert (config.pairing.chosen, config.pairing.rejected) == (1.0, -2.0)


def test_what_was_not_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such experiment; there is .*methods_tiny"):
        experiments.newest_sweep("nothing", tmp_path)
    with pytest.raises(UserError, match="make experiment NAME=methods_tiny"):
        experiments.newest_sweep("methods_tiny", tmp_path)


def test_a_primary_endpoint_that_was_not_measured_is_said() -> None:
    compared: Any = [SimpleNamespace(evaluation="checks", metric="prompt_strict", warnings=["few seeds"])]
    made = experiments.Experiment("x", "", Table("", (), []), [], compared, "checks.promt_strict")
    assert made.warnings == [
        "evals.primary: checks.promt_strict was not measured; there is checks.prompt_strict",
        "few seeds",
    ]
    assert replace(made, primary="checks.prompt_strict").warnings == ["few seeds"]


def test_numbers_of_a_sweep_s_summary_tell_the_spread_where_there_is_one() -> None:
    both = paired.Effect("da", 8, 0, 0.25, 0.5, 0.25, 0.0, 0.5, 0.125, 1.0, None, seeds=2, by_seed=(0.5, 0.0))
    rows = {"dpo": [both], "sft": [replace(both, seeds=1, by_seed=())]}
    compared: Any = [SimpleNamespace(evaluation="quality", metric="language", rows=rows)]
    numbers = experiments.numbers(experiments.Experiment("x", "", Table("", (), []), [], compared, None))
    start = "quality/language/{}/da/".format
    ends = {"difference": 0.25, "low": 0.0, "high": 0.5, "p": 0.125}
    alone = {f"{start('sft')}{key}": value for key, value in (ends | {"seeds": 1}).items()}
    spread = ends | {"seeds": 2, "lowest": 0.0, "highest": 0.5}
    assert numbers == {f"{start('dpo')}{key}": value for key, value in spread.items()} | alone


def test_a_sweep_is_read_where_it_lies_now(tmp_path: Path) -> None:
    """A folder without outcomes is one line; a report is found beside the sweep when both have moved."""
    with pytest.raises(UserError, match="none of a sweep's jobs"):
        experiments.runs_of(tmp_path / "sweeps" / "nothing")
    sweep, report = tmp_path / "sweeps" / "one", tmp_path / "report" / "policy-0a"
    sweep.mkdir(parents=True)
    report.mkdir(parents=True)
    job = outcomes.Outcome(folder=str(sweep), overrides=[], state=outcomes.DONE, report="elsewhere/report/policy-0a")
    assert experiments.report_of(job, sweep) == report
    job.state = outcomes.FAILED
    assert experiments.report_of(job, sweep) is None


@pytest.mark.slow
def test_small_runs_with_checkpoints_of_its_classes(policy: Path, reward: Path, tmp_path: Path) -> None:
    """The experiment for one GPU, from prompts of one's own to its table: mono and multi, DPO and SFT (one training for both)."""
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    for language in ("en", "da"):
        rows = [{"prompt_id": str(i), "prompt": f"{language} {i}?", "reference": f"{language} {i}"} for i in range(12)]
        (prompts / f"{language}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    model, scorer = real(policy, tmp_path / "policy"), real(reward, tmp_path / "reward")
    own = [f"paths.artifacts={tmp_path / 'runs'}", f"model.path={model}", f"reward.path={scorer}", *SMALL]
    asked = [
        "prompts=jsonl",
        f"prompts.path={prompts}",
        "translation=none",
        "model.dtype=float32",
        "reward.dtype=float32",
    ]
    small = [
        "trainer=cpu",
        "model.max_length=256",
        "sampling.max_new_tokens=8",
        "sampling.samples=4",
        "reward.max_length=256",
    ]
    judge = ["judge=function", "judge.function=tests.stages.arena.test_arena:longer", "evals.checks.prompts=2"]
    done = call("-m", "experiments=small", *own, *asked, *small, *judge)
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(list((tmp_path / "runs" / "training").glob("*/manifest.json"))) == 3
    assert "arena: win" in done.stdout


@pytest.mark.slow
def test_an_experiment_writes_its_table(policy: Path, reward: Path, tmp_path: Path) -> None:
    """DPO, Max-R and SFT with two seeds each, on tiny random checkpoints; another job, of the same sweep, has no policy."""
    own = [f"paths.artifacts={tmp_path}", f"model.path={policy}", f"reward.path={reward}", *SMALL]
    done = call("experiments=methods_tiny", *own)
    assert done.returncode == 0, done.stderr
    command = [sys.executable, "-m", "croco.experiment", "methods_tiny", "--artifacts", str(tmp_path)]
    made = subprocess.run([*command, "--results", str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert f"page: {tmp_path / 'methods_tiny.html'}" in made.stdout
    html = (tmp_path / "methods_tiny.html").read_text()
    assert html.count('<table class="multiples"') == 1
    assert html.count("max_r") > 3, "plot, legend, tables, curves"
    page = (tmp_path / "methods_tiny.md").read_text()
    assert (
        len(re.findall(r"^\| (?:dpo|max_r|sft) \| 2 \(seed \d+, \d+\) \| [-+]\d\.\d{3}\*? \| ", page, re.MULTILINE))
        == 3
    )
    assert len(re.findall(r"^\| (?:dpo|max_r|sft) \| [-+]\d\.\d{3} \\?\[", page, re.MULTILINE)) == 3
    assert "fewer than 3 seeds" in page
    (sweep,) = (tmp_path / "sweeps").iterdir()
    assert (sweep / "comparison.html").is_file(), "the sweep's own end has written it"
    assert "quality: quality" in done.stdout
