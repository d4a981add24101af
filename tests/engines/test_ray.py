"""A Ray cluster of two nodes on this machine: rows are one process's, though an actor and a node are lost."""

from __future__ import annotations

import functools
import importlib.util
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from croco.config import RayConfig
from croco.engines.base import Completion, Request, seed_of
from croco.engines.hf import HFGenerator
from croco.engines.process import EngineCrash
from croco.errors import UserError
from croco.language.text import load_tokenizer
from croco.models.checkpoints import Checkpoint

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]
ONE_CPU = RayConfig(address=None, actors=3, gpus=0, cpus=1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with one CPU and a node with two."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.second = cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def engine_of(policy: Path) -> HFGenerator:
    tokenizer = load_tokenizer(str(policy), None, None, False)
    return HFGenerator(Checkpoint(path=str(policy)), tokenizer, 1.0, 1.0, 16, 2)


class Dies:
    """An engine whose process ends at a task: at the first of all, or at every one."""

    def __init__(self, policy: Path, marker: Path, always: bool) -> None:
        self.inside, self.marker, self.always = engine_of(policy), marker, always
        self.settings = self.inside.settings

    def generate(self, requests: list[Request]) -> Iterable[Completion]:
        first = not self.marker.exists()
        self.marker.touch()
        if first or self.always:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inside.generate(requests)


def requests(count: int) -> list[Request]:
    return [
        Request(f"p{i}", "en", [0, 4, *range(10, 12 + i % 7), 5], range(4), seed_of(7, f"p{i}", "en"))
        for i in range(count)
    ]


def test_prompts_that_take_engines_down_are_named(cluster: Any, policy: Path, tmp_path: Path) -> None:
    from croco.engines.ray_engine import RayGenerator

    generator = RayGenerator(functools.partial(Dies, policy, tmp_path / "died", True), ONE_CPU, {}, 2)
    with pytest.raises(EngineCrash, match=r"3 actors were lost .*p0 \(en\), p1 \(en\)"):
        list(generator.generate(requests(2)))
    generator.close()


def test_what_the_engine_refuses_is_one_line_and_so_is_a_cluster_without_room(cluster: Any, policy: Path) -> None:
    from croco.engines.ray_engine import RayGenerator

    with pytest.raises(UserError, match="nowhere"):
        RayGenerator(functools.partial(engine_of, Path("/nowhere")), ONE_CPU, {}, 2)
    wants = RayConfig(address=None, actors=None, gpus=1, cpus=1)
    with pytest.raises(UserError, match="an actor wants 1 GPUs and 1 CPUs; the whole cluster has 0 and 3"):
        RayGenerator(functools.partial(engine_of, policy), wants, {}, 2)


def test_a_run_on_ray_makes_the_artifacts_of_a_run_without(
    cluster: Any, policy: Path, reward: Path, tmp_path: Path
) -> None:
    from tests.artifacts.test_reuse import answers, composed, tables  # here, so that actors need not import it

    small = ["prompts.train=12", "prompts.heldout=6", "sampling.samples=8", "engine.prompts_per_unit=2"]
    answers(composed(policy, reward, tmp_path / "hf", *small, "engine=hf"), tmp_path / "hf")
    on_ray = [*small, "engine=ray", "engine.ray.actors=2", "engine.ray.cpus=1"]
    answers(composed(policy, reward, tmp_path / "ray", *on_ray), tmp_path / "ray")
    assert tables(tmp_path / "ray") == tables(tmp_path / "hf")


def test_an_actor_and_a_node_are_lost(cluster: Any, policy: Path, tmp_path: Path) -> None:
    from croco.engines.ray_engine import RayGenerator

    asked = requests(60)
    alone = {(c.request.prompt_id, c.sample): c.token_ids for c in engine_of(policy).generate(asked)}
    generator = RayGenerator(functools.partial(Dies, policy, tmp_path / "died", False), ONE_CPU, {}, 2)
    assert generator.settings == engine_of(policy).settings
    made: dict[tuple[str, int], list[int]] = {}
    for completion in generator.generate(asked):
        made[completion.request.prompt_id, completion.sample] = completion.token_ids
        if len(made) == 80:
            cluster.remove_node(cluster.second, allow_graceful=False)
    assert (tmp_path / "died").exists()
    assert made == alone
    generator.close()
