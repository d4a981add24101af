"""Who holds the device: every kind of run is walked through with a ledger in the place of a device, and none overdraws it."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from rich.console import Console

from croco import tracking
from croco.artifacts.store import Store
from croco.config import CONF, Config, strict
from croco.engines.holder import EngineHolder
from croco.jobs import english
from croco.jobs.chain import Chain
from croco.models import devices
from croco.show.progress import Progress
from croco.stages import stages
from croco.tiny import MODELS
from tests.evals.benchmarks import stub
from tests.support import ledger
from tests.support.builders import build_adapter
from tests.support.ledger import Ledger, Overdrawn

EXPERIMENTS = CONF.parent / "experiments"
SMALL = "prompts.train=4 prompts.heldout=2 sampling.samples=4 lang.languages=[en,da] method.batch_size=2 logger=none"
ENGINES = {
    "hf": "engine=hf",
    "hf apart": "engine=hf engine.isolate=true",
    "vllm": "engine=vllm",
    "vllm, less": "engine=vllm engine.gpu_memory_utilization=0.25",
}
JUDGED = "judge=model judge.path={policy} judge.max_unreadable=1.0 evals=[quality,checks,arena] evals.checks.prompts=2"
DATASETS = "evals.euroeval.datasets={{da:[danwic],en:[squad]}}"
RUNS = {
    "alone": "evals=quality lang.languages=[da]",
    "rounds alone": "method=online_dpo method.refresh_every=1 pairing=best_worst lang.languages=[da]",
    "offline": "evals=quality",
    "online": "method=online_dpo pairing=best_worst evals=quality",
    "SFT": "method=sft evals=quality",
    "ICR, in rounds": "method=icr reward=icr pairing=best_worst method.refresh_every=2",
    "MAPO": "method=mapo reward=tiny_mapo pairing=every pairing.pairs_per_pool=2 method.learning_rate=1e-4",
    "a trained reward": "reward=trained reward.members=2 evals=reward_ranking",
    "judges": f"reward=judge reward.path={{policy}} reward.options.max_unreadable=1.0 {JUDGED}",
    "mixture": "source=mixture source.model={other} evals=distance",
    "EuroEval": f"evals=euroeval evals.euroeval.executable={{tool}} evals.euroeval.iterations=2 {DATASETS}",
}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_adapter(MODELS / "policy", tmp_path_factory.mktemp("ledger") / "adapter")


def config_of(run: str, engine: str, folder: Path) -> Config:
    words = f"{SMALL} evals=none {RUNS[run]} {ENGINES[engine]} paths.artifacts={folder}"
    places = {"policy": MODELS / "policy", "other": MODELS / "other_policy"}
    if "{tool}" in words:
        places["tool"] = stub.install(folder / "environment")
    return composed(words.format(**places).split())


def composed(words: Sequence[str]) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return strict(compose("config", overrides=list(words)))


def walk(run: str, engine: str, folder: Path, adapter: Path) -> Ledger:
    """The whole chain, but for its last tables."""
    return walked(config_of(run, engine, folder), folder, adapter)


def walked(config: Config, folder: Path, adapter: Path) -> Ledger:
    store, progress = Store(folder, {"run": {}, "seed": 1}), Progress(Console(file=io.StringIO()))
    with ledger.used(adapter, MODELS / "reward") as device:
        config = english.prepared(config, store, progress, tracking.silence())
        every = [stage for stage in stages() if stage.name not in ("arena", "report")]  # they only reckon
        Chain(config, store, progress, tracking.silence()).run(every)
    assert not device.here, "what is held at the end"
    assert not device.children, "what is held at the end"
    return device


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("run", RUNS)
def test_nobody_holds_what_another_needs(run: str, engine: str, tmp_path: Path, adapter: Path) -> None:
    seen: Sequence[str] = walk(run, engine, tmp_path, adapter).seen
    assert "training" in seen
    assert len(set(seen)) > 1


def test_rounds_and_what_comes_behind_them_have_room(tmp_path: Path, adapter: Path) -> None:
    """Generator and scorer stay, 0.25 of the device each, beside a training that takes 0.4; each is loaded once."""
    seen = walk("rounds alone", "vllm, less", tmp_path, adapter).seen
    assert Counter(seen) == {"training": 2, "policy in training": 1, "IsolatedGenerator": 2, "IsolatedScorer": 1}


def jobs(experiment: Path) -> list[list[str]]:
    """What each job of a sweep says, but for seeds, and for all but the first of what only chooses other pairs of a pool."""
    params = OmegaConf.load(experiment).hydra.sweeper.params
    parser = OverridesParser.create()
    every = []
    for key, values in params.items():
        (one,) = parser.parse_overrides([f"{key}={values}"])
        said = list(one.sweep_string_iterator()) if one.is_sweep_override() else [str(values)]
        every.append([f"{key}={value}" for value in said[: 1 if key in ("seed", "+pairing/points") else None]])
    return [list(job) for job in itertools.product(*every)]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", sorted(EXPERIMENTS.glob("*_tiny.yaml")), ids=lambda path: path.stem)
def test_nobody_holds_what_another_needs_in_a_shipped_experiment(
    experiment: Path, tmp_path: Path, adapter: Path
) -> None:
    """With the engine of which each takes all of the device but for a few percent."""
    for number, job in enumerate(jobs(experiment)):
        words = [f"experiments={experiment.stem}", *job, *SMALL.split(), ENGINES["vllm"]]
        seen = walked(
            composed([*words, f"paths.artifacts={tmp_path / str(number)}"]), tmp_path / str(number), adapter
        ).seen
        assert "training" in seen


@pytest.mark.slow
def test_without_room_for_all_they_wait_in_the_host_s_memory(tmp_path: Path, adapter: Path) -> None:
    """Generator and scorer take 0.92 each, so they come and go: the policy is read once, and comes back for round 1, as does the
    scorer; the generator of round 0 has no room for adapters, and that of round 1 is another."""
    seen = Counter(walk("rounds alone", "vllm", tmp_path, adapter).seen)
    assert seen == {
        "training": 2,
        "policy in training": 1,
        "policy awake": 1,
        "IsolatedGenerator": 2,
        "IsolatedScorer": 1,
        "IsolatedScorer awake": 1,
    }


@pytest.mark.parametrize("forgotten", ["rest", "vacate"])
def test_an_engine_that_nobody_closes_and_a_cache_that_nobody_gives_back_are_seen(
    forgotten: str, tmp_path: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator is there while training starts; the training's cache is there while the next engine starts."""
    owner = EngineHolder if forgotten == "rest" else devices
    monkeypatch.setattr(owner, forgotten, lambda *_: None)
    with pytest.raises(Overdrawn, match="training wants" if forgotten == "rest" else "a cache of 0.4"):
        walk("alone", "vllm", tmp_path, adapter)
