"""A reward model that a run has trained, for others: its checkpoint with a card made from the sealed artifacts.

The folder loads with transformers' AutoModelForSequenceClassification, and so in TRL and vLLM; the members of an ensemble lie in
folders of their own, `model-0` and so on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from croco.artifacts import files, store
from croco.errors import UserError
from croco.exchange.folders import fenced, link, local, made_by
from croco.show import tables
from croco.show.tables import Table

STAGE, RANKING = "reward_model", "reward_ranking"
LIMITS = """What is above is what was measured; no other language or kind of text was. A reward model ranks what it was trained to
rank: answers that are written to please it may do so without being better. It inherits the limits and the licence of its base; it
was not tested for safety. Trained on one seed where nothing else is said."""
TRAINING = (
    "tune",
    "loss",
    "learning_rate",
    "head_learning_rate",
    "batch_size",
    "epochs",
    "languages",
    "heldout",
    "seed",
)


def is_one(folder: Path) -> bool:
    """Whether a folder is a finished artifact of a reward model's training."""
    return (folder / "manifest.json").is_file() and store.Store.open(folder).stage == STAGE


def write(artifact: store.Artifact, target: Path, ranking: store.Artifact | None = None, linked: bool = False) -> Path:
    """Lay the checkpoints and their card into a folder, which appears when it is whole.

    Args:
        ranking: how it ranks; where None is given, what lies in the store of this model.
        linked: where the files may be the artifact's own, under a second name.

    Raises:
        UserError: the artifact holds no reward model, or the folder exists.
    """
    models = artifact.summary.get("models", ()) if artifact.stage == STAGE else ()
    if not models:
        raise UserError(f"{artifact.path}: no reward model there; it lies in an artifact of `{STAGE}`")
    if target.exists():
        raise UserError(f"{target}: exists already; name another folder, or remove it")
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    for name in models:
        inside = temporary if len(models) == 1 else temporary / name
        shutil.copytree(artifact.path / name, inside, copy_function=link if linked else shutil.copy2)
    files.write_atomically(temporary / "README.md", str(card(artifact, ranking or _ranking(artifact))))
    temporary.rename(target)
    return target


def card(artifact: store.Artifact, ranking: store.Artifact | None) -> ModelCard:
    """Metadata the hub reads, data, what was measured per language, settings, limits."""
    summary, given = artifact.summary, _settings(artifact)
    base = str(given["base"])
    name, here = Path(base).name, local(base)
    results = list(_results(ranking)) if ranking is not None else []
    sources = list(_sources(given))
    data = ModelCardData(
        base_model=None if here else base,
        license=licence_of(base, given.get("revision")),
        library_name="transformers",
        language=list(ranking.summary["shown"]) if ranking is not None else list(given["training"]["languages"]),
        tags=["croco", "reward-model", "bradley-terry"],
        pipeline_tag="text-classification",
        datasets=[source["path"] for source in sources if not local(source["path"])] or None,
        metrics=["accuracy"] if results else None,
        model_name=f"{name}-reward",
        eval_results=results or None,
    )
    members = len(summary["models"])
    measured = [Table(**table) for table in ranking.summary["tables"]] if ranking is not None else []
    lines = [
        f"# {name}, a reward model",
        f"A sequence classifier with one label on `{name if here else base}`"
        + (" (a local checkpoint)" if here else "")
        + ": "
        "its logit is the reward of the conversation that ends with an answer, in the chat template that lies here. "
        f"{summary['rows']:,} preferences, {summary['steps']:,} steps"
        + (f", {members} members of seeds of their own (`{'`, `'.join(summary['models'])}`)" if members > 1 else "")
        + f". Licence: {data.license or 'that of its base, which does not state it here'}.",
        "## Data",
        tables.markdown(_data(sources, _preferences(artifact))),
        "## How it ranks",
        *([tables.plain_markdown(ranking.summary["headline"])] if ranking is not None else ["Nothing was measured."]),
        *map(tables.markdown, measured),
        "## Settings",
        fenced(yaml.safe_dump(_training(given), sort_keys=False, allow_unicode=True)),
        "## Limits",
        LIMITS,
        made_by(artifact),
    ]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(lines) + "\n")


def licence_of(base: str, revision: str | None) -> str | None:
    """What the base's own card states, of a folder or of what the hub's cache has; None where it states nothing."""
    from huggingface_hub import try_to_load_from_cache

    if local(base):
        found: Any = Path(base) / "README.md"
    else:
        found = try_to_load_from_cache(base, "README.md", revision=revision)
    try:
        return (
            ModelCard.load(found, ignore_metadata_errors=True).data.license if isinstance(found, str | Path) else None
        )
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _settings(artifact: store.Artifact) -> dict[str, Any]:
    """The part of the run's reward that was trained, as the run said it."""
    found = _trained(artifact.manifest.get("run", {}).get("reward"))
    if found is None:
        raise UserError(f"{artifact.path}: its manifest does not say how it was trained")
    return found


def _trained(reward: Any) -> dict[str, Any] | None:
    if not isinstance(reward, Mapping):
        return None
    if reward.get("kind") == "trained":
        return dict(reward)
    parts = (reward.get("options") or {}).get("parts") or {}
    return next((found for part in parts.values() if (found := _trained(part)) is not None), None)


def _sources(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each with its path; a folder or file of one machine by its last name."""
    listed = given["preferences"]
    for one in listed if isinstance(listed, list) else [listed]:
        source = {"path": one} if isinstance(one, str) else dict(one)
        yield source | ({"path": Path(str(source["path"])).name} if local(str(source["path"])) else {})


def _data(sources: list[dict[str, Any]], preferences: store.Artifact | None) -> Table:
    rows: list[tuple[str, Any]] = [
        ("preferences from", ", ".join(_source(source) for source in sources)),
    ]
    if preferences is not None:
        said = preferences.summary
        heldout = ", ".join(f"{language} {count:,}" for language, count in said["heldout"].items())
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in said["left_out"].items())
        rows += [
            ("trained on", said["train"]),
            ("kept to measure", heldout or "none"),
            ("left out", left_out or "none"),
            ("share whose chosen answer is the longer", said["longer_chosen"]),
        ]
    return Table("Data", ("figure", "value"), rows)


def _source(source: Mapping[str, Any]) -> str:
    told = [f"{key} {source[key]}" for key in ("language", "weight", "revision") if source.get(key) is not None]
    return str(source["path"]) + (f" ({', '.join(told)})" if told else "")


def _training(given: Mapping[str, Any]) -> dict[str, Any]:
    training = given["training"]
    own = {name: training[name] for name in TRAINING if name in training}
    if training.get("tune") == "lora":
        own["lora"] = training["lora"]
    return {"max_length": given["max_length"], "dtype": given["dtype"], "members": given["members"], "training": own}


def _results(ranking: store.Artifact) -> Iterator[EvalResult]:
    """What is known best of each language, in the hub's own terms."""
    for language, shown in ranking.summary["shown"].items():
        yield EvalResult(
            task_type="text-classification",
            dataset_type="croco-heldout",
            dataset_name=f"{shown['measure'].rstrip(',')} ({language})",
            dataset_config=language,
            metric_type="accuracy",
            metric_name=f"accuracy, {shown['measure'].rstrip(',')}, shown to be at least {shown['low']:.3f}",
            metric_value=shown["accuracy"],
        )


def _ranking(artifact: store.Artifact) -> store.Artifact | None:
    """The newest evaluation of this model in its store."""
    every = (store.Store.open(file.parent) for file in (artifact.root / RANKING).glob("*/manifest.json"))
    own = [one for one in every if one.upstream.get(STAGE) == artifact.address]
    return max(own, key=lambda one: str(one.manifest["sealed_at"]), default=None)


def _preferences(artifact: store.Artifact) -> store.Artifact | None:
    """What it was trained on, where that is still there."""
    try:
        return store.Store(artifact.root).find("preferences", artifact.upstream["preferences"])
    except (UserError, KeyError):
        return None
