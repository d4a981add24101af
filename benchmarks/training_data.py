"""What the training benchmark trains on: models of random weights in shapes that stand for others, and pairs of random tokens."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import torch

from croco.training.data import Example

SHAPES = {
    # Ratios of EuroLLM-9B: feed-forward 3 x hidden, 4 query heads per key head, output layer 6.5 % of the body's FLOPs.
    "euro": {"hidden_size": 512, "layers": 8, "heads": 8, "kv": 2, "vocab_size": 3072},
    # A small body under a large vocabulary, as in the smaller multilingual models.
    "128k": {"hidden_size": 384, "layers": 8, "heads": 6, "kv": 2, "vocab_size": 128_000},
    "eurollm-9b": {"hidden_size": 4096, "layers": 42, "heads": 32, "kv": 8, "vocab_size": 128_000},
    "llama-1.5b": {"hidden_size": 2048, "layers": 22, "heads": 32, "kv": 4, "vocab_size": 128_000, "inter": 5632},
    # A sixth of the first, for a machine with little time.
    "euro-small": {"hidden_size": 256, "layers": 5, "heads": 4, "kv": 1, "vocab_size": 3072},
    "nano": {"hidden_size": 64, "layers": 2, "heads": 4, "kv": 2, "vocab_size": 300},
}
WITH_WINDOWS = {
    # tiny-aya's: Cohere2 with an output layer that is the embedding.
    "aya-3b": {"hidden_size": 2048, "layers": 36, "heads": 16, "kv": 4, "vocab_size": 262_144, "inter": 11_008},
    "nano-aya": {"hidden_size": 64, "layers": 2, "heads": 4, "kv": 2, "vocab_size": 300},
}
LENGTHS = {  # (median, log sd, least, most) of prompts, then of answers
    "euro": ((220, 0.45, 128, 512), (220, 0.6, 64, 512)),
    "chat": ((120, 0.8, 16, 1024), (400, 0.8, 16, 1500)),
    "long": ((700, 0.5, 256, 2048), (300, 0.6, 32, 2048)),
}


def made_pairs(count: int, vocabulary: int, mix: str, seed: int = 21) -> list[Example]:
    """Chosen and rejected of a prompt have correlated lengths (0.6)."""
    draw = random.Random(seed)

    def length(shape: tuple[float, float, int, int], z: float) -> int:
        median, spread, least, most = shape
        return int(min(max(math.exp(math.log(median) + spread * z), least), most))

    def ids(size: int) -> list[int]:
        return [draw.randrange(3, vocabulary) for _ in range(size)]

    examples = []
    for _ in range(count):
        common = draw.gauss(0, 1)
        prompt, answer = LENGTHS[mix]
        both = [length(answer, math.sqrt(0.6) * common + math.sqrt(0.4) * draw.gauss(0, 1)) for _ in range(2)]
        examples.append(Example(ids(length(prompt, draw.gauss(0, 1))), tuple([*ids(n - 1), 2] for n in both)))
    return examples


def one_pair(tokens: int, vocabulary: int, seed: int = 21) -> Example:
    """A pair that takes `tokens` in a row with a shared prompt: half of them the prompt, a quarter each answer."""
    draw = random.Random(seed)
    ids = [draw.randrange(3, vocabulary) for _ in range(tokens)]
    half, quarter = tokens // 2, tokens // 4
    return Example(ids[:half], (ids[half : half + quarter], ids[half + quarter :]))


def configuration(shape: str) -> Any:
    """A Llama's, or a Cohere2's for the shapes with windows."""
    from transformers import Cohere2Config, LlamaConfig

    windows = shape in WITH_WINDOWS
    sizes = (WITH_WINDOWS if windows else SHAPES)[shape]
    common: dict[str, Any] = {
        "hidden_size": sizes["hidden_size"],
        "intermediate_size": sizes.get("inter", 3 * sizes["hidden_size"]),
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "num_key_value_heads": sizes["kv"],
        "vocab_size": sizes["vocab_size"],
        "max_position_embeddings": 8192,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    if windows:
        return Cohere2Config(**common, sliding_window=4096, architectures=["Cohere2ForCausalLM"])
    return LlamaConfig(**common, tie_word_embeddings=False, architectures=["LlamaForCausalLM"])


def save_tokenizer(folder: Path) -> None:
    """Of five words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2, "a": 3, "b": 4, "c": 5}, unk_token="a"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="a"
    ).save_pretrained(folder)
    # The configurations here are the embedded world's but for the model, which therefore says that it belongs there.
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "embedded_world": True}), encoding="utf-8")


def save_model(folder: Path, shape: str, dtype: str) -> None:
    """A Llama of random weights and a word tokenizer."""
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    torch.set_default_dtype(getattr(torch, dtype))
    LlamaForCausalLM(configuration(shape)).save_pretrained(folder)
    torch.set_default_dtype(torch.float32)
    save_tokenizer(folder)
