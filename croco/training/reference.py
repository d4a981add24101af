"""Log-probs of the frozen reference: computed once per answer, kept on disk, shared by every run on the same base.

An entry's key is the hash of (prompt ids, answer ids); the folder's address is the hash of everything else the numbers depend
on: the base's content, its type and attention, the path that computed them, and the kind of device. So mono and multi pairs,
filters, and sweeps over beta, learning rate or loss find what an earlier run computed. Values are kept per token in float32: a
sum over thousands of tokens would round away the differences that matter. A file is written when it is whole, and never
changed; whoever asks for sums gets them for answers with exactly their number of finite entries, or an error.
"""

from __future__ import annotations

import functools
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
from croco.training.data import Material, packs
from croco.training.examples import Example, Examples, key, keys_of
from croco.training.forward import AnswerLogps, Forward
from croco.training.policy import Policy
from croco.training.start import BASE, Reference

SCHEMA = pa.schema([("key", pa.binary(16)), ("logps", pa.list_(pa.float32()))])
SAY_EVERY = 30.0  # seconds
WRITE_EVERY = 30.0  # seconds of work that a kill may cost

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
        keep: bool = True,
        lock: str = ".lock",
        waiting: Callable[[], None] = lambda: None,
        known: Known | None = None,
    ) -> Known:
        """The entries of all answers of the examples; what is not there is computed under the lock.

        Args:
            compute: yields each example with its answers' log-probs, in any order.
            keep: whether this process writes what it computes.
            waiting: called once when another run is computing for the same base.
            known: what was read already.
        """
        known = self.read(examples) if known is None else known
        if len(lacking(examples, known)):
            with locks.held(self.folder, lock, waiting):
                known |= self.read(lacking(examples, known))  # what the other run made
                known |= self.make(lacking(examples, known), compute, keep)
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
        """Computed entries, written as they come, also when the work is cut short."""
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
        known = cache.read(examples)
        lacks = lacking(examples, known)
        if len(lacks):
            self.say(f"training: computing the reference of {len(lacks):,} of {len(examples):,} examples")
        if len(lacks) or policy.trainer.world_size > 1:  # processes meet, whatever each has found
            known = self._computed(policy, cache, examples, known)
        sums = cache.sums(examples, known)
        if policy.watch is not None:
            policy.watch.reference = sums[:, len(self.material.train) :]  # type: ignore[attr-defined]
        return sums[:, : len(self.material.train)]

    def _computed(self, policy: Policy, cache: ReferenceCache, examples: Examples, known: Known) -> Known:
        """Each process computes a part; where weights are sharded, all compute the same and the first writes."""
        rank, world, strategy = policy.global_rank, policy.trainer.world_size, policy.trainer.strategy

        def logps(some: Sequence[Example]) -> Iterator[tuple[Example, list[Tensor]]]:
            budget = self.config.trainer.tokens_per_pack
            return self._told(compute(policy.model, self.forward, some, budget, policy.referee), len(some))

        if world == 1:
            waiting = functools.partial(self.say, "training: another run computes the same reference; waiting")
            return cache.of(examples, logps, waiting=waiting, known=known)
        if policy.sharded:
            # What the first has read, since another run may have written in between: all must take the same passes.
            known = strategy.broadcast(known)
            return known | cache.make(lacking(examples, known), logps, keep=rank == 0)
        known |= cache.of(examples[rank::world], logps, lock=f".lock-{rank}", known=known)
        strategy.barrier()
        return cache.of(examples, logps, lock=f".lock-{rank}", known=known)

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
