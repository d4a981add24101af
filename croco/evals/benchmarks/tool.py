"""The EuroEval command of another environment: what it knows, and running it.

It needs a newer Python than this package and pins what this package does not, so nothing of it is imported here. Its command
appends a row per data set to a file in its working folder and passes over data sets that the file has, so a killed run goes on.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.artifacts import files
from croco.config.languages import settings
from croco.errors import UserError
from croco.evals.benchmarks import results
from croco.evals.benchmarks.results import Measured

LOG = "euroeval.log"
VERSION = "import importlib.metadata; print(importlib.metadata.version('euroeval'))"
KNOWN = """
import json, runpy, sys
import euroeval.dataset_configs
from euroeval.data_models import DatasetConfig
modules = [vars(euroeval.dataset_configs), *map(runpy.run_path, sys.argv[1:])]
known = {}
for config in (value for module in modules for value in module.values() if isinstance(value, DatasetConfig)):
    for language in config.languages:
        known.setdefault(language.code, []).append(config.name)
print("KNOWN" + json.dumps(known))
"""


@dataclass(frozen=True)
class Tool:
    """An installed EuroEval and how it is to be called."""

    executable: Path
    """`bin/euroeval` of its environment, whose Python lies beside it."""
    iterations: int
    few_shot: bool
    test_split: bool
    cache: Path
    """Where it keeps data sets and models, for all runs."""
    custom_datasets: Path | None
    """A Python file that defines further data sets."""
    options: Mapping[str, Any]
    """Further options of its command, without the dashes in front."""

    def version(self) -> str:
        """Of the installed EuroEval; quick."""
        return _version(self.executable)

    def known(self) -> dict[str, list[str]]:
        """Names of the data sets by language code, as the installed version has them; imports EuroEval, a minute at most."""
        files = [str(self.custom_datasets)] if self.custom_datasets is not None else []
        printed = _python(self.executable, KNOWN, *files)
        line = next(line for line in reversed(printed.splitlines()) if line.startswith("KNOWN"))
        return json.loads(line.removeprefix("KNOWN"))

    def command(self, model: str, datasets: Sequence[str]) -> list[str]:
        """One call for all data sets of a model."""
        words = [str(self.executable.absolute()), "--model", model]
        for name in datasets:
            words += ["--dataset", name]
        words += ["--num-iterations", str(self.iterations), "--cache-dir", str(self.cache.absolute())]
        words += ["--few-shot" if self.few_shot else "--zero-shot", "--no-progress-bar", "--save-results"]
        words += ["--evaluate-test-split" if self.test_split else "--evaluate-val-split"]
        if self.custom_datasets is not None:
            words += ["--custom-datasets-file", str(self.custom_datasets.absolute())]
        for name, value in self.options.items():
            words += [f"--{name}", str(value)]
        return words


def _python(executable: Path, program: str, *arguments: str) -> str:
    """What a program prints in the tool's environment.

    Raises:
        UserError: the environment is not there, or the program fails in it.
    """
    interpreter = executable.parent / "python"
    if not executable.is_file() or not interpreter.exists():
        raise UserError(f"evals.euroeval.executable: {executable}: no such file; `make euroeval` sets it up")
    done = subprocess.run([str(interpreter), "-c", program, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"evals.euroeval.executable: EuroEval does not work in its environment: {last}")
    return done.stdout


@functools.cache
def _version(executable: Path) -> str:
    return _python(executable, VERSION).strip()


def unknown(wanted: Mapping[str, Sequence[str]], known: Mapping[str, Sequence[str]]) -> list[str]:
    """One line for each data set that the installed version does not have in its language.

    Args:
        wanted: data sets by language of conf/language.
        known: data sets by EuroEval's own language codes.
    """
    lines = []
    for language, names in wanted.items():
        code = settings(language).euroeval
        for name in names:
            there = sorted(other for other, sets in known.items() if name in sets)
            if code not in there:
                where = f"only in {', '.join(there)}" if there else "nowhere"
                lines.append(f"evals.euroeval.datasets.{language}: the installed EuroEval has '{name}' {where}")
    return lines


def run(tool: Tool, model: str, datasets: Sequence[str], folder: Path) -> list[Measured]:
    """The model's scores on exactly these data sets, in this order; the tool works in `folder` and logs there.

    Raises:
        UserError: the command failed, or left out a data set or an iteration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = _missing(folder, datasets)
    if missing:
        with (folder / LOG).open("ab") as log:
            done = subprocess.run(
                tool.command(model, missing), cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=dict(os.environ)
            )
        if done.returncode != 0:
            raise UserError(
                f"EuroEval ended with code {done.returncode} on {model}: {_last(folder)} (see {folder / LOG})"
            )
    still = _missing(folder, datasets)
    if still:
        raise UserError(
            f"EuroEval gave no result for {', '.join(still)} ({len(still)} of {len(datasets)} data sets asked for); see "
            f"{folder / LOG}"
        )
    measured = {m.dataset: m for m in results.read(folder / results.FILE)}
    for name in datasets:
        if len(measured[name].iterations) != tool.iterations:
            count = len(measured[name].iterations)
            raise UserError(f"EuroEval gave {count} of {tool.iterations} iterations of {name}; see {folder / LOG}")
    return [measured[name] for name in datasets]


def _missing(folder: Path, datasets: Sequence[str]) -> list[str]:
    _mend(folder / results.FILE)
    there = {m.dataset for m in results.read(folder / results.FILE)} if (folder / results.FILE).is_file() else set()
    return [name for name in datasets if name not in there]


def _mend(file: Path) -> None:
    """Take off the row in whose middle the tool was killed."""
    if not file.is_file():
        return
    whole, _, last = file.read_text(encoding="utf-8", errors="replace").rstrip().rpartition("\n")
    try:
        json.loads(last or "{}")
    except json.JSONDecodeError:
        files.write_atomically(file, whole + "\n")


def _last(folder: Path) -> str:
    lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip()[:300] if lines else "it said nothing"
