"""How large a model is, from its config.json alone: parameters, what a token takes in a cache, what one takes in training.

Nothing is loaded and no network asked. Where a checkpoint is not here, its published shape stands in; of one that is not known,
the number of billions in its name. `Shape.source` says which, and whoever shows a number that comes of it shows that.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from croco.errors import UserError

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
UNGATED = ("apertus", "gpt2", "gpt_neox", "opt", "phi", "starcoder2", "nemotron")
"""Model types whose feed-forward has two matrices, not three."""
HEADER = 8  # bytes of a safetensors file that say how long its header is
TRAINED = 16  # bytes of a parameter that is trained: float32, its gradient, and AdamW's two moments
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Shape:
    """A decoder."""

    layers: int
    hidden: int
    heads: int
    key_heads: int
    head: int
    """Size of one."""
    inner: int
    """Of the feed-forward; with experts, of one of them."""
    vocabulary: int
    tied: bool = False
    gated: bool = True
    experts: int = 1
    chosen: int = 1
    """Experts that a token meets, shared ones among them."""
    window: int | None = None
    """Tokens that `windowed` of the layers see."""
    windowed: int = 0
    linear: int = 0
    """Layers without a cache of keys and values."""
    context: int = 32_768
    counted: int | None = None
    """Parameters as the weights' files count them, or a name says."""
    counted_active: int | None = None
    source: str = "config.json"

    @property
    def parameters(self) -> int:
        return self.counted or self._sum(self.experts)

    @property
    def active(self) -> int:
        """Parameters that a token meets."""
        return self.counted_active or (self.parameters if self.experts == 1 else self._sum(self.chosen))

    @property
    def products(self) -> int:
        """Parameters by which a token is multiplied: an input embedding of its own is only looked up."""
        return self.active - (0 if self.tied else self.vocabulary * self.hidden)

    def _sum(self, experts: int) -> int:
        attention = (2 * self.heads + 2 * self.key_heads) * self.head * self.hidden
        forward = experts * (3 if self.gated else 2) * self.hidden * self.inner
        layer = attention + forward + 2 * self.hidden + (self.experts * self.hidden if self.experts > 1 else 0)
        return self.layers * layer + (1 if self.tied else 2) * self.vocabulary * self.hidden + self.hidden

    def cache(self, tokens: int, element: int = 2) -> int:
        """Bytes of keys and values of one sequence."""
        full = (self.layers - self.windowed - self.linear) * tokens
        near = self.windowed * min(tokens, self.window or tokens)
        return 2 * self.key_heads * self.head * element * (full + near)

    def activations(self, element: int) -> int:
        """Bytes that a forward pass keeps of a token, over all layers, for the backward pass.

        Per layer: what two norms take and give (4 hidden), queries, gathered keys and values, attention's output, and the gated
        feed-forward's three inner tensors and their product (4 intermediate). EuroLLM-9B: 6.5 MB, of which 53.4 GB in a pack of
        8,192 were measured (benchmarks/results/gpu_NVIDIA_H100_80GB_HBM3.md).
        """
        return self.layers * self._layer(element)

    def recomputed(self, element: int) -> int:
        """The same where the backward pass computes activations again: each layer's input, and all of one layer."""
        return self.layers * self.hidden * element + self._layer(element)

    def _layer(self, element: int) -> int:
        attention = (2 * self.heads + 3 * self.key_heads) * self.head
        return element * (4 * self.hidden + attention + 4 * self.inner * self.chosen)

    def adapter(self, rank: int, targets: Any) -> int:
        """Parameters of a LoRA adapter: `rank` times both sides of each of the layers named; of a pattern, of all."""
        wide, narrow = self.heads * self.head, self.key_heads * self.head
        sides = dict(zip(ALL, (wide, narrow, narrow, wide, *[self.inner] * 3), strict=True))
        named: Sequence[str] = ALL if isinstance(targets, str) else [name for name in targets if name in sides]
        if not self.gated:
            named = [name for name in named if name != "gate_proj"]
        return self.layers * rank * sum(self.hidden + sides[name] for name in named)


def of_config(config: Mapping[str, Any], source: str = "config.json") -> Shape:
    """From what a config.json holds.

    Raises:
        KeyError: it does not say what a decoder's does.
    """
    text = config.get("text_config") or config  # of models that also see
    heads, layers = text["num_attention_heads"], text["num_hidden_layers"]
    experts = text.get("num_experts") or text.get("num_local_experts") or text.get("n_routed_experts") or 1
    inner = (text.get("moe_intermediate_size") if experts > 1 else None) or text["intermediate_size"]
    shared = math.ceil((text.get("shared_expert_intermediate_size") or 0) / inner) if experts > 1 else 0
    kinds = text.get("layer_types") or []
    return Shape(
        layers=layers,
        hidden=text["hidden_size"],
        heads=heads,
        key_heads=text.get("num_key_value_heads") or heads,
        head=text.get("head_dim") or text["hidden_size"] // heads,
        inner=inner,
        vocabulary=text.get("vocab_size") or config["vocab_size"],
        tied=bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", True))),  # left out where true
        gated=text.get("model_type") not in UNGATED,
        experts=experts + shared,
        chosen=(text.get("num_experts_per_tok") or 1) + shared if experts > 1 else 1,
        window=text.get("sliding_window"),
        windowed=kinds.count("sliding_attention"),
        linear=kinds.count("linear_attention"),
        context=text.get("max_position_embeddings") or 32_768,
        source=source,
    )


def _gemma(layers: int, hidden: int, heads: int, keys: int, inner: int, head: int, window: int) -> Shape:
    near = layers - layers // 6
    context = 32_768 if layers < 34 else 131_072
    return Shape(layers, hidden, heads, keys, head, inner, 262_208, True, window=window, windowed=near, context=context)


def _qwen(layers: int, hidden: int, heads: int, inner: int, tied: bool) -> Shape:
    return Shape(layers, hidden, heads, 8, 128, inner, 151_936, tied, context=40_960)


PUBLISHED: Mapping[str, Shape] = {
    "utter-project/EuroLLM-1.7B-Instruct": Shape(24, 2048, 16, 8, 128, 5632, 128_000, context=4096),
    "utter-project/EuroLLM-9B-Instruct-2512": Shape(42, 4096, 32, 8, 128, 12_288, 128_000),
    "utter-project/EuroLLM-22B-Instruct-2512": Shape(56, 6144, 48, 8, 128, 16_384, 128_000),
    **dict.fromkeys(
        [f"CohereLabs/tiny-aya-{name}" for name in ("global", "earth", "fire", "water")],
        Shape(36, 2048, 16, 4, 128, 11_008, 262_144, tied=True, window=4096, windowed=27, context=8192),
    ),
    "Skywork/Skywork-Reward-V2-Qwen3-8B": _qwen(36, 4096, 32, 12_288, True),  # one label in the output layer's place
    "Infomaniak-AI/vllm-translategemma-27b-it": _gemma(62, 5376, 32, 16, 21_504, 128, 1024),
    "google/gemma-3-270m-it": _gemma(18, 640, 4, 1, 2048, 256, 512),
    **dict.fromkeys(["google/gemma-3-1b-it", "google/gemma-3-1b-pt"], _gemma(26, 1152, 4, 1, 6912, 256, 512)),
    **dict.fromkeys(["google/gemma-3-4b-it", "google/gemma-3-4b-pt"], _gemma(34, 2560, 8, 4, 10_240, 256, 1024)),
    "google/gemma-3-12b-it": _gemma(48, 3840, 16, 8, 15_360, 256, 1024),
    "google/gemma-3-27b-it": _gemma(62, 5376, 32, 16, 21_504, 128, 1024),
    "Qwen/Qwen3-0.6B": _qwen(28, 1024, 16, 3072, True),
    "Qwen/Qwen3-1.7B": _qwen(28, 2048, 16, 6144, True),
    "Qwen/Qwen3-4B": _qwen(36, 2560, 32, 9728, True),
    "Qwen/Qwen3-8B": _qwen(36, 4096, 32, 12_288, False),
    "Qwen/Qwen3-14B": _qwen(40, 5120, 40, 17_408, False),
    "Qwen/Qwen3.6-35B-A3B": Shape(
        40,
        2048,
        16,
        2,
        256,
        512,
        248_320,
        experts=257,
        chosen=9,
        linear=30,
        context=262_144,
        counted=35_000_000_000,
        counted_active=3_000_000_000,
    ),
    "swiss-ai/Apertus-8B-Instruct-2509": Shape(32, 4096, 32, 8, 128, 21_504, 131_072, gated=False, context=65_536),
    "BSC-LT/salamandra-2b-instruct": Shape(24, 2048, 16, 16, 128, 5440, 256_000, context=8192),
    "BSC-LT/salamandra-7b-instruct": Shape(32, 4096, 32, 8, 128, 11_008, 256_000, context=8192),
    "HuggingFaceTB/SmolLM2-135M-Instruct": Shape(30, 576, 9, 3, 64, 1536, 49_152, tied=True, context=8192),
    "HuggingFaceTB/SmolLM2-360M-Instruct": Shape(32, 960, 15, 5, 64, 2560, 49_152, tied=True, context=8192),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": Shape(24, 2048, 32, 32, 64, 8192, 49_152, tied=True, context=8192),
    "HuggingFaceTB/SmolLM3-3B": Shape(36, 2048, 16, 4, 128, 11_008, 128_256, tied=True, context=65_536),
    "openGPT-X/Teuken-7B-instruct-commercial-v0.4": Shape(
        32, 4096, 32, 2, 128, 13_440, 250_680, tied=True, context=4096
    ),
}
"""Of the presets' models, from their model cards and public write-ups: assumed, until a checkpoint's own config.json is here."""
NAMED = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([bBmM])(?![A-Za-z])")
NAMED_ACTIVE = re.compile(r"-A(\d+(?:\.\d+)?)[bB]")
TYPICAL = PUBLISHED["utter-project/EuroLLM-9B-Instruct-2512"]
"""Whose layers a model has of which nothing but a number of billions is known."""


@functools.lru_cache(maxsize=64)
def of_checkpoint(key: str, path: str, revision: str | None = None) -> Shape:
    """Of a folder, of what the hub's cache holds, as published, or by its name; in this order.

    Args:
        key: of the configuration, that named it.

    Raises:
        UserError: none of these says how large it is.
    """
    folder = _folder(path, revision)
    if folder is not None:
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            found = of_config(config)
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            raise UserError(f"{key}: {folder / 'config.json'}: does not say how large a decoder it is") from None
        return replace(found, counted=_counted(folder, config))
    if path in PUBLISHED:
        return replace(PUBLISHED[path], source="as published; its config.json is not here")
    if match := NAMED.search(path.rpartition("/")[2]):
        active = NAMED_ACTIVE.search(path)
        return replace(
            TYPICAL,
            counted=int(float(match[1]) * (1e9 if match[2] in "bB" else 1e6)),
            counted_active=int(float(active[1]) * 1e9) if active else None,
            source="by its name, its layers as EuroLLM-9B's; its config.json is not here",
        )
    raise UserError(
        f"{key}: {path}: no config.json here, and its name does not say how large it is; `croco fetch` brings it"
    )


def _folder(path: str, revision: str | None) -> Path | None:
    if (Path(path) / "config.json").is_file():
        return Path(path)
    if path.startswith((".", "/", "~")) or path.count("/") != 1:
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(path, "config.json", revision=revision)
    return Path(cached).parent if isinstance(cached, str) else None


def _counted(folder: Path, config: Mapping[str, Any]) -> int | None:
    """Parameters in the safetensors files, from an index or a header; None where there is neither."""
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    try:
        if index.is_file():
            told = json.loads(index.read_text(encoding="utf-8"))["metadata"]
            kept = str(config.get("dtype") or config.get("torch_dtype") or "bfloat16")
            return int(told.get("total_parameters") or told["total_size"] // BYTES.get(kept, 2))
        if single.is_file():
            with single.open("rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(HEADER), "little")))
            return sum(math.prod(one["shape"]) for name, one in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None
