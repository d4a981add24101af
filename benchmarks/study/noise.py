"""English preferences of the embedded world of which a share has its sides swapped: what annotators' slips do to the method."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

SHARES = (0, 20, 40)
"""Percent of the preferences whose worse answer is called the better one."""
PREFERENCES = 12_800  # as many as the shipped reward model was trained on
SEED = 42


def file(artifacts: Path | str, share: int) -> str:
    return f"{artifacts}/preferences/noise_{share}.jsonl"


def write(artifacts: Path, share: int) -> Path:
    """The file, where it is not there yet. The same preferences stand in all of them, and what 20 % swap, 40 % swap, too."""
    from croco.tiny import reward_model

    path = Path(file(artifacts, share))
    if path.exists():
        return path
    drawn = itertools.islice(reward_model.preferences(SEED), PREFERENCES)
    slips = random.Random(SEED)
    lines = []
    for prompt, better, worse in drawn:
        sides = (worse, better) if slips.random() < share / 100 else (better, worse)
        row = {"prompt": prompt, "chosen": sides[0], "rejected": sides[1], "language": "en"}
        lines.append(json.dumps(row, ensure_ascii=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    part.rename(path)
    return path
