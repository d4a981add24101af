"""An adapter, its pairs and a reward model as folders the hub takes, with cards made from the sealed artifacts; and the upload,
if it is wanted.

They are made after every report, whether they are pushed or not: `<artifacts>/hub/<report>/model`, `.../dataset`, `.../reward`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import (
    DatasetCard,
    DatasetCardData,
    EvalResult,
    HfApi,
    ModelCard,
    ModelCardData,
    get_token,
)

from croco.artifacts import files, store
from croco.config.running import PushConfig
from croco.evals.comparing import stored
from croco.exchange import reward_models
from croco.exchange.folders import fenced, link, local, made_by
from croco.show import tables
from croco.show.tables import Table
from croco.stages.report import EVALUATIONS

SETTINGS = ("method", "pairing", "sampling", "seed")
"""Of the resolved configuration: what a card tells, and no path of the machine it ran on."""
LIMITS = """The evaluations above are the ones this run made, on its own held-out prompts; nothing else was measured.
One training seed: intervals cover the prompts, not the training. The adapter inherits the limits and the licence of its
base model; it was not tested for safety. Preferences come from a reward model, whose mistakes the pairs contain."""


@dataclass(frozen=True)
class Exported:
    """Folders ready for the hub."""

    model: Path
    dataset: Path | None
    """Of the pairs, where the run made some."""
    reward: Path | None = None
    """Of the reward model, where the run trained one."""


def export(report: store.Artifact) -> Exported:
    """Write the folders of a run, from its report; the files are linked where the file system can, copied where not."""
    run = stored.open_run(str(report.path), report.root)
    folder = report.root / "hub" / report.path.name
    pairs = run.folders("pairs")
    trained = run.folders(reward_models.STAGE)
    exported = Exported(folder / "model", folder / "dataset" if pairs else None, folder / "reward" if trained else None)
    for source, target in (
        (run.folders("training")[0] / "adapter", folder / "model"),
        *((one, folder / "dataset") for one in pairs),
    ):
        shutil.rmtree(target, ignore_errors=True)
        skipped = shutil.ignore_patterns("README.md", "manifest.json", ".lock", "journal")
        shutil.copytree(source, target, ignore=skipped, copy_function=link)
    _without_local_path(exported.model / "adapter_config.json")
    files.write_atomically(exported.model / "README.md", str(model_card(run)))
    if exported.dataset is not None:
        files.write_atomically(exported.dataset / "README.md", str(dataset_card(run)))
    if exported.reward is not None:
        shutil.rmtree(exported.reward, ignore_errors=True)
        ranking = next(map(store.Store.open, run.folders(reward_models.RANKING)), None)
        reward_models.write(store.Store.open(trained[0]), exported.reward, ranking, linked=True)
    return exported


def _without_local_path(file: Path) -> None:
    """A folder of this machine is no base model for anybody else; its name says which one is meant."""
    settings = json.loads(file.read_text(encoding="utf-8"))
    base = settings.get("base_model_name_or_path")
    if base and local(base):
        file.unlink()  # it may be a link to the artifact's own
        files.write_atomically(
            file, json.dumps({**settings, "base_model_name_or_path": Path(base).name}, indent=2) + "\n"
        )


def model_card(run: stored.Run) -> ModelCard:
    """The adapter's card: metadata the hub reads, what was measured, settings, limits."""
    said, training = _settings(run), store.Store.open(run.folders("training")[0])
    base = said["model"]["path"]
    languages = list(said["lang"]["languages"])
    results = list(_eval_results(run))
    data = ModelCardData(
        base_model=None if local(base) else base,
        library_name="peft",
        language=languages,
        tags=["croco", "lora", said["method"]["name"]],
        pipeline_tag="text-generation",
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=f"{Path(base).name}-{said['method']['name']}",
        eval_results=results or None,
    )
    summary = training.summary
    lines = [
        f"# {Path(base).name}, {said['method']['name']} on {said['pairing']['scope']} pairs",
        f"A LoRA adapter of `{Path(base).name if local(base) else base}`"
        + (" (a local checkpoint)" if local(base) else "")
        + f" for {', '.join(languages)}: {summary['steps']:,} steps, {summary['examples']:,} examples; "
        f"training ended {summary['verdict']}.",
        "## Evaluation",
        *(_evaluations(run) or ["Nothing was evaluated."]),
        *_ending(said, training),
    ]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(lines) + "\n")


def dataset_card(run: stored.Run) -> DatasetCard:
    """The pairs' card: size, languages, and the figures of the pair report."""
    said, pairs = _settings(run), store.Store.open(run.folders("pairs")[0])
    found, languages = pairs.summary["report"], list(said["lang"]["languages"])
    data = DatasetCardData(
        language=languages,
        task_categories=["text-generation"],
        multilinguality="multilingual" if len(languages) > 1 else "monolingual",
        tags=["croco", "preference", "dpo"],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": "pairs.parquet"}]}],
    )
    shown = Table(
        "Pairs",
        ("figure", "value"),
        [
            ("pairs", found["pairs"]),
            ("pools of answers", found["pools"]),
            ("mean reward margin", (found["margin"] or {}).get("mean")),
            (
                "share of rejected answers that are their pool's lowest",
                (found["rejected_is_minimum"] or {}).get("share"),
            ),
            ("share of chosen answers that are longer", found["chosen_longer"]),
            ("identical pairs", found["identical"]),
        ],
    )
    lines = [
        f"# Preference pairs ({said['pairing']['scope']}) in {', '.join(languages)}",
        f"`prompt`, `chosen` and `rejected` are conversations, as TRL reads them. {_whose(said)}",
        tables.markdown(shown),
        *_ending(said, pairs),
    ]
    return DatasetCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(lines) + "\n")


def _whose(said: Mapping[str, Any]) -> str:
    kind = said.get("data", {}).get("kind", "generated")
    if kind != "generated":
        return f"They were brought to the run ({kind} from `{Path(str(said['data']['path'])).name}`)."
    return (
        f"The answers were sampled from `{Path(said['model']['path']).name}` ({said['source']['kind']}) and scored by a reward "
        f"(`{said['reward']['kind']}`); nobody has read them."
    )


def _ending(said: Mapping[str, Any], artifact: store.Artifact) -> list[str]:
    settings = yaml.safe_dump({name: said[name] for name in SETTINGS}, sort_keys=False, allow_unicode=True)
    return ["## Settings", fenced(settings), "## Limits", LIMITS, made_by(artifact)]


def _settings(run: stored.Run) -> dict[str, Any]:
    settings: dict[str, Any] = run.report.manifest["run"]
    return settings


def _summaries(run: stored.Run) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in EVALUATIONS:
        for folder in run.folders(name):
            yield name, store.Store.open(folder).summary


def _evaluations(run: stored.Run) -> list[str]:
    shown = []
    for _, summary in _summaries(run):
        shown += [
            tables.plain_markdown(summary["headline"]),
            *(tables.markdown(Table(**table)) for table in summary["tables"]),
        ]
    return shown


def _eval_results(run: stored.Run) -> Iterator[EvalResult]:
    """The tuned policy's quality per language, in the hub's own terms; other evaluations are tables of the card."""
    for name, summary in _summaries(run):
        for row in summary["comparison"] if name == "quality" else ():
            yield EvalResult(
                task_type="text-generation",
                dataset_type="croco-heldout",
                dataset_name=f"held-out prompts ({row['language']})",
                dataset_config=row["language"],
                metric_type=name,
                metric_name=f"{name}, mean of {row['prompts']} prompts",
                metric_value=row["tuned"],
            )


def push(config: PushConfig, exported: Exported, name: str) -> list[str]:
    """Upload the folders; returns what to tell, one line each. Raises nothing: the run is on disk."""
    if not get_token():
        return [
            f"hub: not pushed: no token (`hf auth login`, or HF_TOKEN); {exported.model.parent} holds what would be"
        ]
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    parts = (
        ("model", "model", exported.model, config.model, name),
        ("dataset", "dataset", exported.dataset, config.dataset, name),
        ("reward model", "model", exported.reward, config.reward, f"{name}-reward"),
    )
    said = []
    for kind, repo_type, folder, given, called in parts:
        if folder is None:
            continue
        try:
            said.append(f"hub: {kind} {_upload(api, repo_type, folder, given or f'croco-{called}', config.private)}")
        except Exception as error:  # the hub's, its HTTP library's and the system's own, of many kinds
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            said.append(f"hub: {kind} not pushed ({reason}); the same command tries again, {folder} holds it")
    return said


def _upload(api: HfApi, kind: str, folder: Path, repo: str, private: bool) -> str:
    made = api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
    if private and not api.repo_info(made.repo_id, repo_type=kind).private:
        return f"not pushed: {made.repo_id} is public already; push.private=false if it may be"
    api.upload_folder(repo_id=made.repo_id, repo_type=kind, folder_path=folder, commit_message="From croco")
    return f"pushed to {made.repo_id}" + (" (private)" if private else "")
