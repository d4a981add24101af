"""The reward model: a linear head on the pretrained backbone, Bradley-Terry on English preferences, and nothing else.

A preference is two answers to one English prompt. In most pairs both answers are English, and the grader finds one better. In
the others the prompt, English too, asks for an answer in a given language, or in that of a message it quotes; those answers
say the same and differ in their language alone. So English data shows that the language matters, and never compares two
answers in another language for their quality. Embeddings stay frozen: words of languages without preferences keep their
place beside their translations.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

from croco.tiny import world, writer
from croco.tiny.examples import Exchanges, encode
from croco.tiny.grader import grade
from croco.tiny.lexicon import LANGUAGES

GAP = 0.05  # smallest difference in gold quality that makes a preference
LANGUAGE_SHARE = 0.4  # of the pairs
ENGLISH = dataclasses.replace(writer.MIXED, language=0.0)
QUOTE = "Reply in the language of this message: {}"
LEARNING_RATE = 3e-4
HEAD_LEARNING_RATE = 3e-3
CENTRING = 0.003  # keeps rewards around zero: a pair says nothing about their level


def preferences(seed: int, split: str = "train") -> Iterator[tuple[str, str, str]]:
    """(prompt, better answer, worse answer), English prompts of a split of the questions, without end."""
    rng = random.Random(seed)
    draw = Exchanges(rng, split)
    while True:
        about_language = rng.random() < LANGUAGE_SHARE
        yield _of_language(rng, draw) if about_language else _of_quality(rng, draw)


def _of_quality(rng: random.Random, draw: Exchanges) -> tuple[str, str, str]:
    """Two English answers of different gold quality."""
    while True:
        text, task, args, _ = draw.question(world.OPEN, "en", 0.0)
        first, second = (writer.write(rng, task, args, "en", ENGLISH) for _ in range(2))
        difference = grade({"task": task, "args": args}, "en", first).quality
        difference -= grade({"task": task, "args": args}, "en", second).quality
        if abs(difference) > GAP:
            return (text, first, second) if difference > 0 else (text, second, first)


def _of_language(rng: random.Random, draw: Exchanges) -> tuple[str, str, str]:
    """The same answer, flaws and all, in the language that was asked for and in another."""
    while True:
        if rng.random() < 0.5:
            text, task, args, asked = draw.question(world.OPEN, "en", 1.0)
        else:
            quoted, task, args, asked = draw.question(world.OPEN, rng.choice(LANGUAGES), 0.0)
            text = QUOTE.format(quoted)
        other = rng.choice([language for language in LANGUAGES if language != asked])
        twin = random.Random(rng.getrandbits(64))
        state = twin.getstate()
        better = writer.write(twin, task, args, asked, ENGLISH)
        twin.setstate(state)
        worse = writer.write(twin, task, args, other, ENGLISH)
        if better != worse:
            return text, better, worse


def train(
    backbone: Path,
    tokenizer: PreTrainedTokenizerFast,
    pairs: int,
    batch: int,
    seed: int,
    say: Callable[[str], None] = print,
    check: Callable[[Any], str] = lambda model: "",
    every: int = 50,
) -> Any:
    """A sequence-classification model with one label, trained on `pairs` preferences."""
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(backbone, num_labels=1)
    torch.nn.init.zeros_(model.score.weight)
    model.get_input_embeddings().weight.requires_grad_(False)
    head = list(model.score.parameters())
    body = [p for n, p in model.named_parameters() if p.requires_grad and not n.startswith("score")]
    groups = [{"params": body, "lr": LEARNING_RATE}, {"params": head, "lr": HEAD_LEARNING_RATE}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    steps = pairs // batch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: min((s + 1) / 20, 1.0) * max(0.02, 1 - s / steps))
    data = preferences(seed)
    started, right, seen = time.monotonic(), 0, 0
    for step in range(1, steps + 1):
        rows = list(islice(data, batch))
        better, worse = ([encode(tokenizer, [row[0], row[side]], [0, 0])[0] for row in rows] for side in (1, 2))
        rewards = forward(model, better + worse, tokenizer.pad_token_id)
        margin = rewards[:batch] - rewards[batch:]
        loss = -F.logsigmoid(margin).mean() + CENTRING * rewards.square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(body + head, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        right, seen = right + int((margin > 0).sum()), seen + batch
        if step % every == 0 or step == steps:
            left = (time.monotonic() - started) / step * (steps - step)
            say(f"step {step}/{steps} training accuracy {right / seen:.3f} {left:,.0f} s left {check(model)}")
            right = seen = 0
    return model.eval()


def forward(model: Any, rows: list[list[int]], pad: int) -> torch.Tensor:
    """One reward per conversation, shape (len(rows),)."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=model.device)
    return model(input_ids=ids, attention_mask=mask).logits[:, 0]
