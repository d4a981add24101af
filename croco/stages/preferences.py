"""Preferences as they will be trained on and measured with: read, seen to be usable, split by prompt."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Message
from croco.config import Config, RewardConfig, RewardTrainingConfig
from croco.config.scorers import TINY, PreferencesConfig, preferences_of, to_train, trained_part
from croco.errors import UserError
from croco.language import fidelity
from croco.models import commits
from croco.pairing.choose import draw
from croco.prompts import of_hub, preferences, rows
from croco.prompts.preferences import Preference
from croco.stages.base import Job, Stage

KEY = "reward.preferences"
OF_TINY = {"train": 6400, "heldout": 800}
"""Preferences of the embedded world: half as many as its shipped reward model was trained on, which rank English as well."""
LOOKED_AT = 400  # prompts of a source whose language is identified
FOREIGN = 0.5  # share of those that can be told, in another language than said, that is taken for a mistake


def slice_of(config: Config) -> dict[str, Any]:
    """With the content of local files in place of their path."""
    part, training = to_train(config.reward)
    sources = []
    for source in _sources(part):
        settings = records.as_dict(source)
        if source.name is None:
            del settings["name"]  # as it was before there was one
        if source.path == TINY:
            settings["rows"] = OF_TINY
        if Path(source.path).exists():
            settings["path"] = list(rows.digests(Path(source.path), KEY).values())
        sources.append(settings)
    return {
        "sources": sources,
        "languages": list(training.languages),
        "heldout": training.heldout,
        "seed": training.seed,
    }


def _sources(part: RewardConfig) -> list[PreferencesConfig]:
    """Those on the hub by their commit."""
    return [commits.pinned(source) for source in preferences_of(part)]


def run(job: Job) -> dict[str, Any]:
    """Fill `preferences`; what is left out is counted by reason, and a source that is not what it is said to be is refused."""
    part, training = to_train(job.config.reward)
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    found: dict[tuple[str, str, str, str], Preference] = {}
    for source in _sources(part):
        for preference in _of_source(source, training, counts, first):
            key = (preference.language, _said(preference.messages), preference.chosen, preference.rejected)
            if key in found:
                counts["duplicate"] += 1
            found.setdefault(key, preference)
    rows = sorted(found.values(), key=lambda p: (p.language, p.source, p.pair_id))
    by_split = Counter((p.split, p.language) for p in rows)
    train = sum(count for (split, _), count in by_split.items() if split == "train")
    if train == 0:
        others = ", ".join(f"{count:,} in '{language}'" for (_, language), count in sorted(by_split.items()))
        told = ", ".join(filter(None, (others, _told(counts, first)))) or "no rows"
        raise UserError(
            f"{KEY}: nothing is left to train on in {', '.join(training.languages)} ({told}); "
            "reward.training.languages says which languages are trained on"
        )
    job.output.write_table("preferences", records.schema(Preference), map(records.as_dict, rows))
    if counts:
        job.progress.say(f"{job.label}: {_told(counts, first)}")
    return {
        "rows": len(rows),
        "train": train,
        "heldout": {language: count for (split, language), count in sorted(by_split.items()) if split == "heldout"},
        "left_out": dict(counts),
        "longer_chosen": _longer(rows),
    }


def _of_source(
    source: PreferencesConfig, training: RewardTrainingConfig, counts: Counter[str], first: dict[str, str]
) -> Iterator[Preference]:
    """Usable rows with their split and weight; `first` is where each reason to leave one out is met first."""
    if source.path == TINY:
        yield from (dataclasses.replace(p, weight=source.weight) for p in _tiny(training.seed))
        return
    rows = []
    asked = of_hub.Asked(source.path, source.name, source.hub_split, source.revision)
    for place, preference in preferences.each(asked, training.languages, source.language, KEY, counts):
        reason = _unusable(preference)
        if reason is not None:
            counts[reason] += 1
            first.setdefault(reason, place)
            continue
        rows.append((place, preference))
    _check_languages(source, rows, counts)
    rows.sort(key=lambda row: draw(training.seed, "limit", _said(row[1].messages), row[1].chosen))
    for _, p in rows[: source.limit]:
        split = "train" if p.language in training.languages else "heldout"
        if draw(training.seed, "preferences", _said(p.messages)) < training.heldout:
            split = "heldout"
        yield dataclasses.replace(p, split=split, weight=source.weight)


def _unusable(p: Preference) -> str | None:
    """Why a preference teaches nothing."""
    if not p.messages[-1]["content"].strip():
        return "empty prompt"
    if not p.chosen.strip() or not p.rejected.strip():
        return "empty side"
    if p.chosen.strip() == p.rejected.strip():
        return "equal sides"
    return None


def _check_languages(source: PreferencesConfig, rows: list[tuple[str, Preference]], counts: Counter[str]) -> None:
    """Count prompts in another language than is said; refuse a source in which most are."""
    by_language: dict[str, list[tuple[str, Preference]]] = {}
    for place, preference in rows:
        by_language.setdefault(preference.language, []).append((place, preference))
    for language, some in by_language.items():
        if language not in fidelity.known_languages():
            counts[f"language '{language}' unknown"] += len(some)
            continue
        seen = some[:: max(1, len(some) // LOOKED_AT)][:LOOKED_AT]
        told = [(place, fidelity.matches(language, p.messages[-1]["content"])) for place, p in seen]
        other = [place for place, match in told if match is False]
        known = sum(match is not None for _, match in told)
        if len(other) > FOREIGN * known:
            raise UserError(
                f"{other[0]}: not in '{language}', and so are {len(other)} of {known} prompts that were looked at: "
                f"{KEY} wants a `language` column, or language= of the source ({source.path})"
            )
        if other:
            counts[f"prompt in another language than {language} (kept)"] += len(other)


def _tiny(seed: int) -> Iterator[Preference]:
    from croco.tiny import reward_model

    for split, count in OF_TINY.items():
        drawn = itertools.islice(reward_model.preferences(seed + (split == "heldout"), split), count)
        for number, (prompt, better, worse) in enumerate(drawn):
            messages = [{"role": "user", "content": prompt}]
            yield Preference(f"{split}-{number:05}", "en", messages, better, worse, "", source=TINY, split=split)


def _said(messages: list[Message]) -> str:
    return records.canonical_messages(messages)


def _longer(rows: list[Preference]) -> float | None:
    """Share of the preferences whose chosen answer is the longer one, in characters, among those of unequal lengths."""
    unequal = [len(p.chosen) > len(p.rejected) for p in rows if len(p.chosen) != len(p.rejected) and not p.tied]
    return round(sum(unequal) / len(unequal), 4) if unequal else None


def _told(counts: Counter[str], first: Mapping[str, str]) -> str:
    where = {reason: f" (first {place})" for reason, place in first.items()}
    return ", ".join(f"{count:,} {reason}{where.get(reason, '')}" for reason, count in sorted(counts.items()))


STAGE = Stage(
    name="preferences",
    needs=(),
    config=slice_of,
    run=run,
    version=1,
    wanted=lambda config: trained_part(config.reward) is not None,
)
