"""One small chain on the fake engine, made once: what each stage leaves, held against what stands before it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from croco.artifacts.records import Generation, Pair, Prompt, Result, Score
from croco.artifacts.store import Artifact, Artifacts, Store
from croco.tiny import MODELS
from tests.jobs.test_chain import run

LANGUAGES = ("en", "da")
TRAIN, HELDOUT, SAMPLES = 6, 4, 5


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact | Artifacts]:
    """Stage -> its artifact, or those of both languages, as the report's lineage names them."""
    root = tmp_path_factory.mktemp("each")
    run(
        MODELS / "policy",
        MODELS / "reward",
        root,
        "engine=fake",
        "evals=[quality,checks]",
        "evals.checks.prompts=4",
        f"prompts.train={TRAIN}",
        f"prompts.heldout={HELDOUT}",
        f"sampling.samples={SAMPLES}",
        "method.batch_size=4",
    )
    report = Store(root).find("report", "")
    found: dict[str, Artifact | Artifacts] = {"report": report}
    several: dict[str, dict[str, Artifact]] = defaultdict(dict)
    for name, folder in json.loads((report.path / "lineage.json").read_text()).items():
        stage, _, language = name.partition("/")
        if language:
            several[stage][language] = Store.open(root / folder)
        else:
            found[stage] = Store.open(root / folder)
    return found | {stage: Artifacts(by_language) for stage, by_language in several.items()}


def test_prompts(made: dict[str, Artifact | Artifacts]) -> None:
    """The same prompts in every language, each in one split."""
    prompts = made["prompts"].rows("prompts", Prompt)
    assert Counter((p.language, p.split) for p in prompts) == {
        (language, split): count for language in LANGUAGES for split, count in (("train", TRAIN), ("heldout", HELDOUT))
    }
    split_of = {(p.prompt_id, p.split) for p in prompts}
    assert len(split_of) == TRAIN + HELDOUT


def test_generations_and_scores(made: dict[str, Artifact | Artifacts]) -> None:
    """K answers to every prompt that is trained on, and a reward of each."""
    train = {(p.prompt_id, p.language) for p in made["prompts"].rows("prompts", Prompt) if p.split == "train"}
    answers = made["generations"].rows("generations", Generation)
    assert Counter((g.prompt_id, g.language) for g in answers) == dict.fromkeys(train, SAMPLES)
    keys = [(s.prompt_id, s.language, s.sample) for s in made["scores"].rows("scores", Score)]
    assert sorted(keys) == sorted((g.prompt_id, g.language, g.sample) for g in answers)


def test_pairs(made: dict[str, Artifact | Artifacts]) -> None:
    """The chosen reward is the highest of its pool, the rejected one of the pool and lower."""
    pools = defaultdict(list)
    for score in made["scores"].rows("scores", Score):
        pools[score.prompt_id, score.language].append(score.reward)
    pairs = made["pairs"].rows("pairs", Pair)
    assert pairs
    for pair in pairs:
        pool = pools[pair.prompt_id, pair.chosen_language]
        assert pair.chosen_score == max(pool)
        assert pair.rejected_score in pool
        assert pair.rejected_score < pair.chosen_score


def test_training(made: dict[str, Artifact | Artifacts]) -> None:
    """An example for each pair, and an adapter that PEFT's own files describe."""
    assert made["training"].summary["examples"] == made["pairs"].summary["rows"]
    folder = made["training"].path / "adapter"  # type: ignore[union-attr]
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {file.name for file in folder.iterdir()}


def test_answers_of_base_and_tuned(made: dict[str, Artifact | Artifacts]) -> None:
    """Both answer the held-out prompts."""
    prompts = made["prompts"].rows("prompts", Prompt)
    heldout = {(p.language, p.prompt_id) for p in prompts if p.split == "heldout"}
    for side in ("base", "tuned"):
        answers = made[f"answers_{side}"].rows("generations", Generation)
        assert {(g.language, g.prompt_id) for g in answers} == heldout, side


@pytest.mark.parametrize("evaluation", ["quality", "checks"])
def test_evaluations(made: dict[str, Artifact | Artifacts], evaluation: str) -> None:
    """Every language and the mean over languages, and results of both systems on the same prompts."""
    rows = made[evaluation].rows("results", Result)
    by_system = {
        system: {(r.language, r.prompt_id) for r in rows if r.system == system} for system in ("base", "tuned")
    }
    assert by_system["base"] == by_system["tuned"] != set()
    table = made[evaluation].summary["tables"][0]
    assert [row[0] for row in table["rows"]] == [*LANGUAGES, "macro"]


def test_report(made: dict[str, Artifact | Artifacts]) -> None:
    """It names all that it was made of, and its page loads nothing."""
    folder: Path = made["report"].path  # type: ignore[union-attr]
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script src" not in html
    assert "<link" not in html
    assert {"prompts", "generations", "scores", "pairs", "training", "quality", "checks"} <= set(made)
