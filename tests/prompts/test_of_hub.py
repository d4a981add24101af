"""Data sets of the hub, through the real clients and a hub of our own: configurations, splits, commits, and without a network."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from croco.errors import UserError
from croco.prompts import of_hub
from tests.support.hub import COMMIT, commit_of, hub

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from croco.config import DataConfig
from croco.errors import UserError
from croco.models import commits
from croco.prompts import ready
from collections import Counter
found = []
for path, split, revision, languages in json.loads(sys.argv[1]):
    config = commits.pinned(DataConfig("pairs", path, None, split, revision, None, None, 0, 1))
    try:
        read = [(p.prompt_id, p.language) for p in ready.read(config, languages, Counter())]
    except UserError as error:
        read = str(error)
    found.append([config.revision, read])
print(json.dumps(found))
"""
SPLITS = "  - split: train\n    path: {name}/train-*\n  - split: test\n    path: {name}/test-*\n"
CARD = "---\nconfigs:\n" + "".join(
    f"- config_name: {name}\n  data_files:\n{SPLITS.format(name=name)}" for name in ("dan_Latn", "eng_Latn")
)


def table(*ids: str) -> bytes:
    out = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist([{"id": i, "prompt": i, "chosen": "good", "rejected": "bad"} for i in ids]), out
    )
    return out.getvalue()


def files(*danish: str) -> dict[str, bytes]:
    """A card that names two configurations of two splits, each Parquet, in the hub's own layout."""
    of = {
        "dan_Latn/train": danish,
        "dan_Latn/test": ("dt",),
        "eng_Latn/train": ("e1", "e2", "e3"),
        "eng_Latn/test": ("et",),
    }
    tables = {f"{name}-00000-of-00001.parquet": table(*ids) for name, ids in of.items()}
    return {"README.md": f"{CARD}---\n# Pairs\n".encode(), **tables}


@pytest.mark.slow
def test_configurations_splits_and_commits(tmp_path: Path) -> None:
    """A configuration per language, of which the run's are read; a tag is another commit; what is gone is read from the cache
    at its commit, not at the last one; what the cache lacks is one line that says what brings it."""
    plain = {"data/train-00000-of-00001.parquet": table("x_en")}
    several = {"README.md": CARD.replace("dan_Latn", "raw").replace("eng_Latn", "clean").encode() + b"---\n"}
    several |= {f"{name}/{split}-0.parquet": table("x") for name in ("raw", "clean") for split in ("train", "test")}
    repositories = {
        ("datasets", "org/Pairs"): files("d1", "d2"),
        ("datasets", "org/Pairs@v1"): files("old"),
        ("datasets", "org/plain"): plain,
        ("datasets", "org/several"): several,
    }
    base = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    base |= {"HF_HOME": str(tmp_path), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}

    def read(asked: list[Any], **environment: str) -> Any:
        called = [sys.executable, "-c", PROGRAM, json.dumps(asked)]
        done = subprocess.run(called, cwd=ROOT, env={**base, **environment}, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    danish = [["d1", "da"], ["d2", "da"]]
    asked: list[Any] = [
        ["org/Pairs", "train", None, ["da"]],
        ["org/Pairs", "test", None, ["da", "en"]],
        ["org/plain", "train", None, ["en"]],
        ["org/Pairs", "train", None, ["de"]],
        ["org/several", "train", None, ["en"]],
        ["org/Pairs", "train", "v1", ["da"]],
    ]
    with hub(repositories) as (address, _):
        found = read(asked, HF_ENDPOINT=address)
    assert found[0] == [COMMIT, danish]
    assert found[1] == [COMMIT, [["dt", "da"], ["et", "en"]]]
    assert found[2] == [COMMIT, [["x_en", "en"]]]
    assert "no configuration in de, only dan_Latn, eng_Latn" in found[3][1]
    assert found[4][1] == "data.name: 'org/several' has several configurations; name one of raw, clean"
    assert found[5] == [commit_of("v1"), [["old", "da"]]]
    offline = [
        ["org/Pairs", "train", COMMIT, ["da"]],
        ["org/Pairs", "train", commit_of("v1"), ["da"]],
        ["org/Pairs", "train", "d" * 40, ["da"]],
    ]
    found = read(offline, HF_HUB_OFFLINE="1")
    assert found[0][1] == danish
    assert found[1][1] == [["old", "da"]]
    assert "is not in the cache at dddddddddddd" in found[2][1]
    assert "croco fetch" in found[2][1]


def test_a_named_configuration_is_read_whatever_else_there_is() -> None:
    assert of_hub.configurations(of_hub.Asked("a/b", "raw"), ["da"], "data.path") == ["raw"]


@pytest.mark.parametrize(
    ("there", "wanted", "found"),
    [
        (["default"], ["da"], ["default"]),
        (["only"], ["da"], ["only"]),
        (["da", "en", "sv"], ["sv", "da"], ["da", "sv"]),
        (["dan_Latn", "default"], ["en"], ["default"]),
        (["raw", "default"], ["en"], ["default"]),
    ],
)
def test_which_configurations_are_read(
    there: list[str], wanted: list[str], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_hub, "_names", lambda asked, key: there)
    assert of_hub.configurations(of_hub.Asked("a/b"), wanted, "data.path") == found


def test_several_without_a_language_ask_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_hub, "_names", lambda asked, key: ["raw", "clean"])
    with pytest.raises(UserError, match=r"reward\.preferences\[0\]\.name: 'a/b' has several"):
        of_hub.configurations(of_hub.Asked("a/b"), ["en"], "reward.preferences[0]")
