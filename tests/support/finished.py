"""A finished run on disk in two languages, made by hand: rows that are few, artifacts and lineage as the stages leave them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Generation, Pair, Prompt, Result, Score
from croco.artifacts.store import Artifact, Artifacts, Store

LANGUAGES = ("en", "da")
RUN = {
    "seed": 7,
    "source": {"kind": "on_policy"},
    "lang": {"languages": list(LANGUAGES)},
    "model": {"path": "policy", "revision": None},
    "method": {"name": "dpo"},
}


def _sealed(artifact: Artifact, table: str, rows: list[Any], **summary: Any) -> Artifact:
    artifact.write_table(table, records.schema(type(rows[0])), [dataclasses.asdict(row) for row in rows])
    artifact.seal({"rows": len(rows), **summary}, 1.5)
    return artifact


def finish(root: Path, seed: int = 7) -> Artifact:
    """Two answers to one prompt per language, the better one (reward 2 against 1) chosen; returns the report. Runs of other
    seeds share all but training and what comes after it."""
    store = Store(root, {"run": {**RUN, "seed": seed}, "seed": seed})
    prompts, generations, scores = {}, {}, {}
    for lang in LANGUAGES:
        config = {"language": lang, "model": "sha256:0123456789abcdef"}
        prompts[lang] = store.artifact("prompts", 1, {"language": lang}, words=f"hand-{lang}")
        _sealed(prompts[lang], "prompts", [Prompt("p", lang, [{"role": "user", "content": "?"}], "train")])
        before = {"prompts": prompts[lang]}
        generations[lang] = store.artifact("generations", 1, config, before)
        answers = [Generation("p", lang, n, f"{lang} {n}", [n, 1], "stop", 3, 4 + n, 0, "m", "") for n in (0, 1)]
        _sealed(generations[lang], "generations", answers)
        scores[lang] = store.artifact("scores", 1, config, {**before, "generations": generations[lang]})
        _sealed(scores[lang], "scores", [Score("p", lang, n, 1.0 + n, 4 + n, "stop", "r") for n in (0, 1)])
    made: dict[str, Artifact | Artifacts] = {
        "prompts": Artifacts(prompts),
        "generations": Artifacts(generations),
        "scores": Artifacts(scores),
    }
    pairs = made["pairs"] = store.artifact("pairs", 1, {}, made)
    met = {one: {other: int(one == other) for other in LANGUAGES} for one in LANGUAGES}
    report = {"languages": {"of_prompts": dict.fromkeys(LANGUAGES, 1), "chosen_by_rejected": met}}
    _sealed(pairs, "pairs", [_pair(lang) for lang in LANGUAGES], report=report)
    training = made["training"] = store.artifact("training", 1, {"seed": seed}, {"pairs": pairs})
    (training.path / "adapter").mkdir(parents=True)
    (training.path / "adapter" / "adapter_config.json").write_text(f'{{"seed": {seed}}}')
    training.seal({"steps": 1}, 60.0)
    quality = made["quality"] = store.artifact("quality", 1, {}, {"training": training})
    results = [
        Result("quality", system, "p", lang, 0, "quality", value)
        for lang in LANGUAGES
        for system, value in (("base", 0.25), ("tuned", 0.75))
    ]
    _sealed(quality, "results", results, headline="Better.")
    found = store.artifact("report", 1, {}, made, words="hand")
    found.path.mkdir(parents=True)
    folders = {
        name if isinstance(one, Artifact) else f"{name}/{lang}": f"{a.stage}/{a.path.name}"
        for name, one in made.items()
        for lang, a in ({"": one} if isinstance(one, Artifact) else one.by_language).items()
    }
    (found.path / "lineage.json").write_text(json.dumps(folders))
    found.seal({"metric": 0.5, "warnings": [], "evaluated": {"quality": "Better."}, "changes": []}, 0.1)
    return found


def _pair(lang: str) -> Pair:
    prompt, chosen, rejected = ([{"role": "user", "content": text}] for text in ("?", f"{lang} 1", f"{lang} 0"))
    pool = {"pool_size": 2, "pool_min": 1.0, "pool_mean": 1.5, "pool_std": 0.5}
    return Pair("p", lang, prompt, chosen, rejected, 2.0, 1.0, lang, lang, 1, 0, 5, 4, **pool)
