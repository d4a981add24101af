"""`croco clean` on two runs that share all but their training, with what killed processes leave."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from croco import clean
from croco.artifacts import holdings, locks
from croco.artifacts.store import PROGRESS, Store
from croco.jobs import outcomes
from tests.support.finished import finish

GONE = 2**22 + 1  # above the largest pid that Linux gives


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Runs 7 and 8, the latter a sweep's; and generations that stopped, on prompts that no report knows."""
    finish(tmp_path, 7)
    swept = finish(tmp_path, 8)
    outcomes.begin(tmp_path / "sweeps" / "s" / "0", ["seed=8"], 0).done(0.5, swept.path)
    prompts = Store(tmp_path).artifact("prompts", 1, {"language": "de"})
    prompts.begin()
    prompts.seal({"rows": 0}, 0.1)
    Store(tmp_path).artifact("generations", 1, {"language": "de"}, {"prompts": prompts}).begin()
    return tmp_path


def stages(root: Path) -> list[str]:
    return sorted(one.artifact.stage for one in holdings.found(root).values())


ALL = ["generations"] * 3 + ["pairs"] + ["prompts"] * 3 + ["quality"] * 2 + ["report"] * 2
ALL += ["scores"] * 2 + ["training"] * 2
ONE = ["generations"] * 2 + ["pairs"] + ["prompts"] * 2 + ["quality", "report"] + ["scores"] * 2 + ["training"]


def test_a_table_says_cost_dependants_and_what_can_be_made_again(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both reports need the pairs, from which both trainings were made; the checkpoint behind the answers is nowhere."""
    assert clean.main(["--artifacts", str(runs), "--all"]) == 0
    out = capsys.readouterr().out
    (pairs,) = [line.split() for line in out.splitlines() if line.startswith("pairs/")]
    assert pairs[3:7] == ["2", "s", "2", "4"]  # trainings and reports name them
    assert pairs[7] == "no:"
    (stopped,) = [line for line in out.splitlines() if "goes on by the same command" in line]
    assert stopped.startswith("generations/")
    assert "nothing was removed" in out
    assert stages(runs) == sorted(ALL)


def test_what_no_report_stands_on_goes_only_with_yes(runs: Path) -> None:
    words = ["--artifacts", str(runs), "--unreachable"]
    assert clean.main(words) == 0
    assert stages(runs) == sorted(ALL)
    assert clean.main([*words, "--yes"]) == 0
    assert stages(runs) == sorted(["generations"] * 2 + ONE[2:3] + ["prompts"] * 2 + ALL[7:])


def test_a_sweep_leaves_what_another_run_needs(runs: Path) -> None:
    """Of the sweep's run its training, quality and report alone were its own."""
    assert clean.main(["--artifacts", str(runs), "--sweep", "s", "--yes"]) == 0
    assert stages(runs) == sorted([*ONE, "generations", "prompts"])
    with pytest.raises(SystemExit):
        clean.main(["--artifacts", str(runs), "--sweep", "s", "--unreachable"])


def test_age_spares_what_something_younger_stands_on(runs: Path) -> None:
    """Everything is old but the report of run 7: it keeps all it stands on."""
    for folder in holdings.folders(runs):
        if (file := folder / "manifest.json").is_file():
            said = json.loads(file.read_text())
            if said["stage"] != "report" or said["seed"] != 7:
                file.write_text(json.dumps({**said, "sealed_at": "2020-01-01T00:00:00Z"}))
        else:
            os.utime(folder, (0, 0))
    assert clean.main(["--artifacts", str(runs), "--older-than", "30d", "--yes"]) == 0
    assert stages(runs) == sorted(ONE)


def test_a_training_that_a_reward_is_known_by_stays(tmp_path: Path) -> None:
    """Scores name an adapter by its content alone, as with reward=icr."""
    report = finish(tmp_path, 7)
    own = Store(tmp_path).artifact("training", 1, {"seed": 0})
    (own.path / "adapter").mkdir(parents=True)
    (own.path / "adapter" / "adapter_config.json").write_text("{}")
    own.seal({}, 1.0)
    held = holdings.found(tmp_path)
    (content,) = [name for name, address in holdings.adapters_of(held).items() if address == own.address]
    scores = Store(tmp_path).artifact("scores", 1, {"adapter": content})
    scores.seal({}, 1.0)
    assert own.address not in holdings.below(held, [report.address])
    assert own.address in holdings.below(holdings.found(tmp_path), [scores.address])


def test_left_overs_of_dead_processes_go_and_those_of_living_stay(runs: Path) -> None:
    folder = next((runs / "pairs").iterdir())
    host = socket.gethostname()
    for name in (f"a.{host}.{GONE}.tmp", f"b.{host}.{os.getpid()}.tmp", "c.elsewhere.1.tmp", ".lock", PROGRESS):
        (folder / name).write_text("")
    assert clean.main(["--artifacts", str(runs), "--yes"]) == 0
    there = {path.name for path in folder.iterdir()} - {"manifest.json", "pairs.parquet"}
    assert there == {f"b.{host}.{os.getpid()}.tmp", "c.elsewhere.1.tmp"}


def test_nothing_is_removed_beside_a_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--artifacts", str(runs), "--unreachable", "--yes"]
    stopped = next(folder for folder in holdings.folders(runs) if not (folder / "manifest.json").exists())
    with locks.held(stopped):
        assert clean.main(words) == 2
    outcomes.begin(runs / "logs" / "now", [], None)
    assert clean.main(words) == 2
    assert "is at work; nothing was removed" in capsys.readouterr().err
    assert stages(runs) == sorted(ALL)
