"""One small chain on the fake engine, made once: what each stage leaves, held against what stands before it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from croco.artifacts.records import Generation, Pair, Prompt, Result, Score, Verdict
from croco.artifacts.store import Artifact, Artifacts, Store
from croco.stages import stages
from croco.tiny import MODELS
from tests.evals.benchmarks import stub
from tests.jobs.test_chain import run

LANGUAGES = ("en", "da")
WINS = {"candidate": 1.0, "tie": 0.5, "opponent": 0.0}
TRAIN, HELDOUT, SAMPLES, ITERATIONS = 6, 4, 5, 3
DATASETS = {"da": ["scala-da", "danwic"], "en": ["squad"]}
OF_THEIR_OWN = {  # what this chain does not have: the file beside this one that has it
    "data": "test_ready",
    "preferences": "test_reward_model",
    "reward_model": "test_reward_model",
    "reward_ranking": "test_reward_ranking",
    "source_prompts": "test_translations",
    "translation_requests": "test_translations",
    "translations": "test_translations",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact | Artifacts]:
    """Stage -> its artifact, or those of both languages, as what was made of them names them."""
    root = tmp_path_factory.mktemp("each")
    run(
        MODELS / "policy",
        MODELS / "reward",
        root,
        "engine=fake",
        "source=mixture",
        f"source.model={MODELS / 'other_policy'}",
        "evals=[quality,checks,arena,euroeval,distance]",
        "evals.checks.prompts=4",
        "evals.arena.resamples=50",
        "judge=function",
        "judge.function=croco.tiny.arena_judge:judge",
        f"evals.euroeval.executable={stub.install(root / 'environment')}",
        f"evals.euroeval.datasets={{da: {DATASETS['da']}, en: {DATASETS['en']}}}",
        f"evals.euroeval.iterations={ITERATIONS}",
        f"prompts.train={TRAIN}",
        f"prompts.heldout={HELDOUT}",
        f"sampling.samples={SAMPLES}",
        "method.batch_size=4",
    )
    found: dict[str, Artifact | Artifacts] = {"report": Store(root).find("report", "")}
    several: dict[str, dict[str, Artifact]] = defaultdict(dict)
    left = [found["report"]]
    while left:
        for name, address in left.pop().upstream.items():  # type: ignore[union-attr]
            stage, _, language = name.partition("/")
            if name in found or language in several[stage]:
                continue
            (manifest,) = root.glob(f"*/*{address}/manifest.json")
            left.append(Store.open(manifest.parent))
            if language:
                several[stage][language] = left[-1]
            else:
                found[stage] = left[-1]
    return found | {
        stage: Artifacts({language: by_language[language] for language in LANGUAGES})
        for stage, by_language in several.items()
        if by_language
    }


def test_no_stage_is_left_out(made: dict[str, Artifact | Artifacts]) -> None:
    assert set(made) | set(OF_THEIR_OWN) == {stage.name for stage in stages()}
    assert all((Path(__file__).parent / f"{name}.py").exists() for name in OF_THEIR_OWN.values())


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
    """The chosen reward is the highest of its source's pool, the rejected one of the pool and lower."""
    pools = defaultdict(list)
    for source, name in (("on_policy", "scores"), ("off_policy", "other_scores"), ("reference", "reference_scores")):
        for score in made[name].rows("scores", Score):
            pools[source, score.prompt_id, score.language].append(score.reward)
    pairs = made["pairs"].rows("pairs", Pair)
    assert pairs
    for pair in pairs:
        pool = pools[pair.source, pair.prompt_id, pair.chosen_language]
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


def test_other_sources(made: dict[str, Artifact | Artifacts]) -> None:
    """Another model's answers to the same prompts, as many, and the data set's own, one each; a reward of every one."""
    prompts = {p.prompt_id: p for p in made["prompts"].rows("prompts", Prompt) if p.split == "train"}
    for answers, scores, each in (
        ("other_generations", "other_scores", SAMPLES),
        ("references", "reference_scores", 1),
    ):
        rows = made[answers].rows("generations", Generation)
        assert Counter(row.language for row in rows) == dict.fromkeys(LANGUAGES, each * TRAIN)
        assert {row.prompt_id for row in rows} == set(prompts)
        rewarded = made[scores].rows("scores", Score)
        assert sorted((s.language, s.prompt_id, s.sample) for s in rewarded) == sorted(
            (row.language, row.prompt_id, row.sample) for row in rows
        )
    own = {(p.prompt_id, p.language): p.reference for p in made["prompts"].rows("prompts", Prompt)}
    assert all(
        row.text == own[row.prompt_id, row.language] for row in made["references"].rows("generations", Generation)
    )


def test_arena(made: dict[str, Artifact | Artifacts]) -> None:
    """Both sides answer the held-out prompts, each pair is judged in both orders, and a result is the mean of the two."""
    questions = {(p.language, p.prompt_id) for p in made["arena_prompts"].rows("prompts", Prompt)}
    assert len(questions) == len(LANGUAGES) * HELDOUT
    for side in ("candidate", "opponent"):
        answers = made[f"arena_{side}"].rows("generations", Generation)
        assert {(row.language, row.prompt_id) for row in answers} == questions
    verdicts = made["arena_verdicts"].rows("verdicts", Verdict)
    assert Counter((v.language, v.prompt_id) for v in verdicts) == dict.fromkeys(questions, 2)
    won = defaultdict(list)
    for verdict in verdicts:
        won[verdict.language, verdict.prompt_id].append(WINS[verdict.winner])
    for result in made["arena"].rows("results", Result):
        if result.metric == "win":
            assert result.value == sum(won[result.language, result.prompt_id]) / 2
    assert {row[0] for row in made["arena"].summary["tables"][0]["rows"]} >= {*LANGUAGES, "macro"}


def test_euroeval(made: dict[str, Artifact | Artifacts]) -> None:
    """Every iteration of every data set, of base and tuned, as the tool's own rows have them."""
    assert made["euroeval_data"].summary == {"version": "18.3.0", "datasets": 3}
    rows = [row for row in made["euroeval"].rows("results", Result) if row.metric == "score"]
    names = {(language, name) for language, datasets in DATASETS.items() for name in datasets}
    for system in ("base", "tuned"):
        found = Counter((row.language, row.prompt_id) for row in rows if row.system == system)
        assert found == dict.fromkeys(names, ITERATIONS)
        file = made[f"euroeval_{system}"].path / "euroeval_benchmark_results.jsonl"  # type: ignore[union-attr]
        written = [json.loads(line) for line in file.read_text().splitlines() if line]
        raw = {
            detail["dataset"]: [one["mcc"] for one in json.loads(detail["raw_results"])]
            for detail in (row["eval_library"]["additional_details"] for row in written)
        }
        for name, scores in raw.items():
            own = [row.value for row in rows if row.system == system and row.prompt_id == name]
            assert own == pytest.approx([100 * score for score in scores]), name


def test_distance(made: dict[str, Artifact | Artifacts]) -> None:
    """A number per language, of the pairs' answers and of the policy's own."""
    rows = made["distance"].rows("results", Result)
    assert {row.language for row in rows} <= set(LANGUAGES)
    assert rows


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
