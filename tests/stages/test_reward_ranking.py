"""The stage in the chain: nothing is scored twice after a kill, and a local file's content is in the address."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from croco.engines.base import Answered
from croco.engines.fake import FakeScorer
from croco.errors import UserError
from croco.stages import reward_ranking
from tests.jobs.test_chain import run

SETTING = ("evals=reward_ranking", "method.epochs=0.5")


@pytest.mark.slow
def test_killed_while_it_scores_it_goes_on(
    policy: Path, reward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(policy, reward, tmp_path / "whole", *SETTING)
    assert "corruption accuracy" in whole
    monkeypatch.setattr(reward_ranking, "ROWS_PER_CALL", 10)
    score, calls = FakeScorer.score, []

    def counted(self: FakeScorer, answers: Sequence[Answered]) -> list[float | None]:
        if len(answers) <= 10:
            calls.append(len(answers))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(self, answers)

    monkeypatch.setattr(FakeScorer, "score", counted)
    with pytest.raises(KeyboardInterrupt):
        run(policy, reward, tmp_path / "killed", *SETTING)
    run(policy, reward, tmp_path / "killed", *SETTING)
    first, second = (
        pq.read_table(next((tmp_path / name).glob("reward_ranking/*/results.parquet"))) for name in ("whole", "killed")
    )
    assert first.equals(second)
    rewards = first["metric"].to_pylist().count("reward")
    assert sum(calls) - calls[2] == rewards


def test_preference_data_of_ones_own(policy: Path, reward: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    row = {"id": 1, "prompt": "Who?", "chosen": "Me.", "rejected": "No"}
    file.write_text("".join(json.dumps(row | {"language": lang}) + "\n" for lang in ("en", "dan_Latn", "da")))
    out = run(policy, reward, tmp_path / "runs", *SETTING, f"evals.reward_ranking.path={file}")
    assert "preference accuracy" in out
    file.write_text(json.dumps(row | {"language": "en"}) + "\n")
    out = run(policy, reward, tmp_path / "runs", *SETTING, f"evals.reward_ranking.path={file}")
    assert "reward_ranking: made" in out
    with pytest.raises(UserError, match=r"evals\.reward_ranking\.path: .*no such file"):
        run(policy, reward, tmp_path / "runs", *SETTING, f"evals.reward_ranking.path={tmp_path}/nothing")
