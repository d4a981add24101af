"""Generation and scoring with vLLM.

Ids go in and ids come out, so the conversation is encoded by croco.text and nowhere else. Every request has its seed, and
sample i of a request uses seed + i, so that samples can be added without drawing the others again. A reward is the raw
logit: vLLM's default would pass it through a sigmoid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from croco import text
from croco.engines.base import Answered, Completion, Request
from croco.engines.checkpoints import Checkpoint
from croco.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NEWLY_LOADED = 1  # number of the adapter within an engine that has only one


def _vllm() -> Any:
    try:
        import vllm
    except ImportError:
        raise UserError(
            "engine.name=vllm: vLLM is not installed; `make setup EXTRAS=dev,vllm` installs it, or choose engine=hf"
        ) from None
    return vllm


def _engine(checkpoint: Checkpoint, options: Mapping[str, Any], **settings: Any) -> Any:
    """vLLM's `LLM` for a checkpoint; `engine.options` wins over what is set here."""
    return _vllm().LLM(
        **{
            "model": checkpoint.path,
            "revision": checkpoint.revision,
            "dtype": checkpoint.dtype,
            "trust_remote_code": checkpoint.trust_remote_code,
            "enable_prefix_caching": True,
            **settings,
            **options,
        }
    )


class VLLMGenerator:
    """Samples answers; see `base.Generator`."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: PreTrainedTokenizerBase,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        prompts_per_unit: int,
        options: Mapping[str, Any],
    ) -> None:
        from transformers import GenerationConfig

        from croco.engines.stops import stop_ids

        vllm = _vllm()
        lora: dict[str, Any] = {}
        self.lora_request = None
        if checkpoint.adapter is not None:
            lora = {"enable_lora": True, "max_lora_rank": max(8, _rank(checkpoint.adapter))}
            from vllm.lora.request import LoRARequest

            self.lora_request = LoRARequest(str(checkpoint.adapter), NEWLY_LOADED, str(checkpoint.adapter))
        self.llm = _engine(checkpoint, options, **lora)
        try:
            own = GenerationConfig.from_pretrained(checkpoint.path, revision=checkpoint.revision or "main")
        except OSError:
            own = GenerationConfig()
        self.stops = stop_ids(own, tokenizer)
        self.prompts_per_unit = prompts_per_unit
        self.parameters = lambda request: vllm.SamplingParams(
            n=len(request.samples),
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_new_tokens,
            seed=request.seed + request.samples.start,
            stop_token_ids=sorted(self.stops),
            detokenize=False,
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for start in range(0, len(requests), self.prompts_per_unit):
            unit = requests[start : start + self.prompts_per_unit]
            outputs = self.llm.generate(
                [{"prompt_token_ids": r.token_ids} for r in unit],
                [self.parameters(r) for r in unit],
                lora_request=self.lora_request,
                use_tqdm=False,
            )
            for request, output in zip(unit, outputs, strict=True):
                for sample, out in zip(request.samples, output.outputs, strict=True):
                    ids = list(out.token_ids)
                    yield Completion(request, sample, ids, "stop" if ids and ids[-1] in self.stops else "length")

    def close(self) -> None:
        del self.llm


def _rank(adapter: Any) -> int:
    import json

    return int(json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"])


class VLLMScorer:
    """Rewards of a sequence-classification model with one label; see `base.Scorer`."""

    def __init__(self, checkpoint: Checkpoint, max_length: int, options: Mapping[str, Any]) -> None:
        vllm = _vllm()
        self.tokenizer = text.load_tokenizer(
            checkpoint.path, checkpoint.revision, checkpoint.chat_template, checkpoint.trust_remote_code
        )
        self.llm = _engine(checkpoint, options, runner="pooling", max_model_len=max_length)
        self.max_length = max_length
        self.parameters = vllm.PoolingParams(use_activation=False)

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        conversations = [
            text.conversation_ids(self.tokenizer, [*a.messages, {"role": "assistant", "content": a.answer}])
            for a in answers
        ]
        fitting = [i for i, ids in enumerate(conversations) if len(ids) <= self.max_length]
        outputs = self.llm.encode(
            [{"prompt_token_ids": conversations[i]} for i in fitting],
            pooling_params=self.parameters,
            pooling_task="classify",
            use_tqdm=False,
        )
        rewards: list[float | None] = [None] * len(answers)
        for i, output in zip(fitting, outputs, strict=True):
            if output.outputs.data.numel() != 1:
                raise UserError(f"reward.path: has {output.outputs.data.numel()} labels; a reward model has one")
            reward = output.outputs.data.item()
            rewards[i] = reward if math.isfinite(reward) else None
        return rewards

    def close(self) -> None:
        del self.llm
