"""What the study measures before any training: how the reward ranks each language's answers, and what raw pooling pairs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from croco.artifacts.records import Generation, Pair, Prompt, Score
from croco.artifacts.store import Store
from croco.evals.comparing.stored import Run
from croco.maths import statistics
from croco.tiny.grader import grade
from croco.tiny.reward_model import GAP

Floats = NDArray[np.float64]
RESAMPLES = 2_000
CONFIDENCE = 0.95


def accuracy(run: Run, pivot: str = "en") -> dict[str, dict[str, Any]]:
    """Per language: how often, of two of a prompt's answers whose gold differs by more than GAP, the reward prefers the better.

    The mean over prompts with its interval, and its difference to the pivot's on the same prompts.
    """
    by_language = {language: _by_prompt(run, language) for language in run.configuration["lang.languages"]}
    english = by_language[pivot]
    found: dict[str, dict[str, Any]] = {}
    for language, of_prompts in by_language.items():
        interval = statistics.bootstrap_mean(np.array(list(of_prompts.values())), RESAMPLES, CONFIDENCE)
        found[language] = {"prompts": len(of_prompts), **_ends(interval)}
        shared = sorted(of_prompts.keys() & english.keys())
        if language != pivot:
            apart = np.array([of_prompts[p] - english[p] for p in shared])
            found[language]["to_english"] = _ends(statistics.bootstrap_mean(apart, RESAMPLES, CONFIDENCE))
    return found


def apart(with_parallel: Run, without: Run, pivot: str = "en") -> dict[str, dict[str, Any]]:
    """Per language the accuracy of two runs' rewards on the same answers, and the first less the second; `others` is the mean
    over the languages but the pivot, prompt by prompt."""
    languages = with_parallel.configuration["lang.languages"]
    told = {language: [_by_prompt(run, language) for run in (with_parallel, without)] for language in languages}
    found: dict[str, dict[str, Any]] = {}
    differences: dict[str, list[float]] = defaultdict(list)
    for language, (first, second) in told.items():
        apart = {prompt: first[prompt] - second[prompt] for prompt in first.keys() & second.keys()}
        interval = statistics.bootstrap_mean(
            np.array([apart[prompt] for prompt in sorted(apart)]), RESAMPLES, CONFIDENCE
        )
        found[language] = {
            "prompts": len(apart),
            "with": float(np.mean([first[prompt] for prompt in apart])),
            "without": float(np.mean([second[prompt] for prompt in apart])),
            **_ends(interval),
        }
        for prompt, value in apart.items() if language != pivot else ():
            differences[prompt].append(value)
    means = np.array([np.mean(differences[prompt]) for prompt in sorted(differences)])
    found["others"] = {"prompts": len(means), **_ends(statistics.bootstrap_mean(means, RESAMPLES, CONFIDENCE))}
    return found


def _ends(interval: statistics.Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def _by_prompt(run: Run, language: str) -> dict[str, float]:
    made = {stage: Store.open(run.report.root / run.lineage[f"{stage}/{language}"]) for stage in STAGES}
    meta = {p.prompt_id: json.loads(p.meta) for p in made["prompts"].rows("prompts", Prompt)}
    reward = {(s.prompt_id, s.sample): s.reward for s in made["scores"].rows("scores", Score)}
    answers: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in made["generations"].rows("generations", Generation):
        score = reward[row.prompt_id, row.sample]
        if score is not None:
            answers[row.prompt_id].append((grade(meta[row.prompt_id], language, row.text).quality, score))
    told = {prompt: _right(np.array(of_prompt)) for prompt, of_prompt in answers.items()}
    return {prompt: value for prompt, value in told.items() if value is not None}


STAGES = ("prompts", "generations", "scores")


def _right(answers: Floats) -> float | None:
    """Of (answers, 2) gold and reward: the share of told pairs in which both agree, ties half; None where none can be told."""
    gold, reward = (column[:, None] - column[None, :] for column in answers.T)
    told = gold > GAP
    if not told.any():
        return None
    return float(((reward > 0) + 0.5 * (reward == 0))[told].mean())


def contrast_of_languages(runs: Sequence[Run]) -> dict[str, Any]:
    """How far apart the languages of chosen and rejected answers are in a run's pairs: half the summed absolute difference of
    their shares (0: no language wins; 1: none is both), with its interval over prompts, the runs' pairs together; and how often a
    pair's languages differ."""
    by_prompt: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for run in runs:
        for pair in Store.open(run.report.root / run.lineage["pairs"]).rows("pairs", Pair):
            by_prompt[pair.prompt_id][pair.chosen_language, pair.rejected_language] += 1
    languages = sorted({language for counts in by_prompt.values() for both in counts for language in both})
    place = {language: number for number, language in enumerate(languages)}
    tables = np.zeros((len(by_prompt), 2, len(languages)))
    different = np.zeros((len(by_prompt), 2))
    for number, counts in enumerate(by_prompt.values()):
        for (chosen, rejected), count in counts.items():
            tables[number, 0, place[chosen]] += count
            tables[number, 1, place[rejected]] += count
            different[number] += count * (chosen != rejected), count
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(tables), np.full(len(tables), 1 / len(tables)), size=RESAMPLES)
    drawn = _distance(np.einsum("rp,psl->rsl", weights, tables))
    low, high = np.quantile(drawn, [0.025, 0.975])
    shares = tables.sum(axis=0) / tables.sum(axis=(0, 2))[:, None]
    return {
        "distance": float(_distance(tables.sum(axis=0)[None])[0]),
        "low": float(low),
        "high": float(high),
        "different": float(different[:, 0].sum() / different[:, 1].sum()),
        "chosen": dict(zip(languages, map(float, shares[0]), strict=True)),
        "rejected": dict(zip(languages, map(float, shares[1]), strict=True)),
    }


def _distance(counts: Floats) -> Floats:
    """(n,) total variation between the two rows of (n, 2, languages) counts."""
    shares = counts / counts.sum(axis=2, keepdims=True)
    total: Floats = np.abs(shares[:, 0] - shares[:, 1]).sum(axis=1) / 2
    return total
