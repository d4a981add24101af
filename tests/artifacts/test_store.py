"""Artifacts: addresses, torn lines, sealing, locking."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from croco.artifacts import records
from croco.artifacts.records import Score
from croco.artifacts.store import Artifacts, Store, address
from croco.errors import UserError


def score(i: int, language: str = "en", reward: float | None = 0.5) -> Score:
    return Score(f"p{i:03}", language, i % 4, reward, 3, "stop", "rm")


def order(row: dict) -> tuple:
    return row["prompt_id"], row["sample"]


def test_address_depends_on_exactly_its_parts() -> None:
    base = address("s", 1, {"a": 1, "b": [1, 2]}, {"up": "x"})
    assert base == address("s", 1, {"b": [1, 2], "a": 1}, {"up": "x"})
    others = [
        address("t", 1, {"a": 1, "b": [1, 2]}, {"up": "x"}),
        address("s", 2, {"a": 1, "b": [1, 2]}, {"up": "x"}),
        address("s", 1, {"a": 1, "b": [2, 1]}, {"up": "x"}),
        address("s", 1, {"a": 1, "b": [1, 2]}, {"up": "y"}),
    ]
    assert len({base, *others}) == 5


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_cut_off(tmp_path: Path, cut: int) -> None:
    artifact = Store(tmp_path).artifact("scores", 1, {})
    journal = artifact.journal()
    journal.append([score(0), score(1)])
    journal.close()
    size = journal.path.stat().st_size
    with journal.path.open("rb+") as file:
        file.truncate(size - cut)
    reopened = artifact.journal()
    reopened.append([score(1), score(2)])
    reopened.close()
    assert [r["prompt_id"] for _, _, r in artifact.journalled()] == ["p000", "p001", "p002"]


def test_sealing_sorts_drops_repeats_and_round_trips(tmp_path: Path) -> None:
    artifact = Store(tmp_path, {"seed": 3}).artifact("scores", 1, {"k": 1})
    for writer, numbers in (("0", (5, 1, 3)), ("1", (1, 2))):
        journal = artifact.journal(writer)
        journal.append(score(i, reward=None if i == 3 else 0.5) for i in numbers)
        journal.close()
    assert artifact.seal_journal("scores", Score, order) == 4
    assert not artifact.sealed
    artifact.seal({"rows": 4}, seconds=1.0)
    assert artifact.sealed
    rows = artifact.rows("scores", Score)
    assert [r.prompt_id for r in rows] == ["p001", "p002", "p003", "p005"]
    assert rows[2].reward is None
    assert Store.open(artifact.path).manifest["seed"] == 3
    assert not (artifact.path / "journal").exists()


def test_several_languages_read_as_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    parts = {}
    for language in ("en", "da"):
        artifact = store.artifact("scores", 1, {"language": language})
        artifact.write_table("scores", records.schema(Score), [records.as_dict(score(1, language))])
        artifact.seal({"rows": 1}, 0.0)
        parts[language] = artifact
    assert [r.language for r in Artifacts(parts).rows("scores", Score)] == ["en", "da"]
    both = store.artifact("pairs", 1, {}, {"scores": Artifacts(parts)})
    assert set(both.upstream) == {"scores/en", "scores/da"}


def _compute(root: str, log: str) -> None:
    artifact = Store(root).artifact("scores", 1, {})
    with artifact.lock():
        if not artifact.sealed:
            with open(log, "a") as file:
                file.write("computed\n")
            artifact.write_table("scores", records.schema(Score), [records.as_dict(score(1))])
            artifact.seal({"rows": 1}, 0.0)


def test_of_two_jobs_one_computes_and_the_other_finds(tmp_path: Path) -> None:
    log = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=_compute, args=(str(tmp_path / "runs"), str(log))) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert log.read_text() == "computed\n"


def test_read_jsonl_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"a": 1}) + "\n\n{broken\n")
    with pytest.raises(UserError, match=r"x\.jsonl:3: not valid JSON"):
        list(records.read_jsonl(path))
    path.write_text("[1]\n")
    with pytest.raises(UserError, match=r"x\.jsonl:1: expected a JSON object"):
        list(records.read_jsonl(path))
    with pytest.raises(UserError, match="no such file"):
        list(records.read_jsonl(tmp_path / "absent.jsonl"))


def test_open_and_find_need_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json"):
        Store.open(tmp_path)
    with pytest.raises(UserError, match="0 finished artifacts"):
        Store(tmp_path).find("pairs", "ab")


def test_a_folder_has_words_and_the_address_decides(tmp_path: Path) -> None:
    """Two jobs with other words for the same artifact make one folder; it is found by its address, by its words, by both."""
    store = Store(tmp_path)
    first = store.artifact("training", 1, {"a": 1}, words="eurollm-da-mono-dpo")
    second = store.artifact("training", 1, {"a": 1}, words="a-copy-of-eurollm")
    assert second.path.name == f"a-copy-of-eurollm-{first.address}"  # not made yet
    with first.lock():
        first.seal({}, 0.0)
    with second.lock():
        assert second.sealed
    assert [path.name for path in (tmp_path / "training").iterdir()] == [f"eurollm-da-mono-dpo-{first.address}"]
    for given in (first.address, first.address[:6], "eurollm-da", first.path.name):
        assert store.find("training", given).address == first.address
    assert Store.open(first.path).path == first.path


def test_an_artifact_of_before_keeps_its_plain_folder(tmp_path: Path) -> None:
    before = Store(tmp_path).artifact("training", 1, {"a": 1})
    with before.lock():
        before.seal({}, 0.0)
    assert Store(tmp_path).artifact("training", 1, {"a": 1}, words="eurollm").sealed
