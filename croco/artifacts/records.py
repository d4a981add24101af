"""The rows that stages exchange, their Parquet schemas, and readers that name file and line.

A row is addressed by (prompt_id, language, sample), never by its text: parallel prompts share a prompt_id, and two prompts
may well have the same text. Every row type is a frozen dataclass; `schema` derives its Arrow schema, so the dataclass is the
only place where a column is declared.
"""

from __future__ import annotations

import codecs
import dataclasses
import gzip
import io
import json
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from croco.errors import UserError

FAST_TO_READ = ("text",)  # columns read at random places by millions of rows: lz4 gives them out faster than zstd
HALF = re.compile("[\ud800-\udfff]")
Message = dict[str, str]
"""{"role": "system" | "user" | "assistant", "content": text}"""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt in one language; its translations share `prompt_id`."""

    prompt_id: str
    language: str
    messages: list[Message]
    """The conversation so far; its last message is the user's."""
    split: str
    """`train` or `heldout`, the same for all translations of a prompt; `arena` for an arena's questions."""
    reference: str | None = None
    """The data set's own answer, where it has one."""
    meta: str = "{}"
    """JSON that a grader or checker needs; never shown to a model."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One sampled answer."""

    prompt_id: str
    language: str
    sample: int
    text: str
    token_ids: list[int]
    """As sampled, with the closing end-of-turn token where the model wrote one."""
    finish_reason: str
    """`stop` (the model ended its turn) or `length` (cut off)."""
    prompt_tokens: int
    tokens: int
    seed: int
    model: str
    revision: str


@dataclass(frozen=True, slots=True)
class Score:
    """The reward of one answer; a failed score is None, never a number."""

    prompt_id: str
    language: str
    sample: int
    reward: float | None
    tokens: int
    """Length of the answer in the policy's tokens, kept here so that selection need not read the texts."""
    finish_reason: str
    reward_model: str
    disagreement: float | None = None
    """Standard deviation (ddof 0) among the members of an ensemble; None where one model scores."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference; `prompt`, `chosen` and `rejected` load unchanged in TRL (explicit prompt, conversational)."""

    prompt_id: str
    language: str
    """The language of the prompt that is shown."""
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    chosen_score: float
    rejected_score: float
    chosen_language: str
    rejected_language: str
    chosen_sample: int
    rejected_sample: int
    chosen_tokens: int
    rejected_tokens: int
    pool_size: int
    """Number of scored answers the selection saw, the chosen one included."""
    pool_min: float
    """Of what selection compared: rewards, or their normalised values (`pairing.normalise`); the two scores stay rewards."""
    pool_mean: float
    pool_std: float
    """Population standard deviation (ddof 0)."""
    source: str = "on_policy"
    chosen_token_ids: list[int] | None = None
    """As the model that answered sampled them, see `Generation.token_ids`; None where they are not known."""
    rejected_token_ids: list[int] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One instance-level measurement: what was measured, on which answer to which prompt."""

    evaluation: str
    """Which evaluation: `quality`, `checks`, `arena`, ..."""
    system: str
    """Whose answer: `base` or `tuned`."""
    prompt_id: str
    language: str
    sample: int
    metric: str
    value: float | None
    category: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said of two answers to one question, shown in one order."""

    prompt_id: str
    language: str
    order: str
    """`candidate_first` or `opponent_first`."""
    winner: str | None
    """`candidate`, `opponent` or `tie`; None where no verdict can be read from the text."""
    text: str
    """What the judge wrote."""
    finish_reason: str
    truncated: bool
    """Whether the judge saw a shortened text."""
    candidate_characters: int
    """Of the whole answer, whatever the judge saw of it."""
    opponent_characters: int
    category: str
    subcategory: str
    judge: str
    seed: int


def _arrow_type(annotation: Any) -> pa.DataType:
    if isinstance(annotation, types.UnionType):
        (annotation,) = [a for a in typing.get_args(annotation) if a is not type(None)]
    if annotation == list[Message]:
        return pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    if typing.get_origin(annotation) is list:
        return pa.list_(_arrow_type(typing.get_args(annotation)[0]))
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}[annotation]


def schema(row_type: type) -> pa.Schema:
    """The Arrow schema of a row type of this module, columns in the order of its fields."""
    hints = typing.get_type_hints(row_type)
    return pa.schema([(f.name, _arrow_type(hints[f.name])) for f in dataclasses.fields(row_type)])


def wordless(text: str, finish_reason: str) -> bool:
    """Whether an answer was cut off before its first word: in its thought, which is no answer."""
    return not text.strip() and finish_reason == "length"


def canonical_messages(messages: list[Message]) -> str:
    """A conversation as one string, equal exactly when role and content of every message are."""
    return json.dumps([[m["role"], m["content"]] for m in messages], ensure_ascii=False)


def as_dict(row: Any) -> dict[str, Any]:
    """Shallow `asdict`: rows hold only JSON values."""
    return {f.name: getattr(row, f.name) for f in dataclasses.fields(row)}


def read_jsonl(
    path: Path,
    not_a_number: bool = False,
    packed: str | None = None,
    refused: list[tuple[int, UserError]] | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of every non-blank line.

    Args:
        not_a_number: let NaN and Infinity pass, which JSON does not have and other tools write for a score that is none; whoever
            asks for them counts them.
        packed: `gzip` or `zstd`, as the file is compressed.
        refused: gets the number of each line that cannot be read, with the reason, which is otherwise raised.

    Raises:
        UserError: the file is missing, is not UTF-8 (a byte-order mark may begin it), or a line is not a JSON object with each
            name once, or holds half a surrogate pair; the message names file and line.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    number = 0
    try:
        with opened(path, packed) as lines:
            for number, line in enumerate(lines, start=1):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if not line.strip():
                    continue
                try:
                    row = _row(f"{path}:{number}", line, not_a_number)
                except UserError as error:
                    if refused is None:
                        raise
                    refused.append((number, error))
                    continue
                yield number, row
    except (OSError, EOFError) as error:  # also of what is packed and cut short
        where = f" after line {number:,}" if packed else ""
        said = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read{where} ({said})") from None


def opened(path: Path, packed: str | None = None) -> BinaryIO:
    """The bytes of a file, unpacked from `gzip` or `zstd`."""
    if packed == "gzip":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if packed is not None:
        return io.BufferedReader(pa.input_stream(str(path), compression=packed))
    return path.open("rb")


def _row(place: str, line: bytes, not_a_number: bool) -> dict[str, Any]:
    try:
        row = json.loads(
            line.decode("utf-8"), object_pairs_hook=_once, parse_constant=float if not_a_number else _no_number
        )
    except RecursionError:
        raise UserError(f"{place}: not valid JSON (nested too deeply)") from None
    except ValueError as error:  # also a number of more digits than Python reads
        if line.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
            raise UserError(f"{place}: compressed, which its name does not say; end it in .gz or .zst") from None
        if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in line[:4]:
            raise UserError(f"{place}: UTF-16 or UTF-32; write UTF-8") from None
        if isinstance(error, UnicodeDecodeError):
            raise UserError(f"{place}: not UTF-8 ({error})") from None
        lone = ", lines end in carriage returns alone" if b"\r" in line.rstrip(b"\r\n") else ""
        raise UserError(f"{place}: not valid JSON ({' '.join(str(error).split())}{lone})") from None
    if not isinstance(row, dict):
        raise UserError(f"{place}: expected a JSON object, got {type(row).__name__}")
    if half := _half(row):
        raise UserError(f"{place}: half of a surrogate pair in {half}, which no text may hold")
    return row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name!r} twice")
        found[name] = value
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


def _half(value: Any) -> str | None:
    """A text with a lone surrogate, as an escape that can be shown."""
    if isinstance(value, str):
        return None if value.isascii() or not HALF.search(value) else ascii(value)[:60]
    if isinstance(value, dict):
        return next((found for pair in value.items() for part in pair if (found := _half(part))), None)
    return next((found for part in value if (found := _half(part))), None) if isinstance(value, list) else None


@dataclass(frozen=True, slots=True)
class Key:
    """The address of a row; sorts by prompt, then language, then sample."""

    prompt_id: str
    language: str
    sample: int = field(default=0)


def compression(schema: pa.Schema) -> dict[str, str]:
    """The codec of each leaf column: zstd, or lz4 for FAST_TO_READ."""
    return {
        leaf: "lz4" if field.name in FAST_TO_READ else "zstd"
        for field in schema
        for leaf in _leaves(field.name, field.type)
    }


def _leaves(path: str, kind: pa.DataType) -> Iterator[str]:
    """Parquet's names of the columns that a field is stored in."""
    if pa.types.is_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{path}.{field.name}", field.type)
    else:
        yield path
