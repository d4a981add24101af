"""Log-probs of the frozen reference: computed once per answer, kept on disk, shared by every run on the same base.

An entry's key is the hash of (prompt ids, answer ids); the folder's address is the hash of everything else the numbers depend
on: the base's content, its type and attention, the path that computed them, and the kind of device. So mono and multi pairs,
filters, and sweeps over beta, learning rate or loss find what an earlier run computed. Values are kept per token in float32: a
sum over thousands of tokens would round away the differences that matter. A file is written when it is whole, and never
changed; whoever asks for sums gets them for answers with exactly their number of finite entries, or an error.
"""

from __future__ import annotations

import functools
import hashlib
import os
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
from croco.artifacts.store import address
from croco.config import Config
from croco.errors import UserError
from croco.models.checkpoints import identity
from croco.training.data import Example, Material, packs
from croco.training.forward import AnswerLogps, Forward
from croco.training.policy import Policy
from croco.training.start import as_reference

SCHEMA = pa.schema([("key", pa.binary(16)), ("logps", pa.list_(pa.float32()))])
WRITE_EVERY = 30.0  # seconds of work that a kill may cost

Values = dict[bytes, np.ndarray]
"""Key -> (tokens,) float32 log-probs of the answer's tokens."""
Compute = Callable[[Sequence[Example]], Iterator[tuple[Example, list[Tensor]]]]


def key(prompt: Sequence[int], answer: Sequence[int]) -> bytes:
    """16 bytes that are equal exactly when prompt and answer are, token by token."""
    ids = np.array([len(prompt), *prompt, *answer], np.int64)
    return hashlib.blake2b(ids.tobytes(), digest_size=16).digest()


def lacking(examples: Sequence[Example], known: Values) -> list[Example]:
    """Those with an answer that has no entry."""
    return [e for e in examples if any(key(e.prompt, answer) not in known for answer in e.answers)]


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
    ) -> Values:
        """The entries of all answers of the examples; what is not there is computed under the lock.

        Args:
            compute: yields each example with its answers' log-probs, in any order.
            keep: whether this process writes what it computes.
            waiting: called once when another run is computing for the same base.
        """
        known = self.read(examples)
        if lacking(examples, known):
            with locks.held(self.folder, lock, waiting):
                known |= self.read(lacking(examples, known))  # what the other run made
                known |= self.make(lacking(examples, known), compute, keep)
        return known

    def sums(self, examples: Sequence[Example], known: Values) -> Tensor:
        """(answers per example, examples) float64: each answer's log-prob.

        Raises:
            UserError: an answer has no entry, or one with another number of tokens, or with a number that is none.
        """
        rows = []
        for example in examples:
            entries = [known.get(key(example.prompt, answer)) for answer in example.answers]
            for answer, logps in zip(example.answers, entries, strict=True):
                if logps is None or len(logps) != len(answer) or not np.isfinite(logps).all():
                    raise UserError(
                        f"{self.folder}: an entry is missing or does not fit; remove this folder and run again"
                    )
            rows.append([float(logps.sum(dtype=np.float64)) for logps in entries if logps is not None])
        return torch.tensor(rows, dtype=torch.float64).T

    def read(self, examples: Sequence[Example]) -> Values:
        """The entries there are."""
        wanted = {key(e.prompt, answer) for e in examples for answer in e.answers}
        found: Values = {}
        for file in sorted(self.folder.glob("*.parquet")) if wanted else ():
            for batch in _batches(file):
                for place, name in enumerate(batch["key"].to_pylist()):
                    if name in wanted and name not in found:
                        found[name] = batch["logps"][place].values.to_numpy().copy()
        return found

    def make(self, examples: Sequence[Example], compute: Compute, keep: bool = True) -> Values:
        """Computed entries, written as they come, also when the work is cut short."""
        made: Values = {}
        unwritten: Values = {}
        written = time.monotonic()
        try:
            for example, answers in compute(examples) if examples else ():
                for answer, logps in zip(example.answers, answers, strict=True):
                    if not bool(torch.isfinite(logps).all()):
                        raise UserError(
                            "training: the reference gives an answer no log-prob (NaN or infinite); is the checkpoint whole, and "
                            "model.dtype wide enough for it?"
                        )
                    unwritten[key(example.prompt, answer)] = logps.float().cpu().numpy()
                if keep and time.monotonic() - written > WRITE_EVERY:
                    self._write(unwritten)
                    made, unwritten, written = made | unwritten, {}, time.monotonic()
        finally:
            if keep:
                self._write(unwritten)
        return made | unwritten

    def _write(self, values: Values) -> None:
        if not values:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        table = pa.table([list(values), [v.tolist() for v in values.values()]], schema=SCHEMA)
        final = self.folder / f"{uuid.uuid4().hex}.parquet"
        pq.write_table(table, final.with_suffix(".tmp"), compression="zstd")
        os.replace(final.with_suffix(".tmp"), final)


@torch.no_grad()
def compute(
    model: Any,
    forward: Forward,
    examples: Sequence[Example],
    budget: int,
    adapter: Path | None = None,
) -> Iterator[tuple[Example, list[Tensor]]]:
    """Each example with its answers' log-probs under the model with its adapter off (or with `adapter`), in evaluation mode.

    Args:
        budget: tokens in a forward pass.
    """
    was_training = model.training
    model.eval()
    try:
        for group in packs(range(len(examples)), forward.sizes(examples), budget):
            some = [examples[i] for i in group]
            with as_reference(model, adapter):
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
        examples = [*self.material.train, *self.material.validation]
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
        lacks = len(lacking(examples, cache.read(examples)))
        if lacks:
            self.say(f"training: computing the reference of {lacks:,} of {len(examples):,} examples")
        known = self._known(policy, cache, examples)
        sums = cache.sums(examples, known)
        if policy.watch is not None:
            policy.watch.reference = sums[:, len(self.material.train) :]  # type: ignore[attr-defined]
        return sums[:, : len(self.material.train)]

    def _known(self, policy: Policy, cache: ReferenceCache, examples: Sequence[Example]) -> dict[bytes, Any]:
        """Each process computes a part; where weights are sharded, all compute the same and the first writes."""
        rank, world, strategy = policy.global_rank, policy.trainer.world_size, policy.trainer.strategy

        def logps(some: Sequence[Example]) -> Iterator[tuple[Example, list[Tensor]]]:
            budget, adapter = self.config.trainer.tokens_per_pack, self.material.start.reference
            return compute(policy.model, self.forward, some, budget, adapter)

        if world == 1:
            waiting = functools.partial(self.say, "training: another run computes the same reference; waiting")
            return cache.of(examples, logps, waiting=waiting)
        if policy.sharded:
            known = cache.read(examples)
            strategy.barrier()  # all have read the same before anybody writes
            return known | cache.make(lacking(examples, known), logps, keep=rank == 0)
        cache.of(examples[rank::world], logps, lock=f".lock-{rank}")
        strategy.barrier()
        return cache.of(examples, logps, lock=f".lock-{rank}")
