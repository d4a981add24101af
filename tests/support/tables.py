"""Prompts, generations and scores on disk, from a few lines of Python."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from croco.artifacts import records
from croco.artifacts.records import Generation, Prompt, Score
from croco.config import PairingConfig
from croco.exchange.authors import pairing_config
from croco.pairing.build import Tables, build
from croco.pairing.report import Encoding

LANGUAGES = ["da", "de", "en"]


@dataclass
class World:
    """Scored answers; add them with `pool`, pair them with `pairs`."""

    folder: Path
    prompts: list[Prompt] = field(default_factory=list)
    generations: dict[str, list[Generation]] = field(default_factory=dict)
    scores: dict[str, list[Score]] = field(default_factory=dict)

    def pool(
        self,
        prompt_id: str,
        language: str,
        rewards: Iterable[float | None],
        texts: Iterable[str] | None = None,
        tokens: Iterable[int] | None = None,
        reasons: Mapping[int, str] | None = None,
        prompt: str | None = None,
        disagreement: Iterable[float] | None = None,
    ) -> World:
        """One prompt in one language with its scored answers."""
        rewards = list(rewards)
        answers = list(texts) if texts is not None else [f"{prompt_id} {language} {i}" for i in range(len(rewards))]
        lengths = list(tokens) if tokens is not None else [10] * len(rewards)
        message = {"role": "user", "content": prompt if prompt is not None else f"question {prompt_id} in {language}"}
        apart = [None] * len(rewards) if disagreement is None else list(disagreement)
        self.prompts.append(Prompt(prompt_id, language, [message], "train"))
        for sample, reward in enumerate(rewards):
            key = (prompt_id, language, sample)
            reason = (reasons or {}).get(sample, "stop")
            self.generations.setdefault(language, []).append(
                Generation(*key, answers[sample], [10 + sample, 1], reason, 3, lengths[sample], 0, "model", "")
            )
            self.scores.setdefault(language, []).append(
                Score(*key, reward, lengths[sample], reason, "reward", apart[sample])
            )
        return self

    def write(self, row_group: int = 5) -> Tables:
        self.folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, list[Path]] = {"generations": [], "scores": []}
        for name, tables, row_type in (
            ("generations", self.generations, Generation),
            ("scores", self.scores, Score),
        ):
            for language, rows in tables.items():
                path = self.folder / f"{language}-{name}.parquet"
                table = pa.Table.from_pylist([records.as_dict(r) for r in rows], schema=records.schema(row_type))
                pq.write_table(table, path, row_group_size=row_group)
                files[name].append(path)
        return Tables(files["generations"], files["scores"])

    def build(self, *overrides: str, encoding: Encoding | None = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """(rows of the pairs table, summary)."""
        path = self.folder / "pairs.parquet"
        sources = {"on_policy": self.write()}
        summary = build(self.prompt_table(), sources, config(*overrides), path, encoding=encoding)
        return pq.read_table(path).to_pylist(), summary

    def prompt_table(self) -> pa.Table:
        return pa.Table.from_pylist([records.as_dict(p) for p in self.prompts], schema=records.schema(Prompt))


@functools.cache
def config(*overrides: str) -> PairingConfig:
    return pairing_config(overrides, LANGUAGES)


def sides(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """(prompt language, chosen text, rejected text) of each pair."""
    return [(r["language"], r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in rows]
