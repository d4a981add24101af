"""Evaluations by training step, on tiny checkpoints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from croco import compare
from croco.errors import UserError
from tests.jobs.test_chain import run

GOLD = (
    "evals=[quality,gold]",
    "reward@evals.gold.reward=function",
    f"evals.gold.reward.function={__name__}:characters",
)
STEPS = ("method.epochs=4", "method.batch_size=2", "method.learning_rate=0.05", "trainer.checkpoint_every=1")


def characters(messages: Any, answer: str, language: str, meta: Any) -> float:
    return float(len(answer))


def words(messages: Any, answer: str, language: str, meta: Any) -> float:
    return float(len(set(answer.split())))


def results(runs: Path, stage: str) -> Any:
    (file,) = runs.glob(f"{stage}/*/results.parquet")
    return pq.read_table(file)


def of(table: Any, system: str) -> list[dict[str, Any]]:
    return table.filter(pc.equal(table["system"], system)).to_pylist()


@pytest.mark.slow
def test_base_is_step_0_and_the_last_is_tuned(
    policy: Path, reward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The curve's ends are the very rows that base and tuned are graded with; what lies between is another policy's."""
    small = (*STEPS, "engine=hf", "sampling.max_new_tokens=8", "lang.languages=[en]")
    said = run(policy, reward, tmp_path, *small, "evals.checkpoints=2")
    quality, curve = results(tmp_path, "quality"), results(tmp_path, "checkpoints")
    for system in ("base", "tuned"):
        assert [row for row in of(curve, system) if row["evaluation"] == "quality"] == of(quality, system)
    (middle,) = {name for name in curve["system"].to_pylist() if name.startswith("step ")}
    assert "Evaluations by training step" in said
    (training,) = tmp_path.glob("training/*")
    assert (training / "steps" / middle.replace("step ", "step-")).is_dir()
    (page,) = tmp_path.glob("report/*/report.html")
    assert 'class="band filled c0"' in page.read_text(encoding="utf-8")
    report = str(page.parent)
    assert compare.main([report, "--evaluation", "checkpoints", "--metric", "quality", "--format", "json"]) == 0
    systems = {row["system"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert {name.partition(" ")[2] for name in systems} == {"", middle}
    # The same training without a curve is found, and so are the answers.
    assert "made in" not in run(policy, reward, tmp_path, *small).replace("report: made in", "")
    # A second reward of the same answers: only that is new.
    said = run(policy, reward, tmp_path, *small, "evals.checkpoints=2", *GOLD)
    made = re.findall(r"(\S+): made in", said)
    assert made == ["gold_base/en", f"gold_{middle[5:]}/en", "gold_tuned/en", "checkpoints", "report"]
    assert "Proxy against gold" in said
    assert "Proxy against quality" in said
    # Other steps of a training that did not keep them are refused, and those it has are named.
    with pytest.raises(UserError, match=f"adapters of steps 1; it kept those of {middle[5:]}"):
        run(policy, reward, tmp_path, *small, "evals.checkpoints=[1]")


@pytest.mark.slow
def test_proxy_is_the_runs_reward_of_the_answers_at_each_step(policy: Path, reward: Path, tmp_path: Path) -> None:
    """The number of distinct words of the very texts that lie in the answers' artifacts, also where the pairs' rewards are
    without what length gains; and of the second reward, the number of characters."""
    own = ("reward=function", "reward.path=null", f"reward.function={__name__}:words", "reward.length=control")
    run(policy, reward, tmp_path, *STEPS, *own, "evals=gold", *GOLD[1:], "evals.checkpoints=2")
    curve = results(tmp_path, "checkpoints")
    (report,) = tmp_path.glob("report/*/lineage.json")
    folders = json.loads(report.read_text(encoding="utf-8"))
    for system in ("base", "tuned"):
        rows = [row for row in of(curve, system) if row["language"] == "da"]
        answers = pq.read_table(tmp_path / folders[f"answers_{system}/da"] / "generations.parquet").to_pylist()
        texts = {row["prompt_id"]: row["text"] for row in answers}
        for metric, value in (("proxy", words), ("gold", characters)):
            found = {row["prompt_id"]: row["value"] for row in rows if row["metric"] == metric}
            assert found == {prompt: value([], text, "da", {}) for prompt, text in texts.items()}


@pytest.mark.slow
def test_checks_by_step(policy: Path, reward: Path, tmp_path: Path) -> None:
    run(policy, reward, tmp_path, *STEPS, "evals=checks", "evals.checks.prompts=2", "evals.checkpoints=[1,2]")
    systems = set(results(tmp_path, "checkpoints")["system"].to_pylist())
    assert systems == {"base", "step 1", "step 2", "tuned"}
    (report,) = tmp_path.glob("report/*/manifest.json")
    assert json.loads(report.read_text())["summary"]["evaluated"]["checkpoints"].startswith(
        "Prompt_strict by step: 0: "
    )


def test_a_step_there_is_not_is_said_before_training(policy: Path, reward: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no step 999; training has"):
        run(policy, reward, tmp_path, *STEPS, "evals.checkpoints=[999]")
    assert not list(tmp_path.glob("training/*/metrics.jsonl"))
