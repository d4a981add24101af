"""Rows of other artifacts that this one would make again: more samples of the same prompts, or more prompts, cost the new only.

A row depends on (model, prompt, sampling without K, seed of prompt, language and sample), never on K or on the other prompts.
So artifacts that differ in nothing else may hand over rows, finished or not; each is checked against the content it was made
from. The address stays that of the whole content: what is taken over is copied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from croco.artifacts.addresses import folder_of
from croco.artifacts.records import Generation, Prompt, Score
from croco.artifacts.store import Artifact, Store, canonical
from croco.errors import UserError

COPIED_AT_ONCE = 1024  # rows
Key = tuple[str, int]


def siblings(output: Artifact, inputs: Collection[Artifact], samples: bool) -> Iterator[Artifact]:
    """Other artifacts of the stage, finished or begun, that differ only in these inputs (and in K with `samples`)."""
    free = _keys(output, inputs)
    wanted = _but(output.version, output.config, output.upstream, free, samples)
    for path in sorted((output.root / output.stage).iterdir()):
        other = Store.begun(path)
        if (
            other is not None
            and other.address != output.address
            and _but(other.version, other.config, other.upstream, free, samples) == wanted
            and _intact(other)
        ):
            yield other


def _intact(other: Artifact) -> bool:
    """Whether a sealed one is whole: what is damaged is made anew, and told where it is needed itself."""
    try:
        if other.sealed:
            other.verify(rows_alone=True)
    except (OSError, UserError):
        return False
    return True


def take_over_generations(output: Artifact, prompts: Artifact, samples: int, done: Collection[Key]) -> int:
    """Copy into the journal the answers that other artifacts hold to the same prompts; returns how many."""
    taken, ours = set(done), None
    for other in siblings(output, (prompts,), samples=True):
        ours = ours or _prompts(prompts)
        same = _same(ours, _prompts(_input(other, output, prompts)))
        rows = (
            row
            for row in _rows(other, "generations")
            if row["prompt_id"] in same and row["sample"] < samples and _new(row, taken)
        )
        _copy(output, (Generation(**row) for row in rows))
    return len(taken) - len(done)


def take_over_scores(output: Artifact, prompts: Artifact, generations: Artifact, done: Collection[Key]) -> int:
    """Copy into the journal the rewards that other artifacts hold of the same answers to the same prompts; returns how many."""
    taken, ours, answers = set(done), None, None
    for other in siblings(output, (prompts, generations), samples=False):
        ours, answers = ours or _prompts(prompts), answers or _answers(generations)
        same = _same(ours, _prompts(_input(other, output, prompts)))
        theirs = _answers(_input(other, output, generations))
        equal = {key for key, digest in theirs.items() if key[0] in same and answers.get(key) == digest}
        rows = (row for row in _rows(other, "scores") if _key(row) in equal and _new(row, taken))
        _copy(output, (Score(**row) for row in rows))
    return len(taken) - len(done)


def _keys(output: Artifact, inputs: Collection[Artifact]) -> set[str]:
    """What the output calls these inputs; `name@language` is another one's, which may not differ."""
    addresses = {artifact.address for artifact in inputs}
    return {key for key, address in output.upstream.items() if address in addresses and "@" not in key}


def _but(
    version: int, config: Mapping[str, Any], upstream: Mapping[str, str], free: Collection[str], samples: bool
) -> str:
    """What must be equal, as text."""
    config = dict(config)
    if samples:
        config["sampling"] = {key: value for key, value in config["sampling"].items() if key != "samples"}
    return canonical([version, config, sorted(upstream), {k: v for k, v in upstream.items() if k not in free}])


def _input(other: Artifact, output: Artifact, ours: Artifact) -> Artifact | None:
    """What the other artifact read where the output reads `ours`; None when it is no longer there."""
    (key,) = _keys(output, (ours,))
    path = folder_of(ours.root / ours.stage, other.upstream[key])
    return Store.open(path) if path is not None and (path / "manifest.json").is_file() else None


def _prompts(artifact: Artifact | None) -> dict[str, str]:
    """Digest of what a model or a rule reads, by prompt id."""
    rows = [] if artifact is None else artifact.rows("prompts", Prompt)
    return {p.prompt_id: _digest(canonical([p.messages, p.meta])) for p in rows}


def _answers(artifact: Artifact | None) -> dict[Key, str]:
    """Digest of every answer's text and ids."""
    if artifact is None:
        return {}
    columns = ["prompt_id", "sample", "text", "token_ids"]
    batches = pq.ParquetFile(artifact.path / "generations.parquet").iter_batches(columns=columns)
    return {_key(row): _digest(f"{row['text']} {row['token_ids']}") for batch in batches for row in batch.to_pylist()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _same(ours: Mapping[str, str], theirs: Mapping[str, str]) -> set[str]:
    return {prompt_id for prompt_id, digest in theirs.items() if ours.get(prompt_id) == digest}


def _key(row: Mapping[str, Any]) -> Key:
    return row["prompt_id"], row["sample"]


def _new(row: Mapping[str, Any], taken: set[Key]) -> bool:
    if _key(row) in taken:
        return False
    taken.add(_key(row))
    return True


def _rows(artifact: Artifact, table: str) -> Iterator[dict[str, Any]]:
    if artifact.sealed:
        for batch in pq.ParquetFile(artifact.path / f"{table}.parquet").iter_batches():
            yield from batch.to_pylist()
        return
    try:
        yield from (row for _, _, row in artifact.journalled())
    except FileNotFoundError:  # sealed in this moment, and its journal with it: what is missed is made
        return


def _copy(output: Artifact, rows: Iterator[Any]) -> None:
    journal, block = output.journal("taken"), []
    try:
        for row in rows:
            block.append(row)
            if len(block) == COPIED_AT_ONCE:
                journal.append(block)
                block = []
        journal.append(block)
    finally:
        journal.close()


def file_of_a_sibling(output: Artifact, inputs: Collection[Artifact], name: str) -> Path | None:
    """A side file of the first artifact that rows may come from."""
    return next((p for other in siblings(output, inputs, samples=True) if (p := other.path / name).is_file()), None)
