"""The comparison's workspace: what it shows, told from the specification that W&B would get."""

from __future__ import annotations

import json

import pytest

from croco import workspace as command
from croco.tracking import workspace


def test_it_shows_the_names_under_which_runs_are_mirrored() -> None:
    pytest.importorskip("wandb_workspaces")
    defined = workspace.define("me", "croco", ["da"])
    assert [section.name for section in defined.sections] == [
        "Evaluation",
        "Training",
        "Pairs",
        "Costs",
        "Samples",
        "What differs",
    ]
    view = defined._to_model()
    told = view.model_dump_json(by_alias=True, exclude_none=True)
    assert type(view).model_validate_json(told) == view, "what would be saved is read back as it is"
    spec = json.dumps(json.loads(told))
    shown = ("quality/difference/da", "checks/difference/macro", "training/loss", "margin/mean", "answers")
    for name in (*shown, *workspace.COSTS, *workspace.ROW):
        assert name in spec, name
    assert [key.name for key in defined.runset_settings.groupby] == [
        "JobType",
        "method.name",
        "pairing.scope",
        "source.kind",
    ]


def test_a_project_without_an_entity_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["croco"]) == 2
    assert capsys.readouterr().err == "croco: croco: expected ENTITY/PROJECT\n"
