"""The world's translation model: an M2M100 (NLLB's class) that has read the world's prompts and answers side by side.

It goes from every language to English, which is the direction in which MAPO scores alignment. It has read true answers only, so
that English is unlikely behind an answer with another content.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers import M2M100Config, M2M100ForConditionalGeneration, PreTrainedTokenizerFast

from croco.tiny import world, writer
from croco.tiny.lexicon import LANGUAGES

PIVOT = "en"
FAITHFUL = writer.Flaws(content=0.0, unfinished=0.0, language=0.0, form=0.3, tidy=0.3)
STEPS, BATCH, RATE, WARMUP = 900, 48, 2e-3, 60
IGNORED = -100

Pair = tuple[list[int], list[int]]


def model(words: PreTrainedTokenizerFast) -> M2M100ForConditionalGeneration:
    """Random weights."""
    settings = M2M100Config(
        vocab_size=len(words),
        d_model=96,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=256,
        decoder_ffn_dim=256,
        max_position_embeddings=256,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        encoder_layerdrop=0.0,
        decoder_layerdrop=0.0,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        decoder_start_token_id=words.eos_token_id,
    )
    return M2M100ForConditionalGeneration(settings)


def pairs(words: PreTrainedTokenizerFast, seed: int) -> Iterator[Pair]:
    """(source ids, English ids) without end: a prompt, or a true answer, in a language and in English."""
    rng = random.Random(seed)
    arguments = {task: list(world.arguments(task)) for task in world.OPEN}
    while True:
        task = rng.choice(world.OPEN)
        args, language = rng.choice(arguments[task]), rng.choice(LANGUAGES)
        if rng.random() < 0.2:
            variant = rng.randrange(world.variants(task))
            source, target = (world.text(task, args, variant, name) for name in (language, PIVOT))
        else:
            drawn = rng.randrange(2**31)  # the same choices in both languages
            source, target = (
                writer.write(random.Random(drawn), task, args, name, FAITHFUL) for name in (language, PIVOT)
            )
        yield words(source)["input_ids"], words(text_target=target)["input_ids"]


def train(words: PreTrainedTokenizerFast, seed: int, say: Callable[[str], None]) -> M2M100ForConditionalGeneration:
    """From nothing; AdamW, a linear fall behind a warm-up."""
    torch.manual_seed(seed)
    network = model(words)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min((s + 1) / WARMUP, (STEPS - s) / (STEPS - WARMUP))
    )
    network.train()
    data, started, total = pairs(words, seed), time.monotonic(), 0.0
    for step in range(1, STEPS + 1):
        batch = [next(data) for _ in range(BATCH)]
        loss = network(**_tensors(batch, words.pad_token_id)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        total += loss.item()
        if step % 100 == 0:
            left = (time.monotonic() - started) / step * (STEPS - step)
            say(f"step {step}/{STEPS} loss {total / 100:.3f} {left:,.0f} s left")
            total = 0.0
    return network.eval()


def _tensors(batch: list[Pair], pad: int) -> dict[str, Any]:
    longest = [max(len(pair[side]) for pair in batch) for side in (0, 1)]
    sources = torch.tensor([s + [pad] * (longest[0] - len(s)) for s, _ in batch])
    labels = torch.tensor([t + [IGNORED] * (longest[1] - len(t)) for _, t in batch])
    return {"input_ids": sources, "attention_mask": (sources != pad).long(), "labels": labels}
