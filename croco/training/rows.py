"""What a run trains on: prompts with their answers, as the ids that were sampled or as text.

Departure from the authors' code:
1. An answer of the policy is the ids that it sampled, and ends only where the model ended it (`method.tokens=generated`). Theirs
   encodes the text anew, which at temperature 1 often gives other ids, and closes what was cut off, too (`text`). Answers of a
   model with another tokenizer are texts in any case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from croco.artifacts.records import Message, Prompt
from croco.config import Config
from croco.engines import factory
from croco.errors import UserError
from croco.language import text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from croco.artifacts.store import Artifact, Artifacts

SIDES = {"pairs": ("chosen", "rejected"), "chosen": ("chosen",)}
TABLES = {"pairs": ("pairs",), "chosen": ("pairs", "alone")}
"""Single answers are trained on wherever one was chosen, also where nothing could be rejected."""
BATCH = 1024  # rows that are read at a time
Answer = str | Sequence[int] | np.ndarray
"""Text, or ids with an end where there is to be one."""


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt with its answers: chosen and rejected, the chosen alone, or the data set's own answer."""

    prompt_id: str
    language: str
    """Of the prompt."""
    messages: list[Message]
    answers: tuple[Answer, ...]


def rows(
    config: Config,
    prompts: Artifact | Artifacts,
    pairs: Artifact | Artifacts | None,
    tokenizer: PreTrainedTokenizerBase,
) -> list[Row]:
    """In the order of the pairs (or, for `method.trains_on=reference`, which needs none, of the prompts).

    Raises:
        UserError: the data set has no answers of its own, and the method trains on them.
    """
    return list(each(config, prompts, pairs, exact(config, pairs, tokenizer)))


def answers(config: Config) -> int:
    """How many a row has."""
    return len(SIDES.get(config.method.trains_on, ("reference",)))


def prompt_ids(config: Config, prompts: Artifact | Artifacts, pairs: Artifact | Artifacts | None) -> list[str]:
    """Each row's, without its texts."""
    if pairs is not None and config.method.trains_on != "reference":
        tables = (pairs.table(name, ["prompt_id"]) for name in TABLES[config.method.trains_on])
        return [prompt_id for table in tables for prompt_id in table["prompt_id"].to_pylist()]
    return [row.prompt_id for row in each(config, prompts, pairs, set())]


def exact(config: Config, pairs: Artifact | Artifacts | None, tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The sources whose answers are trained on as the ids that were sampled."""
    if config.method.tokens != "generated" or pairs is None or config.method.trains_on == "reference":
        return set()
    tables = (pairs.table(name, ["source"]) for name in TABLES[config.method.trains_on])
    sources = {source for table in tables for source in table["source"].unique().to_pylist()}
    return {source for source in sources if factory.samples_as(config, source, tokenizer)}


def each(
    config: Config, prompts: Artifact | Artifacts, pairs: Artifact | Artifacts | None, exact: set[str]
) -> Iterator[Row]:
    """As `rows`, one by one, of sources that are known to be `exact` or not."""
    if config.method.trains_on == "reference":
        own = [p for p in prompts.rows("prompts", Prompt) if p.split == "train"]
        found = [Row(p.prompt_id, p.language, p.messages, (p.reference,)) for p in own if p.reference]
        if not found:
            raise UserError("method.trains_on=reference: no prompt has a `reference` answer in this data")
        yield from found
        return
    assert pairs is not None, "all other methods are given pairs"
    sides = SIDES[config.method.trains_on]
    ids = [f"{side}_token_ids" for side in sides]
    for name in TABLES[config.method.trains_on]:
        for batch in pairs.batches(name, ["prompt_id", "language", "prompt", "source", *sides, *ids], BATCH):
            yield from _of_batch(batch, sides, exact)


def _of_batch(batch: pa.RecordBatch, sides: Sequence[str], exact: set[str]) -> Iterator[Row]:
    told = batch.select(["prompt_id", "language", "prompt", "source"]).to_pylist()
    sampled = [_lists(batch[f"{side}_token_ids"]) for side in sides]
    texts: dict[int, list[str]] = {}  # by side, read where an answer of the batch has no ids to go by
    for number, row in enumerate(told):
        answers: list[Answer] = []
        for place, (side, lists) in enumerate(zip(sides, sampled, strict=True)):
            ids = lists[number] if row["source"] in exact else None
            if ids is None and place not in texts:
                texts[place] = [messages[0]["content"] for messages in batch[side].to_pylist()]
            answers.append(texts[place][number] if ids is None else ids)
        yield Row(row["prompt_id"], row["language"], row["prompt"], tuple(answers))


def _lists(column: Any) -> list[np.ndarray | None]:
    """Each list of a column as an array of int32."""
    offsets, values = column.offsets.to_numpy(), column.values.to_numpy(zero_copy_only=False).astype(np.int32)
    there = column.is_valid().to_pylist()
    return [values[a:b] if valid else None for a, b, valid in zip(offsets, offsets[1:], there, strict=False)]


def ids_of(tokenizer: PreTrainedTokenizerBase, answer: Answer) -> list[int]:
    """What an answer is trained on: its ids, or those of its text (without outer white space) and of an end."""
    return text.answer_ids(tokenizer, answer.strip()) if isinstance(answer, str) else [int(i) for i in answer]
