"""`croco.open` on a run made by hand and on one of the chain; the notebook of docs/."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import croco
from croco.errors import UserError
from tests.jobs.test_chain import run as run_chain
from tests.support.finished import finish

NOTEBOOK = Path(__file__).parents[2] / "docs" / "library.ipynb"


def test_a_run_gives_its_rows(tmp_path: Path) -> None:
    """Two answers in two languages; the run is found by folder, and by the beginning of its address below `artifacts`."""
    report = finish(tmp_path)
    run = croco.open(report.path)
    assert run.prompts()["language"].to_pylist() == ["en", "da"]
    assert run.answers()["text"].to_pylist() == ["en 0", "en 1", "da 0", "da 1"]
    assert set(run.answers("generations")["stage"].to_pylist()) == {"generations"}
    assert run.scores().select(["reward", "source"]).to_pylist()[1] == {"reward": 2.0, "source": "on_policy"}
    assert run.pairs()["chosen_score"].to_pylist() == [2.0, 2.0]
    assert run.results("quality").num_rows == 4
    means = {(row["system"], row["language"]): row["mean"] for row in run.metrics().to_pylist()}
    assert means == {("base", "en"): 0.25, ("tuned", "en"): 0.75, ("base", "da"): 0.25, ("tuned", "da"): 0.75}
    assert run.config["seed"] == 7
    assert run.lineage["training"].parent == tmp_path / "training"
    assert "Better." in repr(run)
    assert croco.open(report.address[:6], artifacts=tmp_path).pairs() == run.pairs()
    with pytest.raises(UserError, match="no results of 'checks'; it has quality"):
        run.results("checks")
    with pytest.raises(UserError, match="answers: scores holds no answers"):
        run.answers("scores")


def test_plots_are_pictures_of_a_row_per_language(tmp_path: Path) -> None:
    """English, Danish, all: rewards of three kinds each; margins are 1 everywhere."""
    plot = croco.open(finish(tmp_path).path).plot
    drawn = ElementTree.fromstring(plot.rewards()._repr_svg_())
    words = [text.text or "" for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert [word for word in words if word in ("en", "da", "all")] == ["en", "da", "all"]
    assert words.count("chosen 2, rejected 1") == 3
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}path"))) == 9
    assert plot.margins().save(tmp_path / "m.svg").read_text() == plot.margins()._repr_html_()
    assert "1 (90 % from 1 to 1)" in plot.margins().svg


def test_what_was_removed_is_said(tmp_path: Path) -> None:
    report = finish(tmp_path)
    for file in (tmp_path / "pairs").glob("*/manifest.json"):
        file.unlink()
    run = croco.open(report.path)
    with pytest.raises(UserError, match="this run has no pairs on disk; it has report, prompts, generations, scores"):
        run.pairs()
    with pytest.raises(UserError, match="no pairs"):
        run.plot.rewards()


def test_importing_loads_nothing() -> None:
    program = "import sys, croco; assert not {'pyarrow', 'torch', 'numpy'} & set(sys.modules); croco.nothing"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "AttributeError: module 'croco' has no attribute 'nothing'"


@pytest.mark.slow
def test_the_notebook_runs_on_a_run_of_the_chain(
    policy: Path, reward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cells, in order, in a folder where a run has just ended; the policy answers."""
    monkeypatch.chdir(tmp_path)
    run_chain(policy, reward, Path("runs"))
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "outputs differ by machine"
            exec("".join(cell["source"]), names)
    assert isinstance(names["answer"], str)
    assert Path("rewards.svg").is_file()
