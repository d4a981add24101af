"""An engine for each GPU of this machine: where each is, and that several make what one makes."""

from __future__ import annotations

import functools
import io
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from croco.engines import factory
from croco.engines.base import Answered, Completion, Request, seed_of
from croco.engines.hf import HFGenerator
from croco.engines.spread import SpreadGenerator, SpreadScorer
from croco.errors import UserError
from croco.language.text import load_tokenizer
from croco.models import devices
from croco.models.checkpoints import Checkpoint
from tests.artifacts.test_reuse import answers, composed, tables
from tests.engines.test_factory import composed as config_of

SMALL = ("prompts.train=12", "prompts.heldout=6", "sampling.samples=8", "engine=hf")


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.FAKE, "2")


def test_each_engine_sees_its_own_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight visible: eight engines of one, four of two each, two of three and two GPUs without work, one of eight; on a CPU as
    many as are asked for by number."""
    monkeypatch.setenv(devices.FAKE, "8")
    seen = devices.VISIBLE
    assert devices.places("auto") == [{seen: str(number)} for number in range(8)]
    assert devices.places("auto", 2) == [{seen: "0,1"}, {seen: "2,3"}, {seen: "4,5"}, {seen: "6,7"}]
    assert devices.places(7, 3) == [{seen: "0,1,2"}, {seen: "3,4,5"}]
    assert devices.places("auto", 8) == devices.places(1) == [{}]
    with pytest.raises(UserError, match=r"engine\.devices=9: 8 GPUs are visible"):
        devices.places(9)
    monkeypatch.setenv(devices.FAKE, "0")
    assert (devices.places("auto"), devices.places(2)) == ([{}], [{}, {}])


def test_roles_take_their_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.FAKE, "4")
    engine = config_of("engine=vllm", "engine.roles.judge.tensor_parallel=2").engine
    assert {role: len(factory.places(engine.of(role))) for role in ("policy", "judge")} == {"policy": 4, "judge": 2}
    assert factory.places(config_of("engine=fake", "engine.devices=auto").engine.of("policy")) == [{}]


def test_training_has_a_process_a_gpu_and_rounds_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def placed(*words: str) -> tuple[int | str, str]:
        trainer = devices.placed(config_of(*words)).trainer
        return trainer.devices, trainer.strategy

    monkeypatch.setenv(devices.FAKE, "4")
    assert placed("trainer=gpu") == (4, "ddp")
    assert placed("trainer=fsdp") == (4, "fsdp")
    assert placed("trainer=gpu", "trainer.devices=1") == (1, "auto")
    assert placed("trainer=gpu", "method=online_dpo") == (1, "auto")
    monkeypatch.setenv(devices.FAKE, "1")
    assert placed("trainer=ddp") == (1, "auto")
    monkeypatch.delenv(devices.FAKE)
    assert placed("trainer=cpu", "trainer.devices=auto") == (1, "auto")


def test_what_is_no_number_of_gpus_is_refused() -> None:
    for key in ("engine.devices", "trainer.devices"):
        with pytest.raises(UserError, match=rf"{key}: must be at least 1, or auto"):
            config_of(f"{key}=all")


@pytest.mark.parametrize(
    ("window", "total", "expected"),
    [
        (100, 64, [32, 16, 8, 8]),
        (100, 5, [3, 2]),
        (10, 30, [10, 10, 8, 2]),
        (None, 64, [8, 8]),
        (None, 3, [2, 1]),
    ],
)
def test_parts_are_even_and_get_smaller(window: int | None, total: int, expected: list[int]) -> None:
    """Of two engines. What is left, halved: 64 -> 32, 16, 8, and not below 8. With a window of 10 what is ahead is 20: 10, 10,
    then all 10 that are left are seen: 8 (the least), 2. Without windows 8 each to begin with, and the rest as they ask."""
    spread = SpreadGenerator.__new__(SpreadGenerator)
    spread.members, spread.window = [None, None], window  # type: ignore[list-item]
    coming: Any = iter(range(total))
    parts = spread._parts(coming) if window is None else spread._windows(coming)
    sizes = [len(list(itertools.islice(part, 8) if window is None else part)) for part in parts]
    assert sizes == expected


class Telling:
    """An engine that also tells in which process it is, and which GPUs it sees."""

    def __init__(self, policy: Path, folder: Path) -> None:
        tokenizer = load_tokenizer(str(policy), None, None, False)
        self.inside = HFGenerator(Checkpoint(path=str(policy)), tokenizer, 1.0, 1.0, 16, 64)
        self.settings = self.inside.settings
        self.file = folder / os.environ[devices.VISIBLE]

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for made in self.inside.generate(requests):
            self.file.open("a").write("x")
            yield made

    def use(self, adapter: Path | None) -> None:
        self.inside.use(adapter)

    def close(self) -> None:
        self.inside.close()


@pytest.mark.slow
def test_two_engines_answer_as_one(policy: Path, tmp_path: Path, two: None) -> None:
    """64 prompts x 4: both engines have work, each on its own device; ids as of one engine, but where sums fall otherwise."""
    asked = [
        Request(f"p{i}", "en", [0, 4, *range(10, 12 + i % 7), 5], range(4), seed_of(7, f"p{i}", "en"))
        for i in range(64)
    ]
    one = HFGenerator(Checkpoint(path=str(policy)), load_tokenizer(str(policy), None, None, False), 1.0, 1.0, 16, 64)
    expected = {(c.request.prompt_id, c.sample): c.token_ids for c in one.generate(asked)}
    spread: Any = SpreadGenerator(functools.partial(Telling, policy, tmp_path), devices.places("auto"), 32)
    try:
        assert spread.settings == one.settings
        found = {(c.request.prompt_id, c.sample): c.token_ids for c in spread.generate(asked)}
    finally:
        spread.close()
    assert found.keys() == expected.keys()
    assert sum(found[key] == expected[key] for key in expected) > 0.99 * len(expected)
    work = {file.name: len(file.read_text()) for file in tmp_path.iterdir()}
    assert work.keys() == {"0", "1"}
    assert sum(work.values()) == len(expected)
    assert min(work.values()) >= len(expected) / 4
    with pytest.raises(UserError, match="the engine's process ended"):
        spread.generate(asked[:1]).__next__()


class Length:
    """Rewards an answer by its length."""

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        return [float(len(a.answer)) for a in answers]

    def close(self) -> None:
        pass


@pytest.mark.slow
def test_two_scorers_score_parts_whole_and_one_call_in_parts() -> None:
    spread = SpreadScorer(Length, [{}, {}])
    try:
        parts = [[Answered([], "x" * (10 * n + i), "en", "") for i in range(n)] for n in range(1, 8)]
        found = dict(spread.stream(parts))
        assert found == {n: [float(len(a.answer)) for a in part] for n, part in enumerate(parts)}
        assert spread.score(parts[-1]) == found[len(parts) - 1]
        assert spread.score([]) == []
    finally:
        spread.close()


def rows(table: bytes, column: str) -> list[Any]:
    return list(pq.read_table(io.BytesIO(table))[column].to_pylist())


@pytest.mark.slow
def test_a_run_on_two_gpus_makes_the_artifacts_of_a_run_on_one(
    policy: Path, reward: Path, tmp_path: Path, two: None
) -> None:
    """The same addresses; at least 99 of 100 answers have the same ids, and those the same reward but for its last digits."""
    for folder, more in (("one", ["engine.devices=1"]), ("two", ["engine.devices=auto"])):
        answers(composed(policy, reward, tmp_path / folder, *SMALL, *more), tmp_path / folder)
    first, second = tables(tmp_path / "one"), tables(tmp_path / "two")
    assert first.keys() == second.keys()
    columns = {"generations": "token_ids", "scores": "reward"}
    for stage, column in columns.items():
        pairs = [
            pair
            for name in first
            if name.startswith(stage)
            for pair in zip(*(rows(made[name], column) for made in (first, second)), strict=True)
        ]
        same = [a == (b if stage == "generations" else pytest.approx(b, rel=1e-4)) for a, b in pairs]
        assert len(pairs) == 12 * 8
        assert sum(same) >= 0.99 * len(pairs)
