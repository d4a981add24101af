"""Prompts in one language, split into train and held-out in the same way for all languages."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from croco import records
from croco.config import Config, PromptsConfig
from croco.errors import UserError
from croco.records import Prompt
from croco.stages.base import Job, Stage

MOST_HELDOUT = 0.2  # of the prompts there are, when there are fewer than asked for

Row = dict[str, Any]


def slice_of(config: Config) -> dict[str, Any]:
    prompts = records.as_dict(config.prompts)
    path = prompts.pop("path")
    if config.prompts.source in ("jsonl", "parquet"):
        files = _files(Path(str(path)), config.prompts.source)
        prompts["files"] = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}
    elif config.prompts.source == "hub":
        prompts["path"] = path
    if config.prompts.max_tokens is not None:
        from croco.engines.checkpoints import identity

        prompts["tokenizer"] = identity(config.model.path, config.model.revision)
    return {"prompts": prompts}


def run(job: Job) -> dict[str, Any]:
    config, language = job.config, str(job.language)
    dropped: Counter[str] = Counter()
    if config.prompts.source == "tiny":
        prompts = _tiny(config.prompts, language)
    else:
        read = {"jsonl": _from_files, "parquet": _from_files, "hub": _from_hub}[config.prompts.source]
        parsed = list(_parse(config.prompts, read(config.prompts), dropped))
        prompts = [p for p in _split(config.prompts, parsed) if p.language == language]
    if config.prompts.max_tokens is not None:
        prompts = _short(config, prompts, config.prompts.max_tokens, dropped)
    splits = Counter(p.split for p in prompts)
    if splits["train"] == 0:
        raise UserError(f"prompts.source={config.prompts.source}: no prompt in '{language}' (dropped: {dict(dropped)})")
    prompts.sort(key=lambda p: (p.split, p.prompt_id))
    job.output.write_table("prompts", records.schema(Prompt), map(records.as_dict, prompts))
    return {"rows": len(prompts), **splits, "dropped": dict(dropped)}


def _tiny(config: PromptsConfig, language: str) -> list[Prompt]:
    from croco.tiny import world

    if language not in world.LANGUAGES:
        raise UserError(f"lang.languages: the embedded world has no '{language}', only {', '.join(world.LANGUAGES)}")
    drawn = {}
    for split, count in (("train", config.train), ("heldout", config.heldout)):
        try:
            drawn[split] = world.prompts("open", split, count, config.seed)
        except ValueError as error:
            raise UserError(f"prompts.{split}: {error}") from None
    return [
        Prompt(
            prompt_id=p["prompt_id"],
            language=language,
            messages=[{"role": "user", "content": p["text"][language]}],
            split=split,
            reference=p["reference"][language],
            meta=json.dumps({key: p[key] for key in ("task", "args", "variant")}, ensure_ascii=False),
        )
        for split, prompts in drawn.items()
        for p in prompts
    ]


def _files(path: Path, suffix: str) -> list[Path]:
    """A file itself, or the files of a folder."""
    files = [path] if path.is_file() else sorted(path.glob(f"*.{suffix}"))
    if not files:
        raise UserError(f"prompts.path: {path}: no such file, nor a folder with *.{suffix} files")
    return files


def _from_files(config: PromptsConfig) -> Iterator[tuple[str, str | None, Row]]:
    """(place, language by the file's name, row) of every row."""
    path = Path(str(config.path))
    for file in _files(path, config.source):
        language = file.stem if path.is_dir() else None
        if config.source == "jsonl":
            for number, row in records.read_jsonl(file):
                yield f"{file}:{number}", language, row
        else:
            import pyarrow.parquet as pq

            for number, row in enumerate(pq.read_table(file).to_pylist(), start=1):
                yield f"{file}, row {number}", language, row


def _from_hub(config: PromptsConfig) -> Iterator[tuple[str, str | None, Row]]:
    import datasets

    try:
        data = datasets.load_dataset(config.path, config.name, split=config.hub_split, revision=config.revision)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"prompts.path: cannot load '{config.path}' from the hub ({reason}); "
            "a local copy works with prompts=jsonl prompts.path=FILE"
        ) from None
    for number, row in enumerate(data):
        yield f"{config.path}, row {number}", None, row


def _parse(
    config: PromptsConfig, rows: Iterator[tuple[str, str | None, Row]], dropped: Counter[str]
) -> Iterator[Prompt]:
    """Prompts in all languages of the source, each (prompt_id, language) once.

    Without an `id` a prompt's id is the hash of its text, so rows of different languages are then never taken for
    translations of one another.
    """
    seen: set[tuple[str, str]] = set()
    for place, file_language, row in rows:
        language = row.get("language", row.get("lang")) or file_language or config.language
        if language is None:
            raise UserError(
                f"{place}: no language: give a `language` column, one file per language, or prompts.language"
            )
        messages = _messages(place, row)
        if messages is None:
            dropped["no text"] += 1
            continue
        text = records.canonical_messages(messages)
        key = next((row[k] for k in ("prompt_id", "id", "question_id") if row.get(k) is not None), None)
        prompt_id = str(key) if key is not None else hashlib.sha256(f"{language}\0{text}".encode()).hexdigest()[:16]
        if (prompt_id, language) in seen:
            dropped["duplicate"] += 1
            continue
        seen.add((prompt_id, language))
        meta = row.get("meta", {})
        yield Prompt(
            prompt_id=prompt_id,
            language=str(language),
            messages=messages,
            split="",
            reference=row.get("reference"),
            meta=meta if isinstance(meta, str) else json.dumps(meta, ensure_ascii=False),
        )


def _messages(place: str, row: Row) -> list[records.Message] | None:
    """The conversation up to its last user turn; None when there is no text; what the data set answers is not part of it."""
    if "messages" in row:
        messages = [{"role": str(m["role"]), "content": str(m["content"] or "")} for m in row["messages"]]
        while messages and messages[-1]["role"] != "user":
            messages.pop()
    elif "prompt" in row:
        messages = [{"role": "user", "content": str(row["prompt"] or "")}]
    else:
        raise UserError(
            f"{place}: a prompt needs `prompt` or `messages`, this row has {', '.join(sorted(row)) or 'nothing'}"
        )
    return messages if messages and messages[-1]["content"].strip() else None


def _split(config: PromptsConfig, prompts: list[Prompt]) -> list[Prompt]:
    """Held-out from one end of the ids' hash order, train from the other: translations never straddle the split."""
    ids = sorted({p.prompt_id for p in prompts}, key=lambda i: hashlib.sha256(f"{config.seed}/{i}".encode()).digest())
    heldout = set(ids[: min(config.heldout, int(MOST_HELDOUT * len(ids)))])
    train = set(ids[::-1][: config.train]) - heldout
    kept = [(p, "heldout" if p.prompt_id in heldout else "train") for p in prompts if p.prompt_id in heldout | train]
    return [Prompt(**{**records.as_dict(p), "split": split}) for p, split in kept]


def _short(config: Config, prompts: list[Prompt], limit: int, dropped: Counter[str]) -> list[Prompt]:
    from croco import text

    model = config.model
    tokenizer = text.load_tokenizer(model.path, model.revision, model.chat_template, model.trust_remote_code)
    kept = [p for p in prompts if len(text.prompt_ids(tokenizer, p.messages)) <= limit]
    dropped["too long"] += len(prompts) - len(kept)
    return kept


def accept(config: Config, summary: dict[str, Any]) -> None:
    """Before an answer is generated: what is to be compared at the end needs held-out prompts in every language."""
    if config.evals.quality is not None and summary.get("heldout", 0) == 0:
        raise UserError(
            f"prompts.heldout: no prompt is held out in a language that has {summary['rows']} (at most "
            f"{MOST_HELDOUT:.0%} of all are); give more prompts, or evals=none"
        )


STAGE = Stage(name="prompts", needs=(), config=slice_of, run=run, version=1, per_language=True, accept=accept)
