"""How large a model is, told from its config.json, as published, or by its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from croco.config import CONF
from croco.errors import UserError
from croco.models import shapes
from croco.models.shapes import Shape
from tests.support.builders import build_policy


def test_a_decoder_counted_by_hand() -> None:
    """2 layers, 4 wide, 2 heads of 2 with 1 key head, 8 inner, 10 tokens. A layer: q and o 2 x 16, k and v 2 x 8, the
    feed-forward 3 x 32, two norms 8: 152. With two embeddings of 40 and the last norm 388.

    Keys and values of 3 tokens: 2 x 2 layers x 1 head x 2 x 3 x 2 bytes. Kept of a token: 2 layers x 2 bytes x (16 + 8 + 6 + 32).
    An adapter of rank 1: q and o 8 each, k and v 6 each, three of 12, in two layers.
    """
    shape = Shape(layers=2, hidden=4, heads=2, key_heads=1, head=2, inner=8, vocabulary=10)
    assert (shape.parameters, shape.products) == (388, 348)
    assert shape.cache(3) == 48
    assert shape.activations(2) == 248
    assert shape.recomputed(2) == 2 * 4 * 2 + 124
    assert shape.adapter(1, "all-linear") == 128
    assert shape.adapter(2, ["q_proj", "v_proj"]) == 2 * 2 * (8 + 6)


def test_layers_with_a_window_keep_no_more_than_it() -> None:
    """Of 4 layers 3 see 10 tokens: at 100 tokens 1 x 100 + 3 x 10, keys and values, 1 head of 2, 2 bytes."""
    shape = Shape(4, 4, 2, 1, 2, 8, 10, window=10, windowed=3)
    assert shape.cache(100) == 130 * 2 * 2 * 2


@pytest.mark.parametrize("family", ["llama", "cohere2", "qwen3"])
def test_a_saved_checkpoint_is_counted_by_its_files(family: str, tmp_path: Path) -> None:
    """The formula meets what safetensors holds, up to Qwen3's two norms a head."""
    folder = build_policy(tmp_path / family, family=family)
    shape = shapes.of_checkpoint("model.path", str(folder))
    assert shape.counted is not None
    assert shapes.replace(shape, counted=None).parameters == pytest.approx(shape.counted, rel=0.005)


def test_published_shapes_are_as_large_as_their_names_say() -> None:
    """Every model of a preset is known, within a seventh of the billions in its name."""
    named = {
        path
        for file in (CONF / "model").glob("*.yaml")
        for path in (yaml.safe_load(file.read_text()).get("model", {}).get("sizes") or {}).values()
        if "$" not in path
    }
    assert named <= set(shapes.PUBLISHED)
    for path, shape in shapes.PUBLISHED.items():
        if found := re.search(r"-(\d+(?:\.\d+)?)[bB]\b", path):
            assert shape.parameters == pytest.approx(float(found[1]) * 1e9, rel=1 / 7), path


def test_what_is_not_here_goes_by_its_name_or_is_refused() -> None:
    shape = shapes.of_checkpoint("judge.path", "somebody/Judge-30B-A3B-it")
    assert (shape.parameters, shape.active) == (30_000_000_000, 3_000_000_000)
    assert "by its name" in shape.source
    with pytest.raises(UserError, match=r"model\.path: somebody/model: no config\.json here"):
        shapes.of_checkpoint("model.path", "somebody/model")
