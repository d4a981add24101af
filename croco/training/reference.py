"""Log-probs of the frozen reference: computed once per answer, kept on disk, shared by every run on the same base.

An entry's key is the hash of (prompt ids, answer ids); the folder's address is the hash of everything else the numbers depend
on: the base's content, its type and attention, the path that computed them, and the kind of device. So mono and multi pairs,
filters, and sweeps over beta, learning rate or loss find what an earlier run computed. Values are kept per token in float32: a
sum over thousands of tokens would round away the differences that matter. A file is written when it is whole, and never
changed; whoever asks for sums gets them for answers with exactly their number of finite entries, or an error.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from croco.artifacts import locks
from croco.artifacts.files import whole
from croco.artifacts.store import address
from croco.config import Config
from croco.errors import UserError
from croco.models.checkpoints import identity
from croco.training.data import Material, packs, share
from croco.training.examples import Example, Examples, key, keys_of
from croco.training.forward import AnswerLogps, Forward
from croco.training.policy import Policy
from croco.training.start import BASE, Reference

SCHEMA = pa.schema([("key", pa.binary(16)), ("logps", pa.list_(pa.float32()))])
SAY_EVERY = 30.0  # seconds
WRITE_EVERY = 30.0  # seconds of work that a kill may cost
PATIENCE = 60.0  # seconds that processes wait for another run at a time
PART = 256  # examples of each of several processes before they tell one another

Entry = tuple[int, float]
"""An answer's tokens, and the sum of their log-probs in float64; no number where one of them is none."""
Known = dict[bytes, Entry]
Compute = Callable[[Sequence[Example]], Iterator[tuple[Example, list[Tensor]]]]


def entry(logps: np.ndarray) -> Entry:
    """Of (tokens,) float32 log-probs."""
    return len(logps), float(logps.sum(dtype=np.float64))


def lacking(examples: Sequence[Example], known: Known) -> Sequence[Example]:
    """Those with an answer that has no entry."""
    places = [place for place, keys in enumerate(keys_of(examples)) if any(key not in known for key in keys)]
    return examples[np.array(places, np.int64)] if isinstance(examples, Examples) else [examples[i] for i in places]


class ReferenceCache:
    """Entries of one base model under one folder."""

    def __init__(self, root: Path, depends_on: Mapping[str, Any]) -> None:
        self.folder = root / "reference" / address("reference", 2, depends_on, {})

    def of(
        self,
        examples: Sequence[Example],
        compute: Compute,
        waiting: Callable[[], None] = lambda: None,
        known: Known | None = None,
    ) -> Known:
        """The entries of all answers of the examples; what is not there is computed under the lock.

        Args:
            compute: yields each example with its answers' log-probs, in any order.
            waiting: called once when another run is computing for the same base.
            known: what was read already.
        """
        known = self.read(examples) if known is None else known
        if len(lacking(examples, known)):
            with locks.held(self.folder, waiting=waiting):
                known |= self.read(lacking(examples, known))  # what the other run made
                known |= self.make(lacking(examples, known), compute)
        return known

    def sums(self, examples: Sequence[Example], known: Known) -> Tensor:
        """(answers per example, examples) float64: each answer's log-prob.

        Raises:
            UserError: an answer has no entry, or one with another number of tokens, or with a number that is none.
        """
        lengths = Examples.of(examples).lengths[:, 1:].tolist()
        rows = []
        for keys, counts in zip(keys_of(examples), lengths, strict=True):
            entries = [known.get(key) for key in keys]
            for count, found in zip(counts, entries, strict=True):
                if found is None or found[0] != count or not math.isfinite(found[1]):
                    raise UserError(
                        f"{self.folder}: an entry is missing or does not fit; remove this folder and run again"
                    )
            rows.append([found[1] for found in entries if found is not None])
        return torch.tensor(rows, dtype=torch.float64).T

    def read(self, examples: Sequence[Example]) -> Known:
        """The entries there are."""
        wanted = {key for keys in keys_of(examples) for key in keys}
        found: Known = {}
        for file in sorted(self.folder.glob("*.parquet")) if wanted else ():
            for batch in _batches(file):
                keys, column = batch["key"].to_pylist(), batch["logps"]
                values, ends = column.values.to_numpy(), column.offsets.to_pylist()
                for place, name in enumerate(keys):
                    if name in wanted and name not in found:
                        found[name] = entry(values[ends[place] : ends[place + 1]])
        return found

    def make(self, examples: Sequence[Example], compute: Compute, keep: bool = True) -> Known:
        """Computed entries, written as they come, also when the work is cut short; by this process where it is to `keep` them."""
        made: Known = {}
        unwritten: dict[bytes, np.ndarray] = {}
        written = time.monotonic()
        try:
            for example, answers in compute(examples) if len(examples) else ():
                for answer, logps in zip(example.answers, answers, strict=True):
                    if not bool(torch.isfinite(logps).all()):
                        raise UserError(
                            "training: the reference gives an answer no log-prob (NaN or infinite); is the checkpoint whole, and "
                            "model.dtype wide enough for it?"
                        )
                    name = key(example.prompt, answer)
                    unwritten[name] = logps.float().cpu().numpy()
                    made[name] = entry(unwritten[name])
                if time.monotonic() - written > WRITE_EVERY:
                    self._write(unwritten if keep else {})
                    unwritten, written = {}, time.monotonic()
        finally:
            self._write(unwritten if keep else {})
        return made

    def _write(self, values: Mapping[bytes, np.ndarray]) -> None:
        if not values:
            return
        table = pa.table([list(values), [v.tolist() for v in values.values()]], schema=SCHEMA)
        with whole(self.folder / f"{uuid.uuid4().hex}.parquet") as temporary:
            pq.write_table(table, temporary, compression="zstd")


@torch.no_grad()
def compute(
    model: Any,
    forward: Forward,
    examples: Sequence[Example],
    budget: int,
    reference: Reference = BASE,
) -> Iterator[tuple[Example, list[Tensor]]]:
    """Each example with its answers' log-probs under the model with its adapter off (or as `reference`), in evaluation mode.

    Args:
        budget: tokens in a forward pass.
    """
    was_training = model.training
    model.eval()
    try:
        for group in packs(range(len(examples)), forward.sizes(examples), budget):
            some = [examples[i] for i in group]
            with reference.of(model):
                logps = forward(model, some)
            yield from zip(some, _by_example(logps, some), strict=True)
    finally:
        model.train(was_training)


def _by_example(logps: AnswerLogps, examples: Sequence[Example]) -> Iterator[list[Tensor]]:
    parts = iter(logps.values.split(logps.lengths))
    for example in examples:
        yield [next(parts) for _ in example.answers]


def _batches(file: Path) -> Iterator[Any]:
    try:
        yield from pq.ParquetFile(file).iter_batches()
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: is damaged ({said}); remove it, and the same command computes it again") from None


class _Reference:
    """The reference's log-probs of the training examples and, for the watch, of the validation examples."""

    def __init__(
        self, config: Config, material: Material, forward: Forward, store: Path, say: Callable[[str], None]
    ) -> None:
        self.config, self.material, self.forward, self.store, self.say = config, material, forward, store, say

    def __call__(self, policy: Policy) -> Tensor:
        model = self.config.model
        examples = Examples.of(self.material.train) + Examples.of(self.material.validation)
        depends = {
            "model": identity(model.path, model.revision),
            "dtype": model.dtype,
            "attention": model.attention,
            "path": self.forward.name,
            "fused_norms": self.config.trainer.fused_norms,
            "device": policy.device.type,
        }
        if (adapter := self.material.start.reference) is not None:
            depends["adapter"] = identity(str(adapter), None)
        cache = ReferenceCache(self.store, depends)
        known = (self._known if policy.trainer.world_size == 1 else self._known_to_all)(policy, cache, examples)
        sums = cache.sums(examples, known)
        if policy.watch is not None:
            policy.watch.reference = sums[:, len(self.material.train) :]  # type: ignore[attr-defined]
        return sums[:, : len(self.material.train)]

    def _known(self, policy: Policy, cache: ReferenceCache, examples: Examples) -> Known:
        """In the only process."""
        known = cache.read(examples)
        if count := len(lacking(examples, known)):
            self.say(f"training: computing the reference of {count:,} of {len(examples):,} examples")
        return cache.of(examples, functools.partial(self._logps, policy), waiting=self._waits, known=known)

    def _known_to_all(self, policy: Policy, cache: ReferenceCache, examples: Examples) -> Known:
        """In each of several processes, of which the first alone looks into the folder, holds it and writes to it: they take the
        same steps whatever another run does there, and however late a shared disk shows it."""
        first, broadcast = policy.global_rank == 0, policy.trainer.strategy.broadcast
        known: Known = broadcast(cache.read(examples) if first else {})
        if not len(lacking(examples, known)):
            return known
        with contextlib.ExitStack() as held:
            while not broadcast(first and self._holds(held, cache)):
                pass  # the others hear of it again and again: who waits for a broadcast for half an hour gives up
            known = broadcast(cache.read(examples) if first else {})
            # Where weights are sharded, all compute the same.
            work = functools.partial(self._logps if policy.sharded else self._in_parts, policy)
            return known | cache.make(lacking(examples, known), work, keep=first)

    def _holds(self, held: contextlib.ExitStack, cache: ReferenceCache) -> bool:
        try:
            held.enter_context(locks.held(cache.folder, waiting=self._waits, patience=PATIENCE))
        except TimeoutError:
            return False
        return True

    def _waits(self) -> None:
        self.say("training: another run computes the same reference; waiting")

    def _in_parts(self, policy: Policy, examples: Sequence[Example]) -> Iterator[tuple[Example, list[Tensor]]]:
        """As `_logps`, of which each process computes a part and all learn all."""
        import torch.distributed as dist

        rank, world, sizes = policy.global_rank, policy.trainer.world_size, self.forward.sizes(examples)
        for start in range(0, len(examples), PART * world):
            parts = share(range(start, min(start + PART * world, len(examples))), sizes, world)
            own = [examples[place] for place in parts[rank]]
            places = {id(example): place for example, place in zip(own, parts[rank], strict=True)}
            made = [(places[id(one)], [logps.cpu() for logps in every]) for one, every in self._logps(policy, own)]
            gathered: list[Any] = [None] * world
            dist.all_gather_object(gathered, made)
            for place, every in itertools.chain.from_iterable(gathered):
                yield examples[place], every

    def _logps(self, policy: Policy, some: Sequence[Example]) -> Iterator[tuple[Example, list[Tensor]]]:
        budget = self.config.trainer.tokens_per_pack
        return self._told(compute(policy.model, self.forward, some, budget, policy.referee), len(some))

    def _told(self, made: Iterator[tuple[Example, list[Tensor]]], total: int) -> Iterator[tuple[Example, list[Tensor]]]:
        """The same, with a line now and then on how far it is."""
        started = said = time.monotonic()
        for count, one in enumerate(made, start=1):
            yield one
            now = time.monotonic()
            if now - said >= SAY_EVERY:
                said = now
                left = (now - started) / count * (total - count)
                self.say(f"training: the reference of {count:,} of {total:,} examples, {left:,.0f} s left")
