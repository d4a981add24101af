"""Generation and scoring with transformers, in this process.

Sampling is our own loop over the model's forward, for four things `generate` does not give: each prompt is encoded once for
all its samples, rows that have ended are handed over and leave the batch, what is written is told token by token, and every
row draws from its own seeded stream, so that a sample depends on (model, prompt, seed) and not on what shared its batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from croco.engines.base import Completion, Request, Told, no_numbers, nobody, over_long
from croco.engines.conversations import Ids, ReadingScorer
from croco.engines.decoding import prepare, roomy_cache
from croco.engines.drawing import draw
from croco.engines.halving import in_halves
from croco.engines.stops import stop_ids
from croco.errors import UserError
from croco.models.adapters import put_on
from croco.models.checkpoints import Checkpoint, check_reward, check_reward_template, context_length, load, tokenizer_of
from croco.models.devices import release
from croco.models.keys import check_generation
from croco.models.pooling import filler, pad_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROMPTS_SORTED = 1024  # prompts are brought in order of length within so many, whatever their number
BATCH_SIZE = {"cpu": 128, "cuda": 1024}  # answers written together where the configuration leaves it open
COMPACT_BELOW = 0.75  # share of rows still writing below which the others are dropped from the batch


class HFGenerator:
    """Samples answers with a causal language model."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: PreTrainedTokenizerBase,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        batch_size: int | None,
        logps: bool = False,
    ) -> None:
        self.model, _ = load(AutoModelForCausalLM, checkpoint)
        prepare(self.model)
        self.adapter = checkpoint.adapter
        self.context = context_length(self.model.config)
        self.temperature, self.top_p, self.max_new_tokens = temperature, top_p, max_new_tokens
        self.batch_size = batch_size or BATCH_SIZE[self.model.device.type]
        self.logps = logps
        self.told: Told = nobody
        check_generation(checkpoint.path, self.model.generation_config)
        self.stops = stop_ids(self.model.generation_config, tokenizer)
        self.settings: dict[str, Any] = {
            "engine": "transformers",
            "version": transformers.__version__,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "temperature": temperature,
            "top_p": top_p,
            "max_new_tokens": max_new_tokens,
            "context": self.context,
            "stop_token_ids": sorted(self.stops),
        }

    def use(self, adapter: Path | None) -> None:
        """Answer with this adapter from now on; the base stays loaded."""
        if adapter == self.adapter:
            return
        if self.adapter is not None:
            self.model.delete_adapter("default")
        if adapter is not None:
            put_on(self.model, adapter)
            self.model.eval()
        self.adapter = adapter

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """All samples, a batch of those to similar prompts at a time; see `base.Generator`."""
        coming = iter(requests)
        while window := list(islice(coming, PROMPTS_SORTED)):
            for request in window:
                if len(request.token_ids) >= self.context:
                    raise over_long(request, self.context)
            window.sort(key=lambda r: (len(r.token_ids), r.language, r.prompt_id))
            rows = [self._row(request, sample) for request in window for sample in request.samples]
            even = -(-len(rows) // -(-len(rows) // self.batch_size))  # or the last batch might hold a few
            for start in range(0, len(rows), even):
                yield from self._batch(rows[start : start + even])

    def _batch(self, rows: Sequence[_Row]) -> Iterator[Completion]:
        """One batch; when the device has no memory for it, what it has not handed over in halves."""
        try:
            yield from self._sample(rows)
            return
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                request = rows[0].request
                raise UserError(
                    f"out of memory with one answer to prompt {request.prompt_id} ({request.language}) alone; "
                    "lower sampling.max_new_tokens"
                ) from None
        # Behind the handler, whose traceback would hold on to the batch's tensors.
        torch.cuda.empty_cache()
        self.told(-sum(len(row.ids) for row in rows if not row.over))
        left = [self._row(row.request, row.sample) for row in rows if not row.over]
        half = -(-len(left) // 2)
        for part in (left[:half], left[half:]):
            if part:
                yield from self._batch(part)

    @torch.inference_mode()
    def _sample(self, rows: Sequence[_Row]) -> Iterator[Completion]:
        """Write the rows, a token each at a time; a row is handed over when it is over."""
        streams = np.stack([uniform_stream(row.seed, max(row.budget for row in rows)) for row in rows])
        uniforms = torch.from_numpy(streams).to(self.model.device)
        places = list(range(len(rows)))  # the row at each place of the batch
        state = self._encode(rows)
        for step in range(uniforms.shape[1]):
            tokens = draw(state.logits, uniforms[places, step], self.temperature, self.top_p)
            logps = logps_of(state.logits, tokens) if self.logps else [0.0] * len(places)
            batch = [rows[place] for place in places]
            for place in without_numbers(state.logits):
                if not batch[place].over:
                    raise no_numbers(batch[place].request)
            self.told(sum(not row.over for row in batch))
            for row, token, logp in zip(batch, tokens.tolist(), logps, strict=True):
                if not row.over:
                    row.add(token, logp)
                    if token in self.stops or len(row.ids) == row.budget:
                        row.over = True
                        yield self._completion(row)
            alive = [place for place, row in enumerate(batch) if not row.over]
            if not alive:
                break
            if len(alive) < COMPACT_BELOW * len(places):
                keep = torch.tensor(alive, device=self.model.device)
                state, tokens, places = state.select(keep), tokens[keep], [places[place] for place in alive]
            state = self._advance(state, tokens)

    def _row(self, request: Request, sample: int) -> _Row:
        return _Row(request, sample, min(self.max_new_tokens, self.context - len(request.token_ids)))

    def _completion(self, row: _Row) -> Completion:
        reason = "stop" if row.ids[-1] in self.stops else "length"
        return Completion(row.request, row.sample, row.ids, reason, row.logp if self.logps else None)

    def _encode(self, rows: Sequence[_Row]) -> _State:
        """The prompts, once each, left-padded; then a place for each row."""
        asked = [(request, len(list(of))) for request, of in groupby(rows, key=lambda row: row.request)]
        longest = max(len(request.token_ids) for request, _ in asked)
        ids = torch.zeros(len(asked), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for place, (request, _) in enumerate(asked):
            ids[place, longest - len(request.token_ids) :] = torch.tensor(request.token_ids)
            mask[place, longest - len(request.token_ids) :] = 1
        ids, mask = ids.to(self.model.device), mask.to(self.model.device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = roomy_cache(self.model.config)
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        state = _State(out.logits[:, -1], mask, positions[:, -1], cache)
        repeats = torch.tensor([count for _, count in asked], device=ids.device)
        return state.select(torch.repeat_interleave(torch.arange(len(asked), device=ids.device), repeats))

    def _advance(self, state: _State, tokens: torch.Tensor) -> _State:
        mask = torch.cat([state.mask, state.mask.new_ones(len(tokens), 1)], dim=1)
        position = state.position + 1
        out = self.model(
            input_ids=tokens[:, None],
            attention_mask=mask,
            position_ids=position[:, None],
            past_key_values=state.cache,
            use_cache=True,
        )
        return _State(out.logits[:, -1], mask, position, state.cache)

    def close(self) -> None:
        del self.model
        release()


@dataclass
class _Row:
    """An answer while it is written."""

    request: Request
    sample: int
    budget: int
    """Tokens it may have."""
    ids: list[int] = field(default_factory=list)
    logp: float = 0.0
    over: bool = False

    @property
    def seed(self) -> int:
        return self.request.seed + self.sample

    def add(self, token: int, logp: float) -> None:
        self.ids.append(token)
        self.logp += logp


@dataclass
class _State:
    """A batch while it is written: one row per sample."""

    logits: torch.Tensor
    """Of the next token, shape (rows, vocabulary)."""
    mask: torch.Tensor
    position: torch.Tensor
    """Of the last token, shape (rows,)."""
    cache: Any

    def select(self, rows: torch.Tensor) -> _State:
        self.cache.batch_select_indices(rows)
        return _State(self.logits[rows], self.mask[rows], self.position[rows], self.cache)


def without_numbers(logits: torch.Tensor) -> list[int]:
    """Rows with a NaN, a positive infinity, or nothing else than negative ones: they have no most likely token, and no others."""
    return (~torch.isfinite(logits.amax(-1))).nonzero()[:, 0].tolist()


def logps_of(logits: torch.Tensor, tokens: torch.Tensor) -> list[float]:
    """Log-prob of one token per row, in nats, from logits of shape (rows, vocabulary)."""
    return torch.log_softmax(logits.float(), -1).gather(-1, tokens[:, None])[:, 0].tolist()


def uniform_stream(seed: int, count: int) -> np.ndarray:
    """`count` numbers in [0, 1) of a sample's own stream, shape (count,); a longer stream starts with a shorter one."""
    return np.random.Generator(np.random.Philox(key=seed)).random(count)


class HFScorer(ReadingScorer):
    """Rewards of a sequence-classification model with one label."""

    def __init__(self, checkpoint: Checkpoint, max_length: int, score_tokens: int) -> None:
        self.tokenizer = tokenizer_of(checkpoint)
        check_reward(checkpoint)
        check_reward_template(checkpoint, self.tokenizer)
        self.model, report = load(AutoModelForSequenceClassification, checkpoint)
        self.max_length, self.score_tokens = max_length, score_tokens
        if report["missing_keys"]:
            raise UserError(
                f"{checkpoint.path}: is no reward model, its {sorted(report['missing_keys'])[0]} is missing"
            )
        self.pad = pad_of(self.model.config)

    def read(self, conversations: Sequence[Ids]) -> dict[Ids, float]:
        """See `ReadingScorer`."""
        ordered = sorted(conversations, key=lambda ids: (len(ids), ids))
        rewards: dict[Ids, float] = {}
        for batch in token_batches(ordered, self.score_tokens):
            logits = in_halves(self._forward, batch, "out of memory scoring one answer; lower reward.max_length")
            rewards |= zip(batch, logits, strict=True)
        return rewards

    @torch.inference_mode()
    def _forward(self, batch: Sequence[Ids]) -> list[float]:
        """One logit per conversation, read where the model's class reads it for each alone."""
        longest, pad = max(map(len, batch)), filler(self.pad, batch)
        for config in (self.model.config, self.model.config.get_text_config()):  # either is what a class looks at
            config.pad_token_id = pad
        ids = torch.full((len(batch), longest), pad)
        mask = torch.zeros_like(ids)
        for row, conversation in enumerate(batch):
            ids[row, : len(conversation)] = torch.tensor(conversation)
            mask[row, : len(conversation)] = 1
        out = self.model(input_ids=ids.to(self.model.device), attention_mask=mask.to(self.model.device))
        return out.logits[:, 0].float().tolist()

    def close(self) -> None:
        del self.model
        release()


def token_batches(conversations: Sequence[Ids], budget: int) -> Iterator[list[Ids]]:
    """Runs of conversations (sorted by length) whose padded size is at most `budget` tokens; a longer one goes alone."""
    batch: list[Ids] = []
    for conversation in conversations:
        if batch and len(conversation) * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(conversation)
    if batch:
        yield batch
