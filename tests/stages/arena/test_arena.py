"""The arena within the chain: questions of one's own, a judge of one's own, killed and gone on, systems of one's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from croco.errors import UserError
from tests.jobs.test_chain import run

CALLS: list[str] = []
STOP_AFTER: list[int] = []


def longer(messages: list[Any], first: str, second: str, language: str, meta: Mapping[str, Any]) -> str:
    """The longer answer wins; says nothing of one question in four; is interrupted where a test wants it."""
    if STOP_AFTER and len(CALLS) == STOP_AFTER[0]:
        raise KeyboardInterrupt
    question = messages[0]["content"]
    CALLS.append(f"{language} {question}")
    if question.endswith("0?"):
        return "no idea"
    return "[[T]]" if len(first) == len(second) else "[[1]]" if len(first) > len(second) else "[[2]]"


@pytest.fixture(autouse=True)
def _fresh() -> None:
    CALLS.clear()
    STOP_AFTER.clear()


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    rows = [
        {"question_id": f"q{i}", "prompt": f"question {i}?", "category": "c", "subcategory": "s", "language": language}
        for i in range(8)
        for language in ("en", "da")
    ]
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        "evals=arena",
        "evals.arena.source=file",
        f"evals.arena.path={file}",
        "evals.arena.resamples=50",
        "judge=function",
        "judge.function=tests.stages.arena.test_arena:longer",
    ]


def verdicts(runs: Path) -> list[dict[str, Any]]:
    return [
        row
        for path in sorted(runs.glob("arena_verdicts/*/verdicts.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


def test_every_question_is_judged_in_both_orders_and_counted(
    policy: Path, reward: Path, tmp_path: Path, own: list[str]
) -> None:
    """8 questions, 2 languages, 2 orders; the judge is silent on one question in each; by length, orders always agree."""
    out = run(policy, reward, tmp_path / "runs", *own)
    assert len(CALLS) == 32
    assert "Arena: tuned against base" in out
    manifest = json.loads(next((tmp_path / "runs").glob("arena/*/manifest.json")).read_text())
    judge = manifest["summary"]["judge"]
    assert [judge[language]["unreadable"] for language in ("en", "da")] == [2, 2]
    assert judge["en"]["orders_agree"] == 1.0
    rows = verdicts(tmp_path / "runs")
    assert len(rows) == 32
    won = {row["winner"] for row in rows if row["candidate_characters"] > row["opponent_characters"]}
    assert won <= {"candidate", None}
    results = pq.read_table(next((tmp_path / "runs").glob("arena/*/results.parquet"))).to_pylist()
    assert sum(row["metric"] == "win" for row in results) == 32


@pytest.mark.slow
def test_interrupted_it_goes_on_and_base_answers_are_shared(
    policy: Path, reward: Path, tmp_path: Path, own: list[str]
) -> None:
    STOP_AFTER.append(5)
    with pytest.raises(KeyboardInterrupt):
        run(policy, reward, tmp_path, *own)
    STOP_AFTER.clear()
    run(policy, reward, tmp_path, *own)
    assert len(CALLS) == 32, "no game is judged twice"
    again = run(policy, reward, tmp_path, *own)
    assert "made in" not in again
    other = run(policy, reward, tmp_path, *own, "method=sft", "prompts.train=5", "evals.arena.orders=random")
    assert re.search("arena_opponent/da: found", other)
    assert re.search("arena_candidate/da: made", other)
    assert len(CALLS) == 48


@pytest.mark.slow
def test_any_two_models_with_adapters(policy: Path, reward: Path, tmp_path: Path, own: list[str]) -> None:
    """A trained adapter of another run on one side, another checkpoint on the other."""
    run(policy, reward, tmp_path, *own)
    adapter = next(tmp_path.glob("training/*/adapter"))
    systems = ["evals.arena.candidate.name=mine", f"evals.arena.candidate.adapter={adapter}"]
    systems += ["evals.arena.opponent.name=theirs", f"evals.arena.opponent.path={policy}", "evals.arena.seed=3"]
    out = run(policy, reward, tmp_path, *own, *systems)
    assert "Arena: mine against theirs" in out
    with pytest.raises(UserError, match=r"evals\.arena\.opponent\.adapter: .*no adapter_config\.json"):
        run(policy, reward, tmp_path, *own, "evals.arena.opponent.adapter=/nowhere")


def test_an_endpoint_without_its_key_is_refused_before_any_work(
    policy: Path, reward: Path, tmp_path: Path, own: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    judge = ["judge=endpoint", "judge.url=http://127.0.0.1:9/v1", "judge.path=m", "judge.api_key_env=NO_SUCH_KEY"]
    with pytest.raises(UserError, match=r"judge\.api_key_env: .*NO_SUCH_KEY"):
        run(policy, reward, tmp_path / "runs", *own[:4], *judge)
    assert not (tmp_path / "runs").exists()


def test_a_language_without_questions_stops_before_anything_is_generated(
    policy: Path, reward: Path, tmp_path: Path, own: list[str]
) -> None:
    with pytest.raises(UserError, match="no question in 'de'"):
        run(policy, reward, tmp_path / "runs", *own, "lang.languages=[de]")
    assert not list((tmp_path / "runs").glob("generations/*"))


@pytest.mark.slow
def test_answers_that_are_there_already(policy: Path, reward: Path, tmp_path: Path, own: list[str]) -> None:
    """The opponent's outputs in the reference repository's layout are 400 characters each: by length it wins whatever is read."""
    outputs = [{"question_id": f"q{i}", "prompt": "?", "output": "x" * 400, "generator": "theirs"} for i in range(8)]
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "en.json").write_text(json.dumps(outputs))
    opponent = [f"evals.arena.opponent.answers={folder}", "evals.arena.opponent.name=theirs"]
    with pytest.raises(UserError, match=r"evals\.arena\.opponent\.answers: .*no da\.json there"):
        run(policy, reward, tmp_path / "runs", *own, *opponent)
    out = run(policy, reward, tmp_path / "runs", *own, *opponent, "lang.languages=[en]")
    assert "Arena: tuned against theirs" in out
    winners = [row["winner"] for row in verdicts(tmp_path / "runs")]
    assert sorted(map(str, winners)) == ["None"] * 2 + ["opponent"] * 14
    (folder / "en.json").write_text(json.dumps(outputs[:7]))
    with pytest.raises(UserError, match=r"en\.json: no answer to question q7"):
        run(policy, reward, tmp_path / "runs", *own, *opponent, "lang.languages=[en]")
