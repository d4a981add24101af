"""Every family goes through the whole method as plain transformers and PEFT would have it (docs/models.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.zoo.walk import ZOO, walk

FAST = ("gemma3", "phi3")  # a model that sees pictures, with tied embeddings; fused projections


@pytest.mark.parametrize("name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in ZOO])
def test_a_family_from_answers_to_a_merged_checkpoint(name: str, tmp_path: Path) -> None:
    told = walk(name, tmp_path)
    padded = name in ("gemma2", "gpt_oss")  # capped logits; sinks
    assert told["train"] == ("padded" if padded else "packed")
    assert told["merge"] == "equal"
