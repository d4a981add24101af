"""Is the reward model of use in each language? Rewards of answers that are known to be better or worse, and what they rank.

It is made from the stage of the scores, whose slice of the configuration says what rewards are.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path, PurePath
from typing import Any

from croco.artifacts import records
from croco.artifacts.addresses import canonical
from croco.artifacts.records import Prompt, Result
from croco.config import Config, RewardConfig, RewardRankingConfig
from croco.config.scorers import measures, to_train, trained_part
from croco.config.worlds import reads_reward
from croco.errors import UserError
from croco.evals.comparing import paired
from croco.evals.ranking import accuracy as ranking
from croco.evals.ranking import measures as measures_
from croco.models.checkpoints import identity
from croco.prompts import of_hub, preferences, rows
from croco.prompts.preferences import Preference
from croco.rewards import factory
from croco.show.tables import Table
from croco.stages.base import Job, Stage

Key = tuple[str, str, str]
ROWS_PER_CALL = 2048  # scored together, then written


def stage(scores: Stage) -> Stage:
    """The stage, next to that of the scores."""

    def config(given: Config) -> dict[str, Any]:
        return {**scores.config(given), "reward_ranking": _slice(given)}

    return Stage(
        name="reward_ranking",
        needs=("prompts",),
        config=config,
        run=run,
        version=3,
        accept=accept,
        narrows=narrows,
        wanted=lambda given: settings_of(given) is not None,
        also=lambda given: ("preferences", "reward_model") if trained_part(given.reward) is not None else (),
    )


def settings_of(config: Config) -> RewardRankingConfig | None:
    """What the evaluation says, or else the reward itself; None where nothing is scored by it."""
    return (config.evals.reward_ranking or measures(config.reward)) if reads_reward(config) else None


def below(config: Config, summary: dict[str, Any]) -> dict[str, str]:
    """Language of the run -> why the reward is not shown to be good enough there."""
    least = config.reward.least_accuracy
    wanted = least if isinstance(least, dict) else dict.fromkeys(config.lang.languages, least)
    found = {}
    for language in config.lang.languages:
        share, shown = wanted.get(language), summary["shown"].get(language)
        if share is None:
            continue
        if shown is None:
            found[language] = "nothing measures it there"
        elif not shown["low"] >= share:
            found[language] = f"{shown['measure']} accuracy {shown['accuracy']:.3f}, shown to be {shown['low']:.3f}"
    return found


def accept(config: Config, summary: dict[str, Any]) -> None:
    """Raises UserError where the reward falls short and the run is to stop, or no language is left."""
    found = below(config, summary)
    if found and (config.reward.below == "stop" or len(found) == len(config.lang.languages)):
        told = "; ".join(f"{language}: {reason}" for language, reason in found.items())
        raise UserError(
            f"reward.least_accuracy={config.reward.least_accuracy}: not shown by the reward ({told}); another reward, more "
            "measured pairs, or reward.below=leave_out to go on without"
        )


def narrows(config: Config, summary: dict[str, Any]) -> Config:
    """Without the languages in which the reward falls short."""
    found = below(config, summary)
    left = [language for language in config.lang.languages if language not in found]
    return replace(config, lang=replace(config.lang, languages=left)) if found else config


def _slice(config: Config) -> dict[str, Any]:
    """With the content of local files in place of their path."""
    given = settings_of(config)
    assert given is not None, "stages are asked whether they are wanted"
    settings = records.as_dict(given)
    if given.path is not None and Path(given.path).exists():
        settings["path"] = list(rows.digests(Path(given.path), preferences.KEY).values())
    other = {} if given.beside is None else {"beside": identity(given.beside, None)}
    settings.pop("beside")
    return {**settings, **other, "languages": list(config.lang.languages)}


def run(job: Job) -> dict[str, Any]:
    """Fill `results` with whether each preference is ranked right; the summary has accuracies per language."""
    config = settings_of(job.config)
    assert config is not None, "stages are asked whether they are wanted"
    items = _items(job)
    languages = list(dict.fromkeys([*job.config.lang.languages, *(item.answered.language for item in items)]))
    rewards = _score(job, items, ranking.SYSTEM, job.reward)
    rows, others = list(ranking.results(items, rewards)), []
    if config.beside is not None:
        found = ranking.results(items, _score(job, items, ranking.BESIDE, _classifier(job.reward, config.beside)))
        others = [replace(row, system=ranking.BESIDE) for row in found]
    job.output.write_table("results", records.schema(Result), map(records.as_dict, [*rows, *others]))
    settings = paired.Settings(config.resamples, config.confidence)
    by_metric = {m: ranking.accuracy(rows, m, languages, settings) for m in (ranking.PREFERENCE, ranking.CORRUPTION)}
    tables = [table for table in by_metric.values() if table is not None]
    if (table := ranking.beside(rows, others, languages, settings, PurePath(str(config.beside)).name)) is not None:
        tables.append(table)
    parallel = ranking.against_pivot(rows, languages, config.pivot, settings)
    compared = measures_.compared(items, rewards, languages)
    more = [measures_.by_length(compared, settings), measures_.by_margin(compared)]
    more += [measures_.by_said_margin(compared, settings), parallel]
    for language, reason in below(job.config, {"shown": _shown(by_metric, compared, settings)}).items():
        job.progress.say(f"{job.label}: {language}: {reason}")
    macro = {metric: table.rows[-1][2] for metric, table in by_metric.items() if table is not None}
    return {
        "rows": len(rows),
        "headline": f"Reward model: {', '.join(f'{m} accuracy {v:.3f}' for m, v in macro.items())}.",
        "metric": next(iter(macro.values()), None),
        "shown": _shown(by_metric, compared, settings),
        "tables": [asdict(table) for table in [*tables, *(table for table in more if table is not None)]],
    }


def _shown(
    by_metric: dict[str, Table | None], compared: dict[str, measures_.Compared], settings: paired.Settings
) -> dict[str, dict[str, Any]]:
    """Per language what is known best: preferences balanced over length, preferences, or corrupted answers."""
    shown: dict[str, dict[str, Any]] = {}
    for metric in (ranking.CORRUPTION, ranking.PREFERENCE):
        table = by_metric[metric]
        for language, _, mean, low, *_ in table.rows if table is not None else ():
            if language != paired.MACRO:
                shown[language] = {"measure": metric, "accuracy": mean, "low": low}
    for language, one in compared.items():
        balanced = one.balanced(settings)
        if balanced is not None:
            measure = f"{ranking.PREFERENCE}, balanced over length,"
            shown[language] = {"measure": measure, "accuracy": balanced.mean, "low": balanced.low}
    return shown


def _items(job: Job) -> list[ranking.Item]:
    config = settings_of(job.config)
    assert config is not None
    heldout = [p for p in job.inputs["prompts"].rows("prompts", Prompt) if p.split == "heldout"]
    items = list(ranking.of_prompts(heldout, config.seed))
    if config.path is not None:
        asked = of_hub.Asked(config.path, None, config.hub_split, config.revision)
        read = preferences.read(asked, job.config.lang.languages, config.limit)
        items = [*ranking.of_preferences(read), *items]
    if "preferences" in job.inputs:
        items = [*ranking.of_preferences(_heldout(job, {item.key[:2] for item in items})), *items]
    if not items:
        raise UserError(
            "evals.reward_ranking.path: no held-out prompt has an answer of its own (a `reference` column), so "
            "name preference data"
        )
    return items


def _heldout(job: Job, taken: set[tuple[str, str]]) -> list[Preference]:
    """The preferences that were kept from training, in the languages of the run and of the training; no ties.

    Args:
        taken: (language, id) of other comparisons.
    """
    _, training = to_train(job.config.reward)
    languages = {*job.config.lang.languages, *training.languages}
    found = []
    for p in job.single("preferences").rows("preferences", Preference):
        if p.split == "heldout" and p.language in languages and not p.tied:
            key = p.pair_id
            while (p.language, key) in taken:
                key = f"{p.source}/{key}"
            taken.add((p.language, key))
            found.append(replace(p, pair_id=key))
    return found


def _classifier(reward: RewardConfig, path: str) -> RewardConfig:
    """Another sequence classifier, read as the run's own reward is."""
    bare: dict[str, Any] = {
        "function": None,
        "options": {},
        "base": None,
        "preferences": None,
        "training": None,
        "members": 1,
    }
    return replace(reward, kind="sequence_classification", path=path, revision=None, **bare)


def _score(job: Job, items: list[ranking.Item], system: str, reward: RewardConfig) -> dict[Key, float | None]:
    """Rewards of all items, of which the journal may hold some."""
    engine = job.config.engine

    def journalled() -> dict[Key, float | None]:
        rows = (row for _, _, row in job.output.journalled() if row["system"] == system)
        return {(r["language"], r["prompt_id"], r["category"]): r["value"] for r in rows}

    done = journalled()
    missing = [item for item in items if item.key not in done]
    if not missing:
        return done
    scorer = job.engines.get(
        ("scorer", canonical(factory.depends_on(engine, reward))), lambda: factory.scorer(engine, reward)
    )
    journal = job.output.journal()
    try:
        with job.progress.task(job.label, len(items), "answers", done=len(items) - len(missing)) as task:
            for start in range(0, len(missing), ROWS_PER_CALL):
                group = missing[start : start + ROWS_PER_CALL]
                values = scorer.score([item.answered for item in group])
                journal.append(
                    Result(ranking.NAME, system, i.prompt_id, i.answered.language, 0, ranking.REWARD, value, i.kind)
                    for i, value in zip(group, values, strict=True)
                )
                task.advance(len(group))
    finally:
        journal.close()
    return journalled()
