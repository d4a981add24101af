"""Alignment reward: how surely a translation model gets from an answer to the English answers to the same prompt.

    r(y) = mean over English answers e of 1 / CE(e | y),   CE = mean over e's tokens of -log p(token | y, before)

(She et al. 2024, MAPO, arXiv 2401.06838, with NLLB-200). The mean runs over all target tokens, the language's token and the
end included, as the model's own loss does.

Departures from the paper: it trains on mathematics and also asks that a preferred answer's number be right; for open-ended
answers there is nothing to check, and the policy's own English answers stand in for the right ones.

English answers have no reward: they are what the others are measured against.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from croco.config.scorers import ENGLISH
from croco.engines.base import Answered
from croco.engines.halving import in_halves
from croco.errors import UserError
from croco.models.checkpoints import Checkpoint, load
from croco.models.devices import release

IGNORED = -100  # a label that is no token


class AlignmentScorer:
    """See `base.Scorer`; None for English, for a prompt without English answers, and for texts longer than `max_length`."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        codes: dict[str, str],
        references: int | None,
        max_length: int,
        score_tokens: int,
    ) -> None:
        self.model: Any
        self.model, _ = load(AutoModelForSeq2SeqLM, checkpoint)
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint.path, revision=checkpoint.revision)
        except (OSError, ValueError) as error:
            raise UserError(f"{checkpoint.path}: cannot load its tokenizer ({str(error).splitlines()[0]})") from None
        self.codes, self.references = codes, references
        self.max_length, self.score_tokens = max_length, score_tokens

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """See `base.Scorer`; equal pairs of texts are scored once."""
        found: list[list[float]] = [[] for _ in answers]
        pairs: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}  # equal texts are scored once
        for place, answered in enumerate(answers):
            for pair in self._pairs(answered):
                pairs.setdefault(pair, []).append(place)
        for batch in self._batches(list(pairs)):
            entropies = in_halves(self._cross_entropies, batch, "out of memory with one pair; lower reward.max_length")
            for pair, entropy in zip(batch, entropies, strict=True):
                for place in pairs[pair]:
                    found[place].append(1 / entropy if entropy > 0 else math.inf)
        means = [sum(values) / len(values) if values else math.nan for values in found]
        return [mean if math.isfinite(mean) else None for mean in means]

    def _pairs(self, answered: Answered) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """(source ids, target ids) of the answer and each English answer that are not too long."""
        if answered.language == ENGLISH or not answered.answer:
            return
        self.tokenizer.src_lang = self.codes[answered.language]
        self.tokenizer.tgt_lang = self.codes[ENGLISH]
        source = tuple(self.tokenizer(answered.answer)["input_ids"])
        for english in answered.english_answers[: self.references]:
            target = tuple(self.tokenizer(text_target=english)["input_ids"]) if english else ()
            if target and max(len(source), len(target)) <= self.max_length:
                yield source, target

    def _batches(self, pairs: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> Iterator[list[Any]]:
        """Pairs of like length, at most `score_tokens` tokens with padding in a batch."""
        batch: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        for pair in sorted(pairs, key=lambda p: (len(p[0]) + len(p[1]), p)):
            size = max(len(s) for s, _ in [*batch, pair]) + max(len(t) for _, t in [*batch, pair])
            if batch and size * (len(batch) + 1) > self.score_tokens:
                yield batch
                batch = []
            batch.append(pair)
        if batch:
            yield batch

    @torch.inference_mode()
    def _cross_entropies(self, batch: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[float]:
        """Nats per target token of every pair."""
        pad = self.model.config.pad_token_id
        sources = _padded([s for s, _ in batch], pad).to(self.model.device)
        labels = _padded([t for _, t in batch], IGNORED).to(self.model.device)
        lengths = torch.tensor([len(s) for s, _ in batch], device=self.model.device)
        mask = (torch.arange(sources.shape[1], device=self.model.device) < lengths[:, None]).long()
        logits = self.model(input_ids=sources, attention_mask=mask, labels=labels).logits.float()
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
        )
        return (losses.sum(1) / (labels != IGNORED).sum(1)).tolist()

    def close(self) -> None:
        del self.model
        release()


def _padded(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    out = torch.full((len(rows), max(map(len, rows))), value)
    for row, ids in enumerate(rows):
        out[row, : len(ids)] = torch.tensor(ids)
    return out
