"""How good the embedded models are: marks the backbone gives, answers the policy samples, and how the reward model ranks them."""

from __future__ import annotations

import random
import statistics
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from croco.engines.base import Answered, Request, seed_of
from croco.engines.hf import HFGenerator, HFScorer
from croco.language import text
from croco.models.checkpoints import Checkpoint
from croco.tiny import examples, world, writer
from croco.tiny import tokenizer as T
from croco.tiny.grader import grade
from croco.tiny.lexicon import LANGUAGES
from croco.tiny.reward_model import GAP

SAMPLES = 16


class Marks:
    """Corrected exercises on held-out arguments, and how often a backbone gives them the right mark."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int, count: int = 400) -> None:
        rng = random.Random(seed)
        draw = examples.Exchanges(rng, "heldout")
        self.pad = tokenizer.pad_token_id
        self.right, self.wrong = (tokenizer.encode(mark, add_special_tokens=False)[-1] for mark in (T.RIGHT, T.WRONG))
        self.rows = sorted((examples.corrected(tokenizer, rng, draw, writer.MIXED)[0] for _ in range(count)), key=len)

    @torch.inference_mode()
    def accuracy(self, model: Any) -> str:
        """How many marks behind corrected exercises the model gets right, as a line for the log."""
        was_training = model.training
        model.eval()
        hits = 0
        for start in range(0, len(self.rows), 100):
            rows = self.rows[start : start + 100]
            ids = torch.tensor([r + [self.pad] * (len(rows[-1]) - len(r)) for r in rows], device=model.device)
            logits = model(input_ids=ids).logits
            for row, out in zip(rows, logits, strict=True):
                hits += bool(out[len(row) - 2, self.right] > out[len(row) - 2, self.wrong]) == (row[-1] == self.right)
        model.train(was_training)
        return f"marks right {hits / len(self.rows):.3f}"


def sample(policy: Path, prompts: list[dict[str, Any]], seed: int) -> dict[tuple[str, str], list[str]]:
    """(prompt_id, language) -> 16 answers at temperature 1, through the engine that users run."""
    tokenizer = text.load_tokenizer(str(policy))
    engine = HFGenerator(Checkpoint(str(policy)), tokenizer, 1.0, 1.0, 64, batch_size=256)
    requests = [
        Request(
            p["prompt_id"],
            language,
            text.prompt_ids(tokenizer, [{"role": "user", "content": p["text"][language]}]),
            range(SAMPLES),
            seed_of(seed, p["prompt_id"], language),
        )
        for p in prompts
        for language in LANGUAGES
    ]
    answers: dict[tuple[str, str], list[str]] = {}
    for c in engine.generate(requests):
        answers.setdefault((c.request.prompt_id, c.request.language), []).append(text.decode(tokenizer, c.token_ids))
    return answers


def ranking(policy: Path, reward: Path, count: int, seed: int = 7) -> dict[str, dict[str, float]]:
    """Per language, over held-out open prompts and 16 samples each: pair accuracy, rank correlation, mean gold, gold of the
    answer with the best reward, best gold, and the mean reward (its level differs between languages)."""
    from scipy.stats import spearmanr

    prompts = world.prompts("open", "heldout", count, seed)
    answers = sample(policy, prompts, seed)
    scorer = HFScorer(Checkpoint(str(reward)), 512, 16384)
    table: dict[str, dict[str, list[float]]] = {language: {} for language in LANGUAGES}
    for p in prompts:
        for language in LANGUAGES:
            drawn = answers[p["prompt_id"], language]
            messages = [{"role": "user", "content": p["text"][language]}]
            rewards = [r for r in scorer.score([Answered(messages, a, language, "{}") for a in drawn]) if r is not None]
            gold = [grade(p, language, a).quality for a in drawn]
            row = table[language]
            hits = [
                float(rewards[i] > rewards[j])
                for i in range(SAMPLES)
                for j in range(SAMPLES)
                if gold[i] > gold[j] + GAP
            ]
            row.setdefault("pair accuracy", []).extend(hits)
            if len(set(gold)) > 1:
                row.setdefault("rank correlation", []).append(float(spearmanr(rewards, gold).statistic))
            row.setdefault("mean of 16", []).append(statistics.mean(gold))
            row.setdefault("best of 16 by reward", []).append(gold[rewards.index(max(rewards))])
            row.setdefault("best of 16 by gold", []).append(max(gold))
            row.setdefault("mean reward", []).append(statistics.mean(rewards))
    return {language: {k: statistics.mean(v) for k, v in row.items()} for language, row in table.items()}


def english_answers(reward: Path, count: int, seed: int = 7) -> dict[str, float]:
    """Per language other than English: how often a perfect answer in the prompt's language beats the same one in English."""
    prompts = world.prompts("open", "heldout", count, seed)
    scorer = HFScorer(Checkpoint(str(reward)), 512, 16384)
    share = {}
    for language in LANGUAGES[1:]:
        told = [p for p in prompts if p["task"] not in ("count",)]
        pairs = [
            scorer.score(
                [
                    Answered([{"role": "user", "content": p["text"][language]}], p["reference"][spoken], language, "{}")
                    for spoken in (language, "en")
                ]
            )
            for p in told
        ]
        share[language] = statistics.mean(float((own or 0.0) > (english or 0.0)) for own, english in pairs)
    return share


def parameters(folder: Path) -> int:
    """Number of weights of a saved model, tied ones once."""
    import transformers

    kind = getattr(transformers, transformers.AutoConfig.from_pretrained(folder).architectures[0])
    return sum(p.numel() for p in kind.from_pretrained(folder).parameters())
