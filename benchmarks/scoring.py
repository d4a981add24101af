"""Answers a second of the reward model's own engine, each unit encoded before it is computed, and while the one before it is.

    python benchmarks/scoring.py [--shape N] [--units 6] [--unit 32] [--words 60] [--rounds 5] [--out FILE]

The rewards of both are compared: they must be the same numbers. The model is a Qwen3 of random weights, on the GPU where there is
one; the tokenizer is a byte-level BPE of 20,000 tokens with ChatML. Without a GPU a small model stands for the device, with a
thread of its own (`OMP_NUM_THREADS=1`), so that the host's work is a share of the whole as large as an 8B model's is on a GPU.
On a GPU: `--shape 3 --units 12 --unit 512 --words 150`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import results
from croco.engines.base import Answered, scored
from croco.engines.conversations import Conversations
from croco.engines.hf import HFScorer
from croco.models.checkpoints import Checkpoint, device
from croco.show.tables import Table

SHAPES = {"0": (128, 1), "1": (256, 4), "2": (1024, 28), "3": (2560, 36)}
"""Hidden size and layers: two for a CPU, Qwen3-0.6B's and Qwen3-4B's."""
SAMPLES = 64
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def words() -> list[str]:
    draw = np.random.default_rng(1)
    return ["".join(draw.choice(list("abcdefghijklmnoprstuv"), size=n)) for n in draw.integers(2, 8, 20_000)]


def save_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    marks = ["<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=20_000, special_tokens=marks, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator((" " + word for word in words()), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|im_end|>")
    fast.chat_template = CHATML
    fast.save_pretrained(folder)


def model(shape: str, folder: Path) -> HFScorer:
    """A reward model of random weights, saved and loaded as any other."""
    import torch
    from transformers import Qwen3Config, Qwen3ForSequenceClassification

    save_tokenizer(folder)
    hidden, layers = SHAPES[shape]
    sizes: dict[str, Any] = {"hidden_size": hidden, "num_hidden_layers": layers, "intermediate_size": 3 * hidden}
    heads = {"num_attention_heads": hidden // 128, "num_key_value_heads": max(1, hidden // 256), "head_dim": 128}
    config = Qwen3Config(**sizes, **heads, vocab_size=20_000, num_labels=1, pad_token_id=1, dtype="bfloat16")
    torch.manual_seed(0)
    with torch.device(device()):
        made = Qwen3ForSequenceClassification(config).to(torch.bfloat16)
    made.save_pretrained(folder)
    del made
    return HFScorer(Checkpoint(str(folder), dtype="bfloat16"), 4096, 65_536)


def answers(units: int, unit: int, words_each: int) -> list[list[Answered]]:
    """Units of answers, 64 to a prompt of half an answer's length."""
    draw = np.random.default_rng(0)
    known = words()

    def said(mean: int) -> str:
        return " ".join(known[i] for i in draw.integers(0, len(known), max(1, int(draw.geometric(1 / mean)))))

    prompts = [[{"role": "user", "content": said(words_each // 2)}] for _ in range(-(-units * unit // SAMPLES))]
    rows = [
        Answered(prompts[i // SAMPLES], said(words_each), "da", "{}", f"p{i // SAMPLES}") for i in range(units * unit)
    ]
    return [rows[i * unit : (i + 1) * unit] for i in range(units)]


WAYS = ("on the host alone", "on the device alone", "one after the other", "the next unit encoded ahead")


def measured(scorer: HFScorer, parts: list[list[Answered]]) -> tuple[float, ...]:
    """Seconds of each of WAYS.

    Raises:
        SystemExit: the rewards of the last two differ.
    """
    host, encoded = timed(lambda: [Conversations.of(scorer.tokenizer, 4096, part) for part in parts])
    computed, _ = timed(lambda: [one.rewards(scorer.read) for one in encoded])
    before, each = timed(lambda: [scorer.score(part) for part in parts])
    after, streamed = timed(lambda: dict(scorer.stream(parts)))
    if [streamed[number] for number in range(len(parts))] != each:
        raise SystemExit("the rewards differ")
    return host, computed, before, after


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--shape", choices=list(SHAPES), default="0")
    asked.add_argument("--units", type=int, default=6)
    asked.add_argument("--unit", type=int, default=32)
    asked.add_argument("--words", type=int, default=60, help="of an answer, on average; each is some three tokens")
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--out", type=Path)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scorer, parts = model(given.shape, Path(folder)), answers(given.units, given.unit, given.words)
        list(scored(scorer, parts[:2]))  # warm
        rounds = np.array([measured(scorer, parts) for _ in range(given.rounds)])
    count = given.units * given.unit
    rows = [
        (what, *(1e3 * seconds / count for seconds in (np.median(took), took.min(), took.max())))
        for what, took in zip(WAYS, rounds.T, strict=True)
    ]
    faster = rounds[:, 2] / rounds[:, 3]
    made = Table(
        f"{count:,} answers, hidden {SHAPES[given.shape][0]}, layers: {SHAPES[given.shape][1]}, on {device()}",
        ("what", "ms an answer", "least", "most"),
        rows,
        f"The same rewards. Encoded ahead it is {np.median(faster):.2f} times as fast [{faster.min():.2f}, {faster.max():.2f}]; "
        f"median of {given.rounds} rounds, in each of which all four are timed.",
    )
    results.write(given.out or results.RESULTS / "scoring.md", made)


if __name__ == "__main__":
    main()
