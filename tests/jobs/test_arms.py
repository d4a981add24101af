"""Every arm of the paper as one command, on tiny random checkpoints: what must hold of each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.jobs.test_chain import run
from tests.support.builders import build_translator

ROOT = Path(__file__).parents[2]
REAL = ("engine=hf", "evals=none", "sampling.samples=4", "sampling.max_new_tokens=8")


def tables(runs: Path, stage: str) -> dict[str, Path]:
    """Language -> the folder of the stage's artifact."""
    found = {}
    for manifest in runs.glob(f"{stage}/*/manifest.json"):
        found[json.loads(manifest.read_text())["config"]["language"]] = manifest.parent
    return found


@pytest.mark.slow
def test_icr_trains_its_reward_on_english_and_scores_with_it(policy: Path, reward: Path, tmp_path: Path) -> None:
    part = f"preset.reward.path={reward}"
    said = run(policy, Path("${model.path}"), tmp_path, "reward=icr", "pairing=best_worst", part, *REAL)
    assert said.count("training: made") == 2
    for stage in ("generations/en", "prompts/en"):
        assert f"{stage}: found" in said  # shared with the English run
    manifests = [json.loads(p.read_text()) for p in tmp_path.glob("scores/*/manifest.json")]
    implicit = [m for m in manifests if m["config"]["kind"] == "implicit"]
    assert {m["config"]["language"] for m in implicit} == {"en", "da"}
    assert all(0 <= m["summary"]["alpha"] <= 1 for m in implicit)
    assert any(name.startswith("prompts@en") for m in implicit for name in m["upstream"])


@pytest.mark.slow
def test_mapo_scores_what_is_not_english_against_the_english_answers(
    policy: Path, reward: Path, tmp_path: Path
) -> None:
    translator = build_translator(tmp_path / "translator")
    run(policy, translator, tmp_path / "runs", "reward=mapo", "reward.max_length=60", *REAL)
    rewards = {
        language: pq.read_table(folder / "scores.parquet")["reward"]
        for language, folder in tables(tmp_path / "runs", "scores").items()
    }
    assert rewards["en"].null_count == len(rewards["en"])
    assert rewards["da"].null_count < len(rewards["da"])


@pytest.mark.slow
def test_answers_in_another_language_leave_the_pools(policy: Path, reward: Path, tmp_path: Path) -> None:
    """The random policy writes gibberish, of which language identification calls much something else than Danish."""
    pytest.importorskip("py3langid")
    part = f"preset.reward.path={reward}"
    run(
        policy,
        Path("unused"),
        tmp_path,
        "reward=faithful",
        "reward.path=null",
        part,
        *REAL,
        "sampling.max_new_tokens=48",
    )
    for folder in tables(tmp_path, "scores").values():
        summary = json.loads((folder / "manifest.json").read_text())["summary"]
        assert 0 < summary["failed"] < summary["rows"]


ROUNDS = ("pairing=best_worst", "method.validation=0", "method.batch_size=4", "trainer.watch_prompts=0")


def adapters(runs: Path) -> list[bytes]:
    return sorted(p.read_bytes() for p in runs.glob("training/*/adapter/adapter_model.safetensors"))


def test_online_at_infinity_and_iterative_with_one_round_are_offline_to_the_bit(
    policy: Path, reward: Path, tmp_path: Path
) -> None:
    """Made in stores of their own, so that nothing is shared. 12 pools fill 3 steps of 4: a round of 3 holds them all."""
    settings = {
        "offline": ("method=dpo",),
        "online": ("method=online_dpo", "method.refresh_every=null"),
        "iterative": ("method=iterative_dpo", "method.refresh_every=3"),
    }
    for name, more in settings.items():
        said = run(policy, reward, tmp_path / name, *more, *ROUNDS, "evals=none")
        assert "3 steps" in said
    offline = adapters(tmp_path / "offline")
    assert len(offline) == 1
    assert adapters(tmp_path / "online") == adapters(tmp_path / "iterative") == offline


@pytest.mark.parametrize("more", [(), ("method.reference=previous", "method.round_data=accumulated")])
@pytest.mark.slow
def test_rounds_go_on_where_the_one_before_ended(
    policy: Path, reward: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    """12 pools in rounds of one step of 4: three rounds with prompts of their own; accumulated, of 1, 2 and 3 steps."""
    said = run(policy, reward, tmp_path, "method=online_dpo", *ROUNDS, "evals=none", *more)
    steps = 6 if more else 3
    for name in ("training_0", "training_1", "training"):
        assert f"{name}: made" in said
    (last,) = [p.parent for p in tmp_path.glob("training/*/manifest.json") if str(steps) == _steps(p)]
    rows = [json.loads(line) for line in (last / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(steps))
    taken = [
        {(r["prompt_id"], r["language"]) for r in pq.read_table(p).to_pylist()}
        for p in tmp_path.glob("round_prompts/*/prompts.parquet")
    ]
    assert len(set.union(*taken)) == sum(map(len, taken)) == 12
    again = run(policy, reward, tmp_path, "method=online_dpo", *ROUNDS, "evals=none", *more)
    assert "made in" not in again


@pytest.mark.slow
def test_a_round_may_have_no_prompt_in_a_language(policy: Path, reward: Path, tmp_path: Path) -> None:
    """Four pools of one language each, in rounds of one: three of every four artifacts per language hold something else."""
    small = ("prompts.train=2", "method.batch_size=1", "method.validation=0", "trainer.watch_prompts=0", "evals=none")
    said = run(policy, reward, tmp_path, "method=online_dpo", "pairing=best_worst", *small)
    assert "training: made" in said
    rows = [json.loads(p.read_text())["summary"]["rows"] for p in tmp_path.glob("generations/*/manifest.json")]
    assert sorted(rows) == [0, 0, 0, 0, 16, 16, 16, 16]


def _steps(manifest: Path) -> str:
    return str(json.loads(manifest.read_text())["summary"]["steps"])


@pytest.mark.slow
def test_a_run_killed_within_a_round_goes_on_to_the_same_adapter(
    policy: Path, reward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the second round, once while it scores and once while it trains."""
    from croco.engines.fake import FakeScorer
    from croco.training import metrics

    overrides = ("method=iterative_dpo", "method.refresh_every=2", *ROUNDS, "trainer.checkpoint_every=1", "evals=none")
    run(policy, reward, tmp_path / "whole", *overrides, "method.batch_size=3")

    class Killed(Exception):
        pass

    def killing(original: Any, at: int) -> Any:
        calls = iter(range(1_000))

        def call(*arguments: Any) -> Any:
            if next(calls) == at:
                raise Killed
            return original(*arguments)

        return call

    for place, name, at in ((FakeScorer, "score", 3), (metrics.Record, "__call__", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, killing(getattr(place, name), at))
            with pytest.raises(Killed):
                run(policy, reward, tmp_path / "killed", *overrides, "method.batch_size=3")
    assert "training: made" in run(policy, reward, tmp_path / "killed", *overrides, "method.batch_size=3")
    assert adapters(tmp_path / "killed") == adapters(tmp_path / "whole")


@pytest.mark.slow
def test_a_run_starts_from_an_adapter(policy: Path, reward: Path, tmp_path: Path) -> None:
    """The adapter of an earlier run answers, is trained on, and is the reference: its margin starts at 0."""
    run(policy, reward, tmp_path, "method=dpo", *ROUNDS, "evals=none")
    (adapter,) = tmp_path.glob("training/*/adapter")
    said = run(policy, reward, tmp_path, "method=dpo", *ROUNDS, "evals=none", f"model.adapter={adapter}")
    assert "generations/da: made" in said
    (second,) = [p for p in tmp_path.glob("training/*") if p != adapter.parent]
    first = json.loads((second / "metrics.jsonl").read_text().splitlines()[0])
    assert first["margin"] == pytest.approx(0, abs=1e-4)
    assert (second / "adapter/adapter_model.safetensors").read_bytes() != (
        adapter / "adapter_model.safetensors"
    ).read_bytes()
    source = ("source=off_policy", f"source.model={policy}", f"source.adapter={adapter}")
    off = run(policy, reward, tmp_path, *ROUNDS, "evals=none", *source)
    assert "generations/da: found" in off  # the earlier checkpoint's answers, made as the policy's in the run before


@pytest.mark.slow
def test_off_policy_is_a_number(policy: Path, reward: Path, tmp_path: Path) -> None:
    """The same measure for every source: the policy's own answers are as likely as its own answers, up to selection and chance;
    those of a peaked model of other weights are not."""
    gaps = {}
    for name, more in {
        "on": ("source=on_policy",),
        "off": ("source=off_policy", f"source.model={reward.parent / 'peaked'}"),
    }.items():
        if name == "off":
            _peaked(policy, reward.parent / "peaked")
        run(policy, reward, tmp_path / name, *more, *REAL, "evals=distance", "~evals.quality", "sampling.samples=8")
        (folder,) = (tmp_path / name).glob("distance/*")
        gaps[name] = json.loads((folder / "manifest.json").read_text())["summary"]["logp_per_token"]
        assert gaps[name]["gap"] == pytest.approx(gaps[name]["data"] - gaps[name]["policy"])
    assert abs(gaps["on"]["gap"]) < 0.3
    assert abs(gaps["off"]["gap"]) > 2 * abs(gaps["on"]["gap"])


def _peaked(policy: Path, folder: Path) -> None:
    """A policy of other weights that repeats what is most likely to it."""
    import torch
    from transformers import AutoModelForCausalLM

    from tests.support.builders import build_policy

    build_policy(folder, seed=9)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(40)
    model.save_pretrained(folder)


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["method.refresh_every=null", "method.refresh_every=5"])
def test_a_perfect_reward_improves_gold_quality(arm: str, tmp_path: Path) -> None:
    """Offline and iterative: optimising the gold quality itself must raise it on held-out prompts."""
    settings = [
        f"paths.artifacts={tmp_path}",
        "lang=en",
        "reward=function",
        "reward.function=tests.support.perfect:gold",
        "method.batch_size=16",
        "method.epochs=3",
        "logger=none",
        arm,
    ]
    subprocess.run([sys.executable, "-m", "croco.run", *settings], cwd=ROOT, check=True, capture_output=True)
    (manifest,) = tmp_path.glob("quality/*/manifest.json")
    macro = json.loads(manifest.read_text())["summary"]["comparison"][-1]
    assert macro["low"] > 0, macro
