"""A W&B workspace in which the runs of an experiment are compared (`croco workspace`)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from croco.errors import UserError
from croco.evals.comparing import paired

CURVES = ("loss", "margin", "accuracy", "chosen_logp_per_token", "rejected_logp_per_token", "heldout_kl")
HELDOUT = ("heldout_answer_ended", "heldout_answer_language", "heldout_answer_repetition", "heldout_answer_tokens")
COSTS = ("costs/seconds", "costs/tokens", "costs/memory_gib", "costs/gpu_memory_gib")
ROW = (
    "metric",
    "better",
    "worse",
    "training/verdict",
    "warnings",
    "pairs/pairs",
    "pairs/chosen_longer",
    "costs/seconds",
)
"""Of a report's run: what its row says before anybody scrolls."""
PAIRS = ("pairs", "margin/mean", "rejected_is_minimum/share", "chosen_longer")
EVALUATIONS = ("quality", "checks")
"""Those that every run has one of; what a run does not have is no bar."""
GROUPS = ("method.name", "pairing.scope", "source.kind")


def define(entity: str, project: str, languages: Sequence[str] = ()) -> Any:
    """The workspace, not saved: curves of training, evaluations (per language where `languages` are given), pairs, settings.

    The names are those under which croco/jobs/mirror.py tells; runs are grouped by job type first, as each has its own.

    Raises:
        UserError: wandb-workspaces is not installed.
    """
    try:
        import wandb_workspaces.reports.v2 as panels
        import wandb_workspaces.workspaces as workspaces
    except ImportError:
        raise UserError("wandb-workspaces is not installed: pip install 'croco[workspace]'") from None
    training: list[Any] = [
        panels.LinePlot(title=name, x="step", y=[f"training/{name}", f"training/validation_{name}"]) for name in CURVES
    ]
    training += [panels.LinePlot(title=name, x="step", y=[f"training/{name}"]) for name in HELDOUT]
    evaluations: list[Any] = [panels.BarPlot(title="metric of the run", metrics=["metric"])]
    evaluations += [
        panels.BarPlot(title=f"gained, {row}", metrics=[f"{name}/difference/{row}" for name in EVALUATIONS])
        for row in (paired.MACRO, *languages)
    ]
    pairs: list[Any] = [panels.BarPlot(title=name, metrics=[name]) for name in PAIRS]
    samples: list[Any] = [panels.WeavePanelSummaryTable(table_name=name) for name in ("pairs", "answers")]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name="croco: comparison",
        sections=[
            workspaces.Section(name="Evaluation", panels=evaluations, is_open=True),
            workspaces.Section(name="Training", panels=training, is_open=True),
            workspaces.Section(name="Pairs", panels=pairs),
            workspaces.Section(name="Costs", panels=[panels.BarPlot(title=name, metrics=[name]) for name in COSTS]),
            workspaces.Section(name="Samples", panels=samples),
            workspaces.Section(name="What differs", panels=[panels.RunComparer(diff_only="split")], is_open=True),
        ],
        runset_settings=workspaces.RunsetSettings(
            groupby=[workspaces.Metric("JobType"), *(workspaces.Config(name) for name in GROUPS)],
            order=[workspaces.Ordering(workspaces.Summary("metric"), ascending=False)],
            pinned_columns=["run:displayName", *(f"summary:{name}" for name in ROW)],
        ),
    )


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it asks for."""
    parser.add_argument("project", metavar="ENTITY/PROJECT")
    parser.add_argument(
        "--languages", nargs="*", default=[], metavar="CODE", help="languages with a panel of their own"
    )


def run(given: argparse.Namespace) -> int:
    """Save the workspace and print its address.

    Raises:
        UserError: no project is named, or W&B does not take it (also: no key, no network).
    """
    entity, slash, project = given.project.partition("/")
    if not (entity and slash and project):
        raise UserError(f"{given.project}: expected ENTITY/PROJECT")
    workspace = define(entity, project, given.languages)
    try:
        print(workspace.save().url)
    except Exception as error:  # wandb's and its HTTP library's own, of many kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"W&B did not take the workspace ({reason}); `wandb login`, then again") from None
    return 0
