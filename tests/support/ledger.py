"""A device that has no more than it has: models, engines, trainings and children draw of it, and one that would hold more fails.

What stands for a model here dies as a model does: it is part of a cycle, so that it goes when somebody collects, and what it
held is this process's cache until somebody gives that back. In a cache only this process finds room; a child does not.
"""

from __future__ import annotations

import gc
import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from croco.config.running import TAKEN
from croco.engines import hf, process
from croco.engines.base import Answered, Completion, Request
from croco.engines.fake import FakeGenerator, FakeScorer
from croco.evals.benchmarks import tool
from croco.models import checkpoints, devices, merged
from croco.rewards import alignment, implicit, judge
from croco.stages import distance
from croco.training import fit, launch, loaded, metrics, reward_model

MODEL = 0.2  # of the device, that a model's weights and its work take at least
TRAINING = 0.4  # ... and a model's that is trained, half of which is work


class Overdrawn(AssertionError):
    """Two hold more than there is."""


class Model:
    """What holds of the device until nobody has it any more."""

    def __init__(self) -> None:
        self.itself = self
        self.device = torch.device("cpu")


class Ledger:
    """Who holds how much of one device: 1 in all."""

    def __init__(self) -> None:
        self.here: dict[int, tuple[str, float]] = {}
        self.children: dict[int, tuple[str, float]] = {}
        self.cached = 0.0
        self.seen: list[str] = []
        """Whoever has drawn, in order."""
        self._number = 0

    def model(self, who: str, share: float = MODEL, of: Any = None) -> Any:
        """A model of this process: `of`, or one that stands for it. It finds room in the process's own cache."""
        made = Model() if of is None else of
        self._draw(who, share, cached=0.0)
        self.cached = max(0.0, self.cached - share)
        self.here[number := self._next()] = who, share
        weakref.finalize(made, self._freed, number)
        return made

    def child(self, who: str, share: float) -> Callable[[], None]:
        """A process that this one has started; called when it has ended."""
        self._draw(who, share, cached=self.cached)
        self.children[number := self._next()] = who, share
        return lambda: self.children.pop(number) and None

    def empty(self) -> None:
        """The cache is given back."""
        self.cached = 0.0

    def alone(self, who: str) -> None:
        """Nobody else holds anything."""
        if self.here or self.children:
            raise Overdrawn(f"{who} wants the device to itself, which {self._holders()} still hold")

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _freed(self, number: int) -> None:
        self.cached += self.here.pop(number)[1]

    def _draw(self, who: str, share: float, cached: float) -> None:
        self.seen.append(who)
        held = sum(part for _, part in (*self.here.values(), *self.children.values())) + cached
        if held + share > 1 + 1e-9:
            raise Overdrawn(
                f"{who} wants {share:g} of the device, which {self._holders()} and a cache of {cached:g} hold"
            )

    def _holders(self) -> str:
        return (
            ", ".join(f"{who} ({part:g})" for who, part in (*self.here.values(), *self.children.values())) or "nobody"
        )


class _Answers:
    """How the engines below answer: as the fake engine does."""

    inner: FakeGenerator

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        yield from self.inner.generate(requests)

    def use(self, adapter: Path | None) -> None:
        assert adapter is None or (adapter / "adapter_config.json").is_file()


class _Rewards:
    stream = None  # a call for each part

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        return FakeScorer().score(answers)


@contextmanager
def used(adapter: Path, reward: Path) -> Iterator[Ledger]:
    """Within it all that takes a device takes it of the ledger that is given.

    Args:
        adapter: what every training of a policy leaves.
        reward: what every training of a reward model leaves.
    """
    ledger = Ledger()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "_there", lambda: True)
        patch.setattr(devices, "_empty", ledger.empty)
        _engines(ledger, patch)
        _models(ledger, patch)
        _trainings(ledger, patch, adapter, reward)
        gc.freeze()  # what was there before is not looked through again and again
        try:
            yield ledger
        finally:
            gc.unfreeze()


def _engines(ledger: Ledger, patch: pytest.MonkeyPatch) -> None:
    class Generator(_Answers, hf.HFGenerator):
        def __init__(
            self, checkpoint: Any, tokenizer: Any, temperature: float, top_p: float, most: int, *_: Any
        ) -> None:
            self.model = ledger.model("generator")
            self.inner = FakeGenerator(tokenizer, most)
            self.settings = self.inner.settings

    class Scorer(_Rewards, hf.HFScorer):
        def __init__(self, *_: Any) -> None:
            self.model = ledger.model("scorer")

    class Implicit(_Rewards, implicit.ImplicitScorer):
        def __init__(self, *_: Any) -> None:
            self.model, self.logps = ledger.model("implicit reward"), None

    class Alignment(_Rewards, alignment.AlignmentScorer):
        def __init__(self, *_: Any) -> None:
            self.model = ledger.model("alignment reward")

    def begin(self: Any, build: Any, environment: Any) -> None:
        engine = build.args[0]
        self.who = type(self).__name__
        own = TAKEN if engine.name == "vllm" else MODEL
        self.share = engine.options.get("gpu_memory_utilization", own)
        self.sleeps = engine.options.get("enable_sleep_mode", False)
        self.ended = ledger.child(self.who, self.share)
        self.inner = FakeGenerator(build.args[2], build.args[3].max_new_tokens) if len(build.args) > 3 else None

    def turn(self: Any, what: str) -> bool:
        if not self.sleeps:
            return False
        self.ended = self.ended() if what == "sleep" else ledger.child(f"{self.who} awake", self.share)
        return True

    class IsolatedGenerator(_Answers, process.IsolatedGenerator):
        _start, _turn = begin, turn

        def _receive(self, expected: str) -> Any:
            return self.inner.settings

        def close(self) -> None:
            if self.ended is not None:  # type: ignore[has-type]
                self.ended()  # type: ignore[has-type]

    class IsolatedScorer(_Rewards, process.IsolatedScorer):
        _start, _turn = begin, turn

        def _receive(self, expected: str) -> Any:
            return {}

        def close(self) -> None:
            if self.ended is not None:  # type: ignore[has-type]
                self.ended()  # type: ignore[has-type]

    patch.setattr(judge, "number", lambda said, bounds: float(len(said) % 7))
    for module, name, kind in (
        (hf, "HFGenerator", Generator),
        (hf, "HFScorer", Scorer),
        (implicit, "ImplicitScorer", Implicit),
        (alignment, "AlignmentScorer", Alignment),
        (process, "IsolatedGenerator", IsolatedGenerator),
        (process, "IsolatedScorer", IsolatedScorer),
    ):
        patch.setattr(module, name, kind)


def _models(ledger: Ledger, patch: pytest.MonkeyPatch) -> None:
    """Models that stages load themselves: real ones, counted."""

    def load(*given: Any, **keywords: Any) -> Any:
        model, report = checkpoints.load(*given, **keywords)
        return (model if keywords.get("place") == "cpu" else ledger.model("model", of=model)), report

    patch.setattr(distance, "load", load)
    patch.setattr(merged, "load", load)
    run = tool.run

    def measured(*given: Any) -> Any:
        ended = ledger.child("EuroEval", TAKEN)
        found = run(*given)
        ended()
        return found

    patch.setattr(tool, "run", measured)


class Trained(Model):
    """A policy in training, which may wait in the host's memory."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger, self.device = ledger, torch.device("cuda")
        self._holds = ledger.model("policy in training")

    def parameters(self) -> list[Any]:
        return []

    def to(self, place: Any) -> None:
        self._holds = None if place == "cpu" else self.ledger.model("policy awake")


def _trainings(ledger: Ledger, patch: pytest.MonkeyPatch, adapter: Path, reward: Path) -> None:
    def leave(config: Any, material: Any, folder: Path, note: Any) -> None:
        record = metrics.Record(folder, material.start.step)
        record(row := {"step": material.start.step, "loss": 0.7})
        note(row)
        shutil.copytree(adapter, folder / "adapter", dirs_exist_ok=True)
        (folder / "checkpoints").mkdir(exist_ok=True)
        if config.method.trains_on == "preferences":
            shutil.copytree(reward, folder / reward_model.FOLDER)

    def trained(config: Any, material: Any, folder: Path, store: Path, note: Any, say: Any, engines: Any) -> None:
        if config.method.refresh_every is None:
            ledger.alone("training")
        work = SimpleNamespace(held=loaded.policy(config, material.start, engines))
        work.itself, work.activations = work, ledger.model("training", TRAINING - MODEL)
        leave(config, material, folder, note)

    def in_processes(config: Any, material: Any, folder: Path, store: Path, note: Any, first: int) -> None:
        ended = ledger.child("training's processes", 0.99)
        leave(config, material, folder, note)
        ended()

    patch.setattr(loaded.model, "build_model", lambda *_: Trained(ledger))
    patch.setattr(loaded.packed, "choose", lambda *_: None)
    patch.setattr(loaded, "begin", lambda *_: None)
    patch.setattr(fit, "fit", trained)
    patch.setattr(launch, "_in_processes", in_processes)
