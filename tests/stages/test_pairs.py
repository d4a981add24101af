"""The pairs stage in its chain, from prompts to pairs, with made-up answers and a rule as reward."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from rich.console import Console

from croco import tracking
from croco.artifacts.store import Artifact, Artifacts, Store
from croco.config import CONF, strict
from croco.errors import UserError
from croco.jobs.chain import Chain
from croco.show.progress import Progress
from croco.stages import stages
from tests.support.builders import build_policy, real


def length(messages: Any, answer: str, language: str, meta: Any) -> float | None:
    """A reward: longer is better; an empty answer has none."""
    return float(len(answer)) if answer else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    rows = [
        {
            "id": f"p{p:02d}",
            "language": language,
            "prompt": f"question {p} in {language}",
            "reference": None if p % 5 == 0 else "the gold answer " * 20,
        }
        for p in range(30)
        for language in ("da", "en")
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def chain(folder: Path, policy: Path, *overrides: str) -> dict[str, Artifact | Artifacts]:
    """The artifacts up to the pairs."""
    policy = real(policy, folder / "policy") if not (folder / "policy").exists() else folder / "policy"
    settings = [
        f"model.path={policy}",
        "prompts=jsonl",
        f"prompts.path={folder / 'prompts.jsonl'}",
        "prompts.heldout=4",
        "lang.languages=[da,en]",
        "reward=function",
        "reward.function=tests.stages.test_pairs:length",
        "engine=fake",
        "sampling.samples=6",
        "evals=none",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = strict(compose("config", overrides=[*settings, *overrides]))
    wanted = stages()
    upto = [stage.name for stage in wanted].index("pairs") + 1
    with (folder / "console.txt").open("a") as console:
        made = Chain(config, Store(folder / "runs"), Progress(Console(file=console)), tracking.silence()).run(
            wanted[:upto]
        )
    return dict(made)


def pairs_of(artifacts: dict[str, Artifact | Artifacts]) -> list[dict[str, Any]]:
    rows = artifacts["pairs"].table("pairs").to_pylist()
    return [row for row in rows if row]


def test_the_chain_makes_pairs_and_reports_them(folder: Path, policy: Path) -> None:
    artifacts = chain(folder, policy)
    rows = pairs_of(artifacts)
    assert len(rows) == artifacts["pairs"].summary["rows"] > 40
    assert all(len(r["chosen"][0]["content"]) == r["chosen_score"] > r["rejected_score"] for r in rows)
    assert {r["source"] for r in rows} == {"on_policy"}
    assert "pair report" in (folder / "console.txt").read_text()


def test_another_rule_makes_other_pairs_of_the_same_answers(folder: Path, policy: Path) -> None:
    first, second = chain(folder, policy), chain(folder, policy, "pairing=multi", "pairing.rejected=-1")
    assert first["pairs"].address != second["pairs"].address  # type: ignore[union-attr]
    for name in ("generations", "scores"):
        for language in ("da", "en"):
            assert first[name].by_language[language].address == second[name].by_language[language].address  # type: ignore[union-attr]


def test_the_data_sets_answers_can_be_the_chosen(folder: Path, policy: Path) -> None:
    """Every fifth prompt has no answer of its own, and gives no pair; the others' are longer than any made-up answer."""
    rows = pairs_of(artifacts := chain(folder, policy, "source=reference"))
    assert {r["chosen"][0]["content"] for r in rows} == {"the gold answer " * 20}
    assert {r["source"] for r in rows} == {"reference"}
    assert not any(int(r["prompt_id"][1:]) % 5 == 0 for r in rows)
    refused = artifacts["pairs"].summary["report"]["refused"]
    assert refused["no answer that may be chosen"] == 2 * sum(
        int(i[1:]) % 5 == 0
        for i, split in zip(
            *(artifacts["prompts"].by_language["da"].table("prompts")[c].to_pylist() for c in ("prompt_id", "split")),
            strict=True,
        )  # type: ignore[union-attr]
        if split == "train"
    )


def test_a_mixture_gives_each_prompt_one_source(folder: Path, policy: Path, tmp_path: Path) -> None:
    other = real(build_policy(tmp_path / "same", seed=5), tmp_path / "other")
    rows = pairs_of(artifacts := chain(folder, policy, "source=mixture", f"source.model={other}"))
    sources: dict[str, set[str]] = {}
    for row in rows:
        sources.setdefault(row["prompt_id"], set()).add(row["source"])
    assert all(len(found) == 1 for found in sources.values())
    counts = Counter(next(iter(found)) for found in sources.values())
    assert set(counts) == {"on_policy", "off_policy", "reference"}
    assert counts["on_policy"] > counts["off_policy"]
    off_policy = chain(folder, policy, "source=off_policy", f"source.model={other}")
    shared = [
        a["generations" if a is off_policy else "other_generations"].by_language["da"].path
        for a in (artifacts, off_policy)
    ]  # type: ignore[union-attr]
    assert shared[0] == shared[1]


def test_a_limit_stops_the_run_before_training(folder: Path, policy: Path) -> None:
    with pytest.raises(UserError, match=r"pairing.limits.min_pairs: \d+ pairs are fewer than 1000"):
        chain(folder, policy, "pairing.limits.min_pairs=1000", "pairing.rejected=0")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["source=mixture", "source.shares.reference=0.5"], "they sum to 1.25"),
        (["source=mixture", "source.model=null"], "source.model"),
        (["source=mixture", "source.kind=off_policy"], "source.kind=on_policy"),
        (["source=mixture", "+source.shares.gold=0.1"], "'gold' is not one of"),
    ],
)
def test_bad_mixtures_name_their_key(folder: Path, policy: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        chain(folder, policy, *overrides)
