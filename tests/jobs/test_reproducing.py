"""`croco reproduce` on a run made by hand, and one of the chain again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from croco import reproduce
from croco.jobs import outcomes
from tests.jobs.test_chain import run as run_chain
from tests.support.finished import finish


def test_what_made_it_and_what_differs_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The words are those of the first job that made it; its policy is not here; its numpy was another."""
    report = finish(tmp_path)
    outcomes.begin(tmp_path / "logs" / "1", ["lang=[en,da]", "seed=7"], None).done(0.5, report.path)
    file = report.path / "manifest.json"
    said = json.loads(file.read_text())
    said["versions"]["numpy"] = "0.0.1"
    said["run"]["model"]["path"] = "/nowhere/policy"
    file.write_text(json.dumps(said))
    assert reproduce.main([str(report.path)]) == 0
    out = capsys.readouterr().out
    assert "croco run 'lang=[en,da]' seed=7" in out
    (numpy,) = [line.split() for line in out.splitlines() if line.startswith("numpy")]
    assert (numpy[1], numpy[-1]) == ("0.0.1", "differs")
    assert "model.path /nowhere/policy not here" in out
    assert "1 differ here." in out
    assert reproduce.main([str(report.path), "--run", "--to", str(tmp_path)]) == 2


@pytest.mark.slow
def test_a_run_of_the_chain_comes_out_the_same(
    policy: Path, reward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every artifact of the second has the address and the rows of the first; a changed row is seen."""
    run_chain(policy, reward, tmp_path / "runs", "lang.languages=[da]", "evals=quality")
    (report,) = (tmp_path / "runs" / "report").iterdir()
    words = [str(report), "--run", "--to", str(tmp_path / "again")]
    assert reproduce.main(words) == 0
    assert "the same; metric" in capsys.readouterr().out
    for file in (tmp_path / "runs" / "generations").glob("*/manifest.json"):
        said = json.loads(file.read_text())
        said["tables"]["generations"]["sha256"] = "0" * 64
        file.write_text(json.dumps(said))
    assert reproduce.main(words) == 1
    assert "other rows" in capsys.readouterr().out
