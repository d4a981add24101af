"""Pairs as other tools read them: one function per format, from a row of the pairs table to a row of theirs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from croco.errors import UserError

Row = dict[str, Any]
SHAREGPT_ROLES = {"system": "system", "user": "human", "assistant": "gpt"}


def trl_dpo(row: Row) -> Row:
    """As it is: explicit prompt, conversational; scores, languages and ids ride along."""
    return row


def trl_sft(row: Row) -> Row:
    """Prompt and completion, conversational: the chosen answer alone."""
    return {"prompt": row["prompt"], "completion": row["chosen"], **_origin(row)}


def llamafactory(row: Row) -> Row:
    """LLaMA-Factory's sharegpt preference format."""
    turn = lambda message: {"from": SHAREGPT_ROLES[message["role"]], "value": message["content"]}  # noqa: E731
    return {
        "conversations": [turn(message) for message in row["prompt"]],
        "chosen": turn(row["chosen"][0]),
        "rejected": turn(row["rejected"][0]),
        **_origin(row),
    }


def axolotl(row: Row) -> Row:
    """axolotl's chat_template.default for DPO: the sides are single messages."""
    return {"messages": row["prompt"], "chosen": row["chosen"][0], "rejected": row["rejected"][0], **_origin(row)}


def reference(row: Row) -> Row:
    """The reference repository's `dpo_*.jsonl`: texts only, so a conversation's last user turn stands for it."""
    return {
        "id": row["prompt_id"],
        "source_dataset": None,
        "domain": None,
        "prompt": row["prompt"][-1]["content"],
        "prompt_language": row["language"],
        "chosen": row["chosen"][0]["content"],
        "rejected": row["rejected"][0]["content"],
        **{
            name: row[name]
            for name in ("chosen_score", "rejected_score", "chosen_language", "rejected_language", "pool_size")
        },
    }


def _origin(row: Row) -> Row:
    """What leads back to the generations, for formats whose own columns are few."""
    return {name: value for name, value in row.items() if name not in ("prompt", "chosen", "rejected", "source")}


@dataclass(frozen=True)
class Format:
    """A tool's rows, and the settings that make the tool read them."""

    row: Callable[[Row], Row]
    settings: Callable[[Path], tuple[str, str]] | None = None
    """From the data file to (name, content) of a file beside it."""


def _llamafactory_settings(data: Path) -> tuple[str, str]:
    columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}
    entry = {"file_name": data.name, "formatting": "sharegpt", "ranking": True, "columns": columns}
    return "dataset_info.json", json.dumps({data.stem: entry}, indent=2) + "\n"


def _axolotl_settings(data: Path) -> tuple[str, str]:
    kind = "parquet" if data.suffix == ".parquet" else "json"
    lines = (
        "rl: dpo",
        "datasets:",
        f"  - path: {data}",
        f"    ds_type: {kind}",
        "    split: train",
        "    type: chat_template.default",
        "    field_messages: messages",
        "    field_chosen: chosen",
        "    field_rejected: rejected",
    )
    return f"{data.stem}.axolotl.yaml", "\n".join(lines) + "\n"


FORMATS = {
    "trl_dpo": Format(trl_dpo),
    "trl_sft": Format(trl_sft),
    "llamafactory": Format(llamafactory, _llamafactory_settings),
    "axolotl": Format(axolotl, _axolotl_settings),
    "reference": Format(reference),
}


def read(path: Path) -> Iterator[Row]:
    """The rows of a pairs table (a file, or an artifact's folder) without token ids, a row group at a time.

    Raises:
        UserError: there is no pairs table.
    """
    file = path / "pairs.parquet" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file}: no such file; give a pairs artifact or its pairs.parquet")
    table = pq.ParquetFile(file)
    columns = [name for name in table.schema_arrow.names if not name.endswith("_token_ids")]
    for batch in table.iter_batches(batch_size=1024, columns=columns):
        yield from batch.to_pylist()


def export(pairs: Path, name: str, to: Path) -> tuple[int, Path | None]:
    """Write pairs in a format to a .jsonl or .parquet file; returns (rows, the file of settings beside it).

    Raises:
        UserError: unknown ending.
    """
    style = FORMATS[name]
    to.parent.mkdir(parents=True, exist_ok=True)
    rows = (style.row(row) for row in read(pairs))
    if to.suffix == ".jsonl":
        count = _write_jsonl(rows, to)
    elif to.suffix == ".parquet":
        count = _write_parquet(rows, to)
    else:
        raise UserError(f"{to}: write to a .jsonl or a .parquet file")
    if style.settings is None:
        return count, None
    file_name, content = style.settings(to)
    (to.parent / file_name).write_text(content, encoding="utf-8")
    return count, to.parent / file_name


def _write_jsonl(rows: Iterable[Row], to: Path) -> int:
    count = 0
    with to.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def _write_parquet(rows: Iterable[Row], to: Path) -> int:
    """The first block's types hold for all: every row of a format has the same."""
    writer: pq.ParquetWriter | None = None
    count = 0
    block: list[Row] = []
    for row in rows:
        block.append(row)
        if len(block) == 1024:
            writer = _append(writer, block, to)
            count, block = count + len(block), []
    if block or writer is None:
        writer = _append(writer, block, to)
        count += len(block)
    writer.close()
    return count


def _append(writer: pq.ParquetWriter | None, block: list[Row], to: Path) -> pq.ParquetWriter:
    table = pa.Table.from_pylist(block, schema=writer.schema if writer is not None else None)
    writer = writer or pq.ParquetWriter(to, table.schema, compression="zstd")
    writer.write_table(table)
    return writer
