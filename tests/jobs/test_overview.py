"""`python -m croco.status` on a folder of artifacts in every state."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from croco import status
from croco.artifacts.store import PROGRESS, Store
from croco.errors import UserError
from croco.jobs import outcomes, overview
from croco.show.progress import Progress

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    store = Store(tmp_path)
    finished = store.artifact("prompts", 1, {"language": "da"})
    finished.begin()
    finished.seal({"rows": 2}, 0.1)
    stopped = store.artifact("generations", 1, {"language": "da"})
    stopped.begin()
    notes = Progress(Console(file=io.StringIO()), notes=stopped.path / PROGRESS)
    with notes.task("generations/da", 64, "answers", done=3) as task:
        task.advance(20)
    outcomes.begin(tmp_path / "logs" / "1", ["lang=da"], None).done(0.25, tmp_path / "report" / "abc")
    outcomes.begin(tmp_path / "sweeps" / "s-1" / "j0", ["method=sft"], 0).failed(UserError("method: not so"))
    outcomes.begin(tmp_path / "sweeps" / "s-1" / "j1", ["method=dpo"], 1)
    return tmp_path


def test_overview(runs: Path) -> None:
    tables = {table.title.split(":")[0]: table for table in overview.overview(runs)}
    assert list(tables) == ["Runs", "Sweep s-1", "Artifacts", "Not finished"]
    words, _, state, metric, report, failure = tables["Runs"].rows[0]
    assert (words, state, metric, report, failure) == ("lang=da", "done", 0.25, "abc", "")
    assert [row[:2] for row in tables["Sweep s-1"].rows] == [("method=sft", "failed"), ("method=dpo", "running")]
    assert tables["Sweep s-1"].rows[0][-1] == "method: not so"
    assert list(tables["Artifacts"].rows) == [("generations", 0, 1), ("prompts", 1, 0)]
    stage, language, _, far, state = tables["Not finished"].rows[0]
    assert (stage, language, far, state) == ("generations", "da", "23 of 64 answers", "stopped")


def test_what_is_locked_is_being_made(runs: Path) -> None:
    artifact = Store(runs).artifact("generations", 1, {"language": "da"})
    with artifact.lock():
        assert overview.overview(runs)[-1].rows[0][-1] == "being made"


def test_a_row_is_a_line_off_a_terminal_and_nothing_heavy_is_loaded(runs: Path) -> None:
    program = (
        f"import sys; from croco import status; code = status.main(['--artifacts', {str(runs)!r}]); "
        "assert not {'torch', 'transformers', 'hydra'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert any({"generations", "23", "64", "stopped"} <= set(line.split()) for line in done.stdout.splitlines())


def test_no_such_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.main(["--artifacts", str(tmp_path / "nowhere")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
