"""Every command in an empty folder, as after `pip install croco`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from croco.__main__ import COMMANDS

BIN = Path(sys.executable).parent
ICELANDIC = """\
iso: is
own_name: íslenska
english_name: Icelandic
euroeval: is
m_arenahard: null
m_rewardbench: null
translategemma: is
identified_as: [is]
"""


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HYDRA_FULL_ERROR": "0"}
    return subprocess.run(["croco", *words], cwd=folder, capture_output=True, text=True, env=environment)


@pytest.mark.wheel
@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, tmp_path: Path) -> None:
    done = call(tmp_path, command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"croco {command}" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_word_that_is_no_command(tmp_path: Path) -> None:
    done = call(tmp_path, "rnu")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


@pytest.mark.slow
@pytest.mark.wheel
def test_a_run_and_what_is_told_of_it(tmp_path: Path) -> None:
    """Artifacts go to ./runs; the overview and the comparison find them there."""
    done = call(tmp_path, "run", "debug=smoke", "engine=fake", "lang=en", "method=sft", "logger=none")
    assert done.returncode == 0, done.stderr
    (report,) = (tmp_path / "runs" / "report").iterdir()
    assert "report.html" in {path.name for path in report.iterdir()}
    assert report.name in call(tmp_path, "status").stdout
    assert call(tmp_path, "compare", report.name).returncode == 0


@pytest.mark.wheel
@pytest.mark.slow
def test_a_language_of_ones_own_needs_one_file(tmp_path: Path) -> None:
    (tmp_path / "conf" / "language").mkdir(parents=True)
    (tmp_path / "conf" / "language" / "is.yaml").write_text(ICELANDIC, encoding="utf-8")
    unknown = call(tmp_path / "conf", "run", "lang.languages=[is]")
    assert unknown.returncode == 2
    assert "unknown language 'is'" in unknown.stderr
    shown = call(tmp_path, "run", "lang.languages=[is]", "--cfg", "job", "--package", "lang")
    assert "- is" in shown.stdout
    without_prompts = call(tmp_path, "run", "lang.languages=[is]")
    assert "unknown language" not in without_prompts.stderr


def test_files_of_ones_own_come_before_those_that_are_shipped(tmp_path: Path) -> None:
    """A method, a set of languages and an experiment that no repository knows; a shipped name that means something else."""
    for name, text in {
        "conf/lang/north.yaml": "languages: [da, sv]\n",
        "conf/lang/low.yaml": "languages: [cy]\n",
        "experiments/mine.yaml": "# @package _global_\n# Mine.\ndefaults:\n  - override /lang: north\n\nseed: 7\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    for words, expected in {
        "lang=north": ["- da", "- sv"],
        "lang=low": ["- cy"],
        "experiments=mine": ["- da", "- sv", "seed: 7"],
    }.items():
        done = call(tmp_path, "run", words, "--cfg", "job")
        assert done.returncode == 0, done.stderr
        lines = [line.strip() for line in done.stdout.splitlines()]
        assert all(line in lines for line in expected), words
    assert "north" in call(tmp_path, "run", "--help").stdout
