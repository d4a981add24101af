"""Calling EuroEval's command, on a stand-in that speaks its command line and writes its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from croco.errors import UserError
from croco.evals.benchmarks import results, tool
from tests.evals.benchmarks import stub


@pytest.fixture(scope="module")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stub.install(tmp_path_factory.mktemp("environment"))


def made(executable: Path, cache: Path, **changed: object) -> tool.Tool:
    settings = {
        "executable": executable,
        "iterations": 3,
        "few_shot": True,
        "test_split": True,
        "cache": cache,
        "custom_datasets": None,
        "options": {},
    }
    return tool.Tool(**(settings | changed))  # type: ignore[arg-type]


def test_what_is_installed(executable: Path, tmp_path: Path) -> None:
    used = made(executable, tmp_path)
    assert used.version() == "18.3.0"
    assert used.known() == {"da": ["scala-da", "danwic", "speed"], "en": ["squad", "speed"]}


def test_custom_data_sets_are_known(executable: Path, tmp_path: Path) -> None:
    file = tmp_path / "custom.py"
    file.write_text("from euroeval.data_models import DatasetConfig\nMINE = DatasetConfig('mine', 'mt')\n")
    assert made(executable, tmp_path, custom_datasets=file).known()["mt"] == ["mine"]


def test_unknown_data_sets_have_a_line_each() -> None:
    """The two errors of the paper's own list: a Swedish data set for Portuguese, and a misspelling."""
    wanted = {"pt": ["multi-wiki-qa-sv", "mmlu-pt"], "fi": ["tidyqa-fi"]}
    lines = tool.unknown(wanted, {"sv": ["multi-wiki-qa-sv"], "pt": ["mmlu-pt"], "fi": ["tydiqa-fi"]})
    assert lines == [
        "evals.euroeval.datasets.pt: the installed EuroEval has 'multi-wiki-qa-sv' only in sv",
        "evals.euroeval.datasets.fi: the installed EuroEval has 'tidyqa-fi' nowhere",
    ]


def test_a_killed_run_goes_on(executable: Path, tmp_path: Path) -> None:
    """One data set is done and half of another's row is written; only the missing one is asked for."""
    used = made(executable, tmp_path / "cache")
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "die").touch()
    with pytest.raises(UserError, match=r"ended with code 1 on some/model: killed \(see"):
        tool.run(used, "some/model", ["scala-da", "danwic"], folder)
    (folder / "die").unlink()
    with (folder / results.FILE).open("a") as file:
        file.write('\n{"schema_version": "0.2.1", "model_in')
    measured = tool.run(used, "some/model", ["danwic", "scala-da"], folder)
    assert [(m.dataset, m.metric, len(m.iterations)) for m in measured] == [
        ("danwic", "mcc", 3),
        ("scala-da", "mcc", 3),
    ]
    log = (folder / tool.LOG).read_text()
    assert log.count("evaluated scala-da") == 1
    assert tool.run(used, "some/model", ["danwic", "scala-da"], folder) == measured
    assert (folder / tool.LOG).read_text() == log


def test_what_was_asked_for_and_not_returned_is_an_error(executable: Path, tmp_path: Path) -> None:
    (tmp_path / "skip").write_text("danwic")
    with pytest.raises(UserError, match=r"no result for danwic \(1 of 2 data sets asked for\)"):
        tool.run(made(executable, tmp_path), "some/model", ["scala-da", "danwic"], tmp_path)


def test_fewer_iterations_than_asked_for(executable: Path, tmp_path: Path) -> None:
    tool.run(made(executable, tmp_path), "some/model", ["danwic"], tmp_path)
    with pytest.raises(UserError, match="3 of 5 iterations of danwic"):
        tool.run(made(executable, tmp_path, iterations=5), "some/model", ["danwic"], tmp_path)


def test_no_environment(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`make euroeval` sets it up"):
        made(tmp_path / "bin/euroeval", tmp_path).version()
