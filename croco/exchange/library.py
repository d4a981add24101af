"""A finished run in Python: what it made as Arrow tables, its policy as a transformers model, its plots.

    run = croco.open("runs/report/eurollm-9b-instruct-da-mono-dpo-0123456789abcdef")
    run.pairs().to_pandas()            # pandas is yours to install
    model, tokenizer = run.policy()

Tables hold the rows that are on disk (croco/artifacts/records.py has their columns) of all languages, in the run's order.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from croco.artifacts.addresses import canonical
from croco.artifacts.store import Artifact
from croco.errors import UserError
from croco.evals.comparing import stored
from croco.page import lineage, pairs, standalone

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SCORES = {"scores": "on_policy", "other_scores": "off_policy", "reference_scores": "reference"}
"""Stage that scores -> `source` of the answers, as in the pairs."""
ANSWERS = (
    *("generations", "other_generations", "references"),
    *("answers_base", "answers_tuned", "checked_base", "checked_tuned"),
)
"""Stages that keep rows of records.Generation."""


class Policy(NamedTuple):
    """A trained policy."""

    model: PreTrainedModel
    """With the run's adapter on it, in evaluation mode, on the GPU where there is one."""
    tokenizer: PreTrainedTokenizerBase
    """With the chat template that the run used."""


def open_run(run: str | Path, artifacts: str | Path = "runs") -> Run:
    """A finished run.

    Args:
        run: its report's folder, or the first characters of the folder's name or of its address.
        artifacts: where runs keep theirs; not needed with a folder.

    Raises:
        UserError: there is no such report, or not one alone.
    """
    return Run(stored.open_run(str(run), Path(artifacts)))


class Run:
    """What a finished run made; nothing is read before it is asked for."""

    def __init__(self, found: stored.Run) -> None:
        self._found = found

    def __repr__(self) -> str:
        summary = self._found.report.summary
        told = " ".join(summary["evaluated"].values()) or "nothing was evaluated"
        return f"<croco.Run {self._found.report.path.name}: {told}>"

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, by group."""
        return self._found.report.manifest.get("run", {})

    @property
    def summary(self) -> dict[str, Any]:
        """What the report says of the run: metric, warnings, verdicts."""
        return self._found.report.summary

    @functools.cached_property
    def _ancestors(self) -> dict[str, Artifact]:
        return lineage.ancestors({"report": self._found.report})

    @property
    def lineage(self) -> dict[str, Path]:
        """Name of every artifact the run stands on -> its folder; those that were removed from the disk are left out."""
        return {name: artifact.path for name, artifact in self._ancestors.items()}

    def _made(self, *stages: str) -> Iterator[tuple[str, Artifact]]:
        """(stage, artifact) of stages, one per language where it is made so."""
        for name, artifact in self._ancestors.items():
            if (stage := name.split(" (")[0].split("/")[0]) in stages:
                yield stage, artifact

    def _table(self, stages: Mapping[str, str], table: str, column: str | None = None) -> pa.Table:
        """The rows of stages, told apart in a column by the names these have here.

        Raises:
            UserError: the run has none.
        """
        read = []
        for stage, artifact in self._made(*stages):
            rows = artifact.table(table)
            named = pa.array([stages[stage]] * len(rows), pa.string())
            read.append(rows if column is None else rows.append_column(column, named))
        if not read:
            has = ", ".join(dict.fromkeys(name.split(" (")[0].split("/")[0] for name in self._ancestors))
            raise UserError(f"{self._found.report.path}: this run has no {', '.join(stages)} on disk; it has {has}")
        return pa.concat_tables(read)

    def prompts(self) -> pa.Table:
        """Rows of records.Prompt: those that were trained on, and those held out."""
        return self._table({"prompts": "prompts"}, "prompts")

    def answers(self, *stages: str) -> pa.Table:
        """Rows of records.Generation, with the `stage` that each is of.

        Args:
            stages: of ANSWERS: `generations` (the candidates), `answers_base` and `answers_tuned` (to held-out prompts), ...;
                without one all that the run has.

        Raises:
            UserError: the run has none of these.
        """
        if wrong := sorted(set(stages) - set(ANSWERS)):
            raise UserError(f"answers: {wrong[0]} holds no answers; there is {', '.join(ANSWERS)}")
        return self._table({name: name for name in stages or ANSWERS}, "generations", "stage")

    def scores(self) -> pa.Table:
        """Rows of records.Score, with the `source` of the answers (on_policy, off_policy, reference)."""
        own = self.config.get("source", {}).get("kind", "on_policy")
        return self._table({**SCORES, "scores": own}, "scores", "source")

    def pairs(self) -> pa.Table:
        """Rows of records.Pair."""
        return self._table({"pairs": "pairs"}, "pairs")

    def results(self, evaluation: str) -> pa.Table:
        """Rows of records.Result: what an evaluation measured, answer by answer.

        Raises:
            UserError: the run kept no results of it; names those that it has.
        """
        return stored.results(self._found, evaluation)

    def metrics(self) -> pa.Table:
        """Columns evaluation, metric, system (base, tuned), language, mean (over prompts, of their means) and prompts."""
        rows = [
            {
                "evaluation": evaluation,
                "metric": metric,
                "system": system,
                "language": language,
                "mean": sum(by_prompt.values()) / len(by_prompt),
                "prompts": len(by_prompt),
            }
            for evaluation in self._found.evaluations
            for (metric, system), by_language in stored.scores(self._found, evaluation).items()
            for language, by_prompt in by_language.items()
            if by_prompt
        ]
        names = ("evaluation", "metric", "system", "language")
        kinds = [*((name, pa.string()) for name in names), ("mean", pa.float64()), ("prompts", pa.int64())]
        return pa.Table.from_pylist(rows, pa.schema(kinds))

    def changes(self) -> pa.Table:
        """The report's verdicts: what got better, worse or neither over all languages, with interval and corrected p."""
        return pa.Table.from_pylist(self.summary.get("changes", []))

    def policy(self, adapter: str = "adapter", dtype: str | None = None, trust_remote_code: bool = False) -> Policy:
        """The trained policy: base and adapter, and the tokenizer.

        Args:
            adapter: below the training artifact's folder; `steps/step-9` where `evals.checkpoints` kept one.
            dtype: of the base's weights; None is the run's.
            trust_remote_code: whether code that the checkpoint brings may run, also where the run allowed it.

        Raises:
            UserError: the run trained nothing, or the base cannot be loaded.
        """
        from transformers import AutoModelForCausalLM

        from croco.models import checkpoints

        folder = next((artifact.path / adapter for _, artifact in self._made("training")), None)
        if folder is None or not folder.is_dir():
            raise UserError(f"{folder or self._found.report.path}: no adapter is there")
        model = self.config["model"]
        of_run = checkpoints.Checkpoint(
            path=model["path"],
            revision=model["revision"],
            dtype=model["dtype"],
            attention=model["attention"],
            trust_remote_code=trust_remote_code,
            chat_template=model["chat_template"],
            adapter=folder,
            template_options=canonical(model.get("template_options") or {}),
        )
        wanted = of_run if dtype is None else replace(of_run, dtype=dtype)
        return Policy(checkpoints.load(AutoModelForCausalLM, wanted)[0], checkpoints.tokenizer_of(wanted))

    @property
    def plot(self) -> Plots:
        """Pictures, which notebooks show and `save` writes."""
        return Plots(self)


class Plots:
    """Of a run, as its page draws them."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @functools.cached_property
    def _pairs(self) -> pairs.Pairs:
        made = dict(self._run._made("pairs"))
        if not made:
            raise UserError(f"{self._run!r}: this run has no pairs on disk")
        scores = {
            SCORES[stage]: self._run._table({stage: stage}, "scores", None)
            for stage in dict.fromkeys(stage for stage, _ in self._run._made(*SCORES))
        }
        own = self._run.config.get("source", {}).get("kind", "on_policy")
        scores = {own if source == "on_policy" else source: table for source, table in scores.items()}
        return pairs.of_tables(self._run.pairs(), scores, made["pairs"].summary["report"])

    def rewards(self) -> standalone.Picture:
        """By the language of the answers: rewards of all, of the chosen and of the rejected."""
        return standalone.Picture(*pairs.rewards(self._pairs))

    def margins(self) -> standalone.Picture:
        """By the language of the prompt: chosen minus rejected reward."""
        return standalone.Picture(*pairs.margins(self._pairs))
