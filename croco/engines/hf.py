"""Generation and scoring with transformers, in this process.

Sampling is our own loop over the model's forward, for three things `generate` does not give: each prompt is encoded once for
all its samples, rows that have ended leave the batch, and every row draws from its own seeded stream, so that a sample
depends on (model, prompt, seed) and not on what happened to share its batch. A token is the inverse of the cumulative
distribution at the row's next uniform number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from croco.engines.base import Answered, Completion, Request, no_numbers, over_long
from croco.engines.conversations import Ids, score_once
from croco.engines.decoding import prepare, roomy_cache
from croco.engines.halving import in_halves
from croco.engines.stops import stop_ids
from croco.errors import UserError
from croco.language import text
from croco.models.adapters import put_on
from croco.models.checkpoints import Checkpoint, check_reward, check_reward_template, context_length, load
from croco.models.devices import release
from croco.models.pooling import filler, pad_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNITS_SORTED = 64  # prompts are brought in order of length within so many units, whatever their number
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
        prompts_per_unit: int,
        logps: bool = False,
    ) -> None:
        self.model, _ = load(AutoModelForCausalLM, checkpoint)
        prepare(self.model)
        self.adapter = checkpoint.adapter
        self.context = context_length(self.model.config)
        self.temperature, self.top_p, self.max_new_tokens = temperature, top_p, max_new_tokens
        self.prompts_per_unit, self.logps = prompts_per_unit, logps
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
        """All samples, a unit of similar prompts at a time; see `base.Generator`."""
        coming = iter(requests)
        while window := list(islice(coming, UNITS_SORTED * self.prompts_per_unit)):
            for request in window:
                if len(request.token_ids) >= self.context:
                    raise over_long(request, self.context)
            window.sort(key=lambda r: (len(r.token_ids), r.language, r.prompt_id))
            for start in range(0, len(window), self.prompts_per_unit):
                yield from self._unit(window[start : start + self.prompts_per_unit])

    def _unit(self, requests: Sequence[Request]) -> list[Completion]:
        """One unit; when the device has no memory for it, its halves: of the prompts, or of a single prompt's samples."""
        try:
            return self._sample(requests)
        except torch.OutOfMemoryError:
            first = requests[0]
            if len(requests) == 1 and len(first.samples) == 1:
                raise UserError(
                    f"out of memory with one answer to prompt {first.prompt_id} ({first.language}) alone; "
                    "lower sampling.max_new_tokens"
                ) from None
        torch.cuda.empty_cache()
        if len(requests) == 1:
            half = len(first.samples) // 2
            parts = [replace(first, samples=some) for some in (first.samples[:half], first.samples[half:])]
            return [replace(c, request=first) for part in parts for c in self._unit([part])]
        half = len(requests) // 2
        return self._unit(requests[:half]) + self._unit(requests[half:])

    @torch.inference_mode()
    def _sample(self, requests: Sequence[Request]) -> list[Completion]:
        rows = [(request, sample) for request in requests for sample in request.samples]
        repeats = torch.tensor([len(r.samples) for r in requests], device=self.model.device)
        budgets = [min(self.max_new_tokens, self.context - len(r.token_ids)) for r, _ in rows]
        state = self._encode(requests, repeats)
        uniforms = np.stack([uniform_stream(r.seed + s, max(budgets)) for r, s in rows])
        drawn: list[list[int]] = [[] for _ in rows]
        logps = [0.0] * len(rows)
        active = np.arange(len(rows))  # row number of each batch position; -1 once it has ended
        for step in range(max(budgets)):
            tokens = self._draw(state.logits, uniforms[np.maximum(active, 0), step])
            for place in without_numbers(state.logits):
                if active[place] >= 0:
                    raise no_numbers(rows[active[place]][0])
            if self.logps:
                for row, logp in zip(active, logps_of(state.logits, tokens), strict=True):
                    if row >= 0:
                        logps[row] += logp
            for place, token in enumerate(tokens.tolist()):
                row = active[place]
                if row >= 0:
                    drawn[row].append(token)
                    if token in self.stops or len(drawn[row]) == budgets[row]:
                        active[place] = -1
            alive = np.flatnonzero(active >= 0)
            if len(alive) == 0:
                break
            if len(alive) < COMPACT_BELOW * len(active):
                keep = torch.from_numpy(alive).to(self.model.device)
                state, tokens, active = state.select(keep), tokens[keep], active[alive]
            state = self._advance(state, tokens)
        return [
            Completion(
                request,
                sample,
                ids,
                "stop" if ids and ids[-1] in self.stops else "length",
                logp if self.logps else None,
            )
            for (request, sample), ids, logp in zip(rows, drawn, logps, strict=True)
        ]

    def _encode(self, requests: Sequence[Request], repeats: torch.Tensor) -> _State:
        """The prompts, once each, left-padded; then one row per sample."""
        longest = max(len(r.token_ids) for r in requests)
        ids = torch.zeros(len(requests), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, request in enumerate(requests):
            ids[row, longest - len(request.token_ids) :] = torch.tensor(request.token_ids)
            mask[row, longest - len(request.token_ids) :] = 1
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
        return state.select(torch.repeat_interleave(torch.arange(len(requests), device=ids.device), repeats))

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

    def _draw(self, logits: torch.Tensor, uniforms: np.ndarray) -> torch.Tensor:
        """One token id per row, shape (rows,); greedy at temperature 0."""
        if self.temperature == 0:
            return logits.argmax(-1)
        probabilities = torch.softmax(logits.float() / self.temperature, dim=-1)
        if self.top_p < 1:
            ranked, order = probabilities.sort(dim=-1, descending=True)
            ranked[ranked.cumsum(-1) - ranked >= self.top_p] = 0  # the first token to pass top_p stays in
            probabilities = torch.zeros_like(probabilities).scatter(-1, order, ranked)
        # In double precision, or a large vocabulary would never draw its last tokens.
        cumulative = probabilities.double().cumsum(-1)
        target = torch.from_numpy(uniforms).to(logits.device)[:, None] * cumulative[:, -1:]
        return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)

    def close(self) -> None:
        del self.model
        release()


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


class HFScorer:
    """Rewards of a sequence-classification model with one label."""

    def __init__(self, checkpoint: Checkpoint, max_length: int, score_tokens: int) -> None:
        self.tokenizer = text.load_tokenizer(
            checkpoint.path, checkpoint.revision, checkpoint.chat_template, checkpoint.trust_remote_code
        )
        check_reward(checkpoint)
        check_reward_template(checkpoint, self.tokenizer)
        self.model, report = load(AutoModelForSequenceClassification, checkpoint)
        self.max_length, self.score_tokens = max_length, score_tokens
        if report["missing_keys"]:
            raise UserError(
                f"{checkpoint.path}: is no reward model, its {sorted(report['missing_keys'])[0]} is missing"
            )
        self.pad = pad_of(self.model.config)

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """See `base.Scorer`; a conversation longer than `max_length` gets None, equal conversations are scored once."""
        return score_once(self.tokenizer, answers, self.max_length, self._by_length)

    def _by_length(self, conversations: Sequence[Ids]) -> dict[Ids, float]:
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
