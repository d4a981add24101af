"""How a reward model ranks answers in each language: accuracy, agreement with its ranking in a pivot language, and offset.

Accuracy is the share of pairs whose better answer gets the higher reward, ties one half (RewardBench, arXiv 2403.13787). Rank
correlation and offset compare the rewards of the same answers in a language and in the pivot: a reward model that is of use in
a language ranks them alike; an offset does not harm pairs within a language, and decides pairs across languages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from croco.artifacts.records import Prompt, Result
from croco.engines.base import Answered
from croco.evals.comparing import paired
from croco.evals.ranking import corruption
from croco.maths import statistics
from croco.prompts.preferences import Preference
from croco.show.tables import Table

NAME, SYSTEM, BESIDE = "reward_ranking", "reward", "beside"
REWARD, PREFERENCE, CORRUPTION = "reward", "preference", "corruption"
CHOSEN, REJECTED, REFERENCE = "chosen", "rejected", "reference"


@dataclass(frozen=True, slots=True)
class Item:
    """An answer to score."""

    prompt_id: str
    kind: str
    """`chosen` or `rejected` of a comparison; `reference` or one of corruption.KINDS."""
    answered: Answered
    subset: str = ""
    margin: float | None = None
    """Of a comparison, how much better its chosen answer is in the data's own measure."""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.answered.language, self.prompt_id, self.kind


def of_preferences(preferences: Sequence[Preference]) -> Iterator[Item]:
    """Both answers of every comparison."""
    for p in preferences:
        for kind, answer in ((CHOSEN, p.chosen), (REJECTED, p.rejected)):
            yield Item(p.pair_id, kind, Answered(p.messages, answer, p.language, "{}"), p.subset, p.margin)


def of_prompts(prompts: Sequence[Prompt], seed: int) -> Iterator[Item]:
    """The prompts' own answers, and what corrupts them."""
    answers: dict[str, dict[str, str]] = {}
    for p in prompts:
        if p.reference is not None and p.reference.strip():
            answers.setdefault(p.prompt_id, {})[p.language] = p.reference
    for p in prompts:
        own = answers.get(p.prompt_id, {}).get(p.language)
        if own is None:
            continue
        others = {lang: text for lang, text in answers[p.prompt_id].items() if lang != p.language}
        made = corruption.corrupt(own, others, f"{p.language}/{p.prompt_id}", seed)
        for kind, answer in ((REFERENCE, own), *made.items()):
            yield Item(p.prompt_id, kind, Answered(p.messages, answer, p.language, p.meta))


def results(items: Sequence[Item], rewards: Mapping[tuple[str, str, str], float | None]) -> Iterator[Result]:
    """Every reward, then every pair: 1 where the better answer's reward is higher, 1/2 for a tie, None where one failed."""
    for item in items:
        language, prompt, kind = item.key
        yield Result(NAME, SYSTEM, prompt, language, 0, REWARD, rewards[item.key], kind)
    for item in items:
        language, prompt, kind = item.key
        if kind in (CHOSEN, REFERENCE):
            continue
        metric, better, category = (
            (PREFERENCE, CHOSEN, item.subset) if kind == REJECTED else (CORRUPTION, REFERENCE, kind)
        )
        first, second = rewards[language, prompt, better], rewards[item.key]
        value = None if first is None or second is None else float(first > second) + 0.5 * float(first == second)
        sample = 0 if kind == REJECTED else corruption.KINDS.index(kind)
        yield Result(NAME, SYSTEM, prompt, language, sample, metric, value, category)


def accuracy(rows: Sequence[Result], metric: str, languages: Sequence[str], settings: paired.Settings) -> Table | None:
    """Per language and macro, intervals over prompts (jointly over languages); None where there is no such pair."""
    values = {lang: _by_prompt([r for r in rows if r.metric == metric and r.language == lang]) for lang in languages}
    values = {lang: by_prompt for lang, by_prompt in values.items() if by_prompt}
    if not values:
        return None
    categories = sorted({row.category for row in rows if row.metric == metric and row.category})
    lines: list[list[Any]] = []
    for lang, by_prompt in values.items():
        interval = statistics.bootstrap_mean(
            np.array(list(by_prompt.values())), settings.resamples, settings.confidence
        )
        shares = [_mean(r for r in rows if (r.metric, r.language, r.category) == (metric, lang, c)) for c in categories]
        lines.append([lang, len(by_prompt), interval.mean, interval.low, interval.high, *shares])
    prompts = sorted(set().union(*values.values()))
    table = np.array([[by_prompt.get(prompt, np.nan) for prompt in prompts] for by_prompt in values.values()])
    macro = statistics.bootstrap_macro(table, settings.resamples, settings.confidence)
    shares = [_average([line[5 + i] for line in lines]) for i in range(len(categories))]
    lines.append([paired.MACRO, len(prompts), macro.mean, macro.low, macro.high, *shares])
    failed = sum(row.metric == metric and row.value is None for row in rows)
    note = f"Share of pairs ranked rightly, ties one half, with its {settings.confidence:.0%} interval over prompts."
    note += f" {failed} pairs left out: an answer got no reward." if failed else ""
    return Table(
        f"Reward model: {metric} accuracy", ["language", "prompts", "accuracy", "low", "high", *categories], lines, note
    )


def beside(
    own: Sequence[Result], other: Sequence[Result], languages: Sequence[str], settings: paired.Settings, name: str
) -> Table | None:
    """Accuracies on the same pairs, of another reward model and of this one; None where they have no pair in common.

    Args:
        name: of the other one, for the title.
    """
    lines: list[list[Any]] = []
    for metric in (PREFERENCE, CORRUPTION):
        first, second = (
            {lang: _by_prompt([r for r in rows if (r.metric, r.language) == (metric, lang)]) for lang in languages}
            for rows in (other, own)
        )
        shared = [lang for lang in languages if first[lang].keys() & second[lang].keys()]
        for e in paired.effects(first, second, shared, settings) if shared else ():
            lines.append([metric, e.language, e.prompts, e.first, e.second, e.difference, e.low, e.high, e.p])
    columns = ["measure", "language", "prompts", "the other", "this one", "difference", "low", "high", "p"]
    note = f"Difference with its {settings.confidence:.0%} interval over prompts; p Holm-adjusted over a measure's languages."
    return Table(f"Reward model: beside {name}", columns, lines, note) if lines else None


def against_pivot(
    rows: Sequence[Result], languages: Sequence[str], pivot: str, settings: paired.Settings
) -> Table | None:
    """Rank correlation and offset of the rewards of parallel answers; None where no language has one in common with the pivot."""
    rewards: dict[str, dict[tuple[str, str], float]] = {}
    for row in rows:
        if row.metric == REWARD and row.value is not None and row.category != "other_language":
            rewards.setdefault(row.language, {})[row.prompt_id, row.category] = row.value
    lines: list[list[Any]] = []
    for lang in languages:
        shared = sorted(rewards.get(lang, {}).keys() & rewards.get(pivot, {}).keys())
        if lang == pivot or not shared:
            continue
        own, other = (np.array([rewards[name][key] for key in shared]) for name in (lang, pivot))
        varied = len(set(own.tolist())) > 1 and len(set(other.tolist())) > 1  # else a rank correlation is not defined
        spearman = float(stats.spearmanr(own, other).statistic) if varied else None
        kendall = float(stats.kendalltau(own, other).statistic) if varied else None
        by_prompt: dict[str, list[float]] = {}
        for (prompt, _), difference in zip(shared, own - other, strict=True):
            by_prompt.setdefault(prompt, []).append(difference)
        means = np.array([np.mean(differences) for differences in by_prompt.values()])
        offset = statistics.bootstrap_mean(means, settings.resamples, settings.confidence)
        spread = float(other.std()) or None
        in_sd = offset.mean / spread if spread is not None else None
        lines.append([lang, len(shared), spearman, kendall, offset.mean, offset.low, offset.high, in_sd])
    if not lines:
        return None
    columns = ["language", "answers", "Spearman", "Kendall", "offset", "low", "high", "offset / sd"]
    note = (
        f"The same answers in a language and in {pivot}. Offset: reward minus that in {pivot}, with its "
        f"{settings.confidence:.0%} interval over prompts; sd: of the rewards in {pivot}."
    )
    return Table(f"Reward model: parallel answers, against {pivot}", columns, lines, note)


def _by_prompt(rows: Sequence[Result]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for row in rows:
        if row.value is not None:
            values.setdefault(row.prompt_id, []).append(row.value)
    return {prompt: float(np.mean(several)) for prompt, several in sorted(values.items())}


def _mean(rows: Iterator[Result]) -> float | None:
    return _average([row.value for row in rows])


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
