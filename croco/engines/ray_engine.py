"""An engine on every device of a Ray cluster, behind the protocols of one.

Actors hold the engine that one process would hold, so that rows are the same; what an actor that is lost was working on goes to
the others, and a new actor takes its place when the cluster has room. Requests are taken from the caller as actors have room.

Actors rather than Ray Data's `map_batches`, although both spread the same class over the cluster: a data set loads its engines
anew for every execution (each language, each call of `score`), wants all its input at its start, and repeats without bound a
batch on which engines die.
"""

from __future__ import annotations

import logging
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from croco.artifacts import processes
from croco.config import RayConfig
from croco.engines.base import Answered, Completion, Request
from croco.engines.process import EngineCrash
from croco.errors import UserError
from croco.language import clock

TASKS_PER_ACTOR = 2  # one that is worked on, one that waits at the actor
MOST_LOSSES = 3  # actors that one task may take down before it is held to be the reason
NAMED_AT_MOST = 16  # prompts in a message


def _key(request: Request) -> tuple[str, str, int]:
    """Which request: a prompt may have several runs of samples."""
    return request.prompt_id, request.language, request.samples.start


@dataclass
class _Task:
    number: int
    content: list[Any]
    losses: int = 0


class _Held:
    """What an actor is: an engine, built when it is asked to."""

    def load(self, build: Callable[[], Any]) -> dict[str, Any]:
        self.engine = build()
        return dict(getattr(self.engine, "settings", {}))

    def generate(self, requests: list[Request]) -> list[tuple[int, int, Any, str, float | None]]:
        place = {_key(request): i for i, request in enumerate(requests)}
        return [
            (place[_key(c.request)], c.sample, array("q", c.token_ids), c.finish_reason, c.logp)
            for c in self.engine.generate(requests)
        ]

    def score(self, answers: list[Answered]) -> list[float | None]:
        rewards: list[float | None] = self.engine.score(answers)
        return rewards


class RayPool:
    """Actors and what they are working on.

    Raises:
        UserError: Ray is not installed, no cluster answers, or what `build` raises, as its one line.
    """

    def __init__(self, build: Callable[[], Any], cluster: RayConfig, environment: Mapping[str, str]) -> None:
        try:
            import ray
        except ImportError:
            raise UserError("engine.ray: Ray is not installed; pip install 'croco[ray]'") from None
        self._ray = ray
        if not ray.is_initialized():
            try:
                ray.init(address=cluster.address or "local", log_to_driver=False, logging_level=logging.ERROR)
                if cluster.address is None:
                    processes.watch_over()  # Ray's agents stay for minutes where this process is killed
            except ConnectionError as error:
                raise UserError(f"engine.ray.address={cluster.address}: no cluster answers ({_said(error)})") from None
        options: dict[str, Any] = {"num_cpus": cluster.cpus, "num_gpus": cluster.gpus, "max_restarts": 0}
        held: Any = ray.remote(_Held)
        self._actor = held.options(**options, runtime_env={"env_vars": {**clock.told(), **environment}})
        self._build = ray.put(build)
        self.actors = cluster.actors or _room(ray.cluster_resources(), cluster)
        self._loading: dict[Any, Any] = {}  # actors by what tells that they are ready
        self._ready: list[Any] = []
        self._unloaded = 0  # actors in a row that were lost while they loaded
        self.settings: dict[str, Any] = {}
        try:
            for _ in range(self.actors):
                self._start()
            while not self._ready:
                self._wait({})
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        actor = self._actor.remote()
        self._loading[actor.load.remote(self._build)] = actor

    def _wait(self, at_work: Mapping[Any, Any]) -> Any | None:
        """The next finished task's reference; None when it was an actor that has loaded its engine."""
        (done,), _ = self._ray.wait([*self._loading, *at_work], num_returns=1)
        if done not in self._loading:
            return done
        actor = self._loading.pop(done)
        try:
            self.settings = self._got(done)
        except self._ray.exceptions.RayActorError as error:
            self._unloaded += 1
            if self._unloaded == MOST_LOSSES:
                raise EngineCrash(
                    f"{MOST_LOSSES} actors were lost while they loaded the engine: {_said(error)}"
                ) from None
            self._start()
        else:
            self._unloaded = 0
            self._ready.append(actor)
        return None

    def _got(self, reference: Any) -> Any:
        """A result; the engine's own UserError as it was raised."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise UserError(str(error.cause)) from None
            raise

    def run(self, method: str, contents: Iterable[list[Any]]) -> Iterator[tuple[_Task, Any]]:
        """Each content's task and its result, as they come; contents are taken as actors have room."""
        coming = (_Task(number, content) for number, content in enumerate(contents))
        again: deque[_Task] = deque()
        at_work: dict[Any, tuple[_Task, Any]] = {}
        while True:
            for actor in self._ready:
                busy = sum(at is actor for _, at in at_work.values())
                for _ in range(TASKS_PER_ACTOR - busy):
                    task = again.popleft() if again else next(coming, None)
                    if task is not None:
                        at_work[getattr(actor, method).remote(task.content)] = (task, actor)
            if not at_work and not again and self._ready:
                return
            done = self._wait(at_work)
            if done is None:
                continue
            task, actor = at_work.pop(done)
            try:
                result = self._got(done)
            except self._ray.exceptions.RayActorError as error:
                again.append(task)
                self._lost(task, actor, error)
                continue
            yield task, result

    def _lost(self, task: _Task, actor: Any, error: Exception) -> None:
        """An actor is gone: the first of its tasks to say so sees to the next actor."""
        task.losses += 1
        if actor in self._ready:
            self._ready.remove(actor)
            self._start()
        if task.losses == MOST_LOSSES:
            names = list(dict.fromkeys(f"{one.prompt_id} ({one.language})" for one in task.content))[:NAMED_AT_MOST]
            raise EngineCrash(
                f"{MOST_LOSSES} actors were lost while they had the same prompts ({', '.join(names)}): {_said(error)}; "
                "the same command goes on where it stopped"
            )

    def close(self) -> None:
        """Give the devices back; the cluster stays."""
        for actor in [*self._ready, *self._loading.values()]:
            self._ray.kill(actor)
        self._ready, self._loading = [], {}


def _said(error: Exception) -> str:
    """The beginning of Ray's many lines, as one."""
    return " ".join(str(error).split())[:200]


def _room(resources: Mapping[str, float], cluster: RayConfig) -> int:
    """How many actors find a place.

    Raises:
        UserError: none does.
    """
    wants = {"GPU": cluster.gpus, "CPU": cluster.cpus}
    room = min(int(resources.get(name, 0) // amount) for name, amount in wants.items() if amount)
    if room == 0:
        raise UserError(
            f"engine.ray: an actor wants {cluster.gpus:g} GPUs and {cluster.cpus:g} CPUs; the whole cluster has "
            f"{resources.get('GPU', 0):g} and {resources.get('CPU', 0):g}"
        )
    return room


class RayGenerator:
    """A `base.Generator` on a cluster."""

    def __init__(
        self, build: Callable[[], Any], cluster: RayConfig, environment: Mapping[str, str], prompts_per_task: int
    ) -> None:
        self.pool = RayPool(build, cluster, environment)
        self.settings = self.pool.settings
        self.prompts_per_task = prompts_per_task

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """See `base.Generator`."""
        coming = iter(requests)
        tasks = iter(lambda: list(islice(coming, self.prompts_per_task)), [])
        for task, answers in self.pool.run("generate", tasks):
            for place, sample, ids, reason, logp in answers:
                yield Completion(task.content[place], sample, ids.tolist(), reason, logp)

    def close(self) -> None:
        self.pool.close()


class RayScorer:
    """A `base.Scorer` on a cluster."""

    def __init__(self, build: Callable[[], Any], cluster: RayConfig, environment: Mapping[str, str]) -> None:
        self.pool = RayPool(build, cluster, environment)

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """See `base.Scorer`."""
        ((_, rewards),) = self.stream([list(answers)])
        return rewards

    def stream(self, parts: Iterable[list[Answered]]) -> Iterator[tuple[int, list[float | None]]]:
        """See `base.scored`: each part is scored whole, as one process would."""
        for task, rewards in self.pool.run("score", parts):
            yield task.number, rewards

    def close(self) -> None:
        self.pool.close()
