"""The `data` group: whether a run makes what it trains on, or is brought it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from croco.config.targets import one_of, require

KINDS = ("generated", "pairs", "answers", "scores")


@dataclass
class DataConfig:
    """What is trained on: made by the run, or ready-made pairs, answers or scored answers."""

    kind: str
    """`generated`, `pairs` (preferences), `answers` (which the run's reward scores) or `scores` (answers with rewards)."""
    path: str | None
    """A file (.jsonl, .json, .parquet, .arrow; .gz, .zst), a folder with such files, or a hub data set."""
    name: str | None
    """Configuration name of a hub data set."""
    hub_split: str
    revision: str | None
    language: str | None
    """Language of the rows that name none; null: what their file's name says, or the run's language if it has one."""
    prompts: int | None
    """Number of prompts to train on, drawn by the hash of their ids; null takes all."""
    heldout: int
    """Number of prompts that are kept apart, at most a fifth of all: what training watches, and evaluations ask."""
    seed: int
    """Of the draw."""

    @property
    def made(self) -> bool:
        """Whether the run samples its own answers."""
        return self.kind == "generated"

    @property
    def scored(self) -> bool:
        """Whether the run's reward scores the answers."""
        return self.kind in ("generated", "answers")

    @property
    def paired(self) -> bool:
        """Whether the run pairs them."""
        return self.kind != "pairs"


def check_data(data: DataConfig, known: list[str]) -> None:
    """Checks of one group; raises UserError with the key to change."""
    one_of("data.kind", data.kind, KINDS)
    if data.made:
        return
    require(data.path is not None, f"data.path: data={data.kind} needs one")
    require(data.prompts is None or data.prompts >= 1, "data.prompts: must be at least 1, or null")
    require(data.heldout >= 0, "data.heldout: must be at least 0")
    require(
        data.language is None or data.language in known,
        f"data.language: unknown language '{data.language}'; known are {', '.join(known)}",
    )
    path = str(data.path)
    hub_id = not path.startswith((".", "/", "~")) and path.count("/") == 1
    require(Path(path).exists() or hub_id, f"data.path: {path}: no such file or folder, and no name of a hub data set")
