"""Generation and scoring with vLLM.

Ids go in and ids come out, so the conversation is encoded by croco.text and nowhere else. Every sample is a request of its own
with its own seed (sample i of a prompt uses seed + i, as vLLM would number the samples of one request), so that samples can be
added without drawing the others again, and each is handed over when it is finished. A reward is the raw logit: vLLM's default
would pass it through a sigmoid.

An adapter gets a new name and a new number whenever it is taken into use: the weights are kept by number and the cached
prefixes by name, so that either alone would answer with what was there before.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croco.engines.base import Completion, Request, no_numbers, over_long
from croco.engines.conversations import Ids, ReadingScorer
from croco.errors import UserError
from croco.language import framed
from croco.models import devices, host, shapes
from croco.models.adapters import rank_of, settings_of
from croco.models.checkpoints import Checkpoint, check_reward, check_reward_template, configuration, tokenizer_of
from croco.models.keys import check_generation
from croco.models.pooling import pad_of, up_to_the_reward

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # the bounds on an adapter's rank that vLLM takes


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
    vllm = _vllm()
    if options.get("enable_sleep_mode"):
        from vllm.platforms import current_platform

        if not current_platform.is_sleep_mode_available():  # a CPU: an engine that makes room is closed
            options = {**options, "enable_sleep_mode": False}
    try:
        return vllm.LLM(
            **{
                "model": checkpoint.path,
                "revision": checkpoint.revision,
                "dtype": checkpoint.dtype,
                "trust_remote_code": checkpoint.trust_remote_code,
                "load_format": "auto"
                if checkpoint.trust_remote_code
                else "safetensors",  # pickled weights can run code
                "enable_prefix_caching": True,
                **settings,
                **options,
            }
        )
    except TypeError as error:
        raise UserError(f"engine.options: vLLM {vllm.__version__} does not take them ({error})") from None


class _Turns:
    """What generator and scorer are beside their work: loaded, asleep between turns, closed."""

    llm: Any

    def peak(self) -> int:
        """Bytes of the GPU: what is held here, or where vLLM runs in a process of its own, all that anybody holds, of which vLLM
        takes its share at once and for good."""
        return devices.peak() or devices.taken()

    def sleep(self) -> bool:
        """Leave the device: the weights wait in the host's memory (vLLM's level 1), what was cached is gone. False where that
        memory has no room for them, or vLLM was not begun for it: a new engine later reads the weights from disk, as level 2
        would."""
        model = self.llm.llm_engine.model_config
        if not model.enable_sleep_mode or host.room() < _size(model):
            return False
        return self._told("sleep", level=1)

    def wake(self) -> bool:
        """Back on the device, where it can."""
        return self._told("wake_up")

    def _told(self, what: str, **given: Any) -> bool:
        try:
            getattr(self.llm, what)(**given)
        except Exception as error:  # vLLM's own, of many kinds; a new engine does the same work
            log.warning("vLLM does not %s (%s: %s)", what, type(error).__name__, " ".join(str(error).split())[:200])
            return False
        return True

    def close(self) -> None:
        """Give back what the engine holds."""
        self.llm.llm_engine.engine_core.shutdown()
        del self.llm


def _size(model: Any) -> float:
    """Bytes of a model's weights; infinite where its configuration does not say what they are."""
    try:
        return float(shapes.of_config(model.hf_config.to_dict()).parameters * model.dtype.itemsize)
    except KeyError:
        return math.inf


class VLLMGenerator(_Turns):
    """Samples answers; see `base.Generator`."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: PreTrainedTokenizerBase,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        prompts_in_engine: int,
        options: Mapping[str, Any],
        logps: bool = False,
        form: str | None = None,
    ) -> None:
        """Args:
        form: a regular expression that the answer's text has to match; nothing else can be written (vLLM's structured outputs).
        """
        from transformers import GenerationConfig

        from croco.engines.stops import stop_ids

        vllm = _vllm()
        lora: dict[str, Any] = {}
        if checkpoint.adapter is not None:
            lora = {"enable_lora": True, "max_loras": 1, "max_lora_rank": _rank_bound(checkpoint.adapter)}
        self.llm = _engine(checkpoint, options, **lora)
        self.context = int(self.llm.llm_engine.model_config.max_model_len)
        try:
            own = GenerationConfig.from_pretrained(checkpoint.path, revision=checkpoint.revision or "main")
        except OSError:
            own = GenerationConfig()
        check_generation(checkpoint.path, own)
        self.stops = stop_ids(own, tokenizer)
        self.prompts_in_engine = prompts_in_engine
        held = None if form is None else framed.pattern(tokenizer, form)
        self.parameters = vllm.SamplingParams(
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_new_tokens,
            stop_token_ids=sorted(self.stops),
            detokenize=False,
            logprobs=0 if logps else None,  # of the drawn tokens alone
            output_kind=vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
            structured_outputs=None if held is None else vllm.sampling_params.StructuredOutputsParams(regex=held),
        )
        self.logps = logps
        self.settings = self._effective(vllm.__version__)
        self._adapters = 0
        self._lora: Any = None
        self.use(checkpoint.adapter)

    def _effective(self, version: str) -> dict[str, Any]:
        model = self.llm.llm_engine.model_config
        parameters = self.parameters
        return {
            "engine": "vllm",
            "version": version,
            "dtype": str(model.dtype).removeprefix("torch."),
            "temperature": parameters.temperature,
            "top_p": parameters.top_p,
            "top_k": parameters.top_k,
            "min_p": parameters.min_p,
            "repetition_penalty": parameters.repetition_penalty,
            "max_new_tokens": parameters.max_tokens,
            "context": self.context,
            "stop_token_ids": sorted(parameters.stop_token_ids or []),
            **({"form": parameters.structured_outputs.regex} if parameters.structured_outputs else {}),
        }

    def use(self, adapter: Path | None) -> None:
        """Further requests are answered with this LoRA adapter, read again even from the same folder; None takes it off."""
        if adapter is None:
            self._lora = None
            return
        from vllm.lora.request import LoRARequest

        self._adapters += 1
        self._lora = LoRARequest(f"{adapter}#{self._adapters}", self._adapters, str(adapter))

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """See `base.Generator`; at most `prompts_in_engine` prompts are in the engine, and one comes in as one is finished."""
        engine = self.llm.llm_engine
        coming = iter(requests)
        more = True
        sample_of: dict[str, tuple[Request, int]] = {}
        waiting: dict[str, int] = {}  # samples still to come, by prompt
        number = 0
        while more or sample_of:
            while more and len(waiting) < self.prompts_in_engine:
                request = next(coming, None)
                if request is None:
                    more = False
                    break
                for sample in request.samples:
                    name = str(number := number + 1)
                    self._add(name, request, sample)
                    sample_of[name] = request, sample
                waiting[_key(request)] = len(request.samples)
            if not sample_of:
                continue
            for output in engine.step():
                request, sample = sample_of.pop(output.request_id)
                waiting[_key(request)] -= 1
                if not waiting[_key(request)]:
                    del waiting[_key(request)]
                answer = output.outputs[0]
                ids = list(answer.token_ids)
                reason = "stop" if ids and ids[-1] in self.stops else "length"
                if answer.cumulative_logprob is not None and not math.isfinite(answer.cumulative_logprob):
                    raise no_numbers(request)
                yield Completion(request, sample, ids, reason, answer.cumulative_logprob if self.logps else None)

    def _add(self, name: str, request: Request, sample: int) -> None:
        if len(request.token_ids) >= self.context:
            raise over_long(request, self.context)
        parameters = self.parameters.clone()
        parameters.seed = request.seed + sample
        if (
            sample == request.samples.start
        ):  # vLLM draws from logits that are no numbers without a word; a log-prob tells
            parameters.logprobs = 0
        prompt = {"prompt_token_ids": request.token_ids}
        self.llm.llm_engine.add_request(name, prompt, parameters, lora_request=self._lora)


def _key(request: Request) -> str:
    return f"{request.prompt_id}/{request.language}/{request.samples.start}"


def _rank_bound(adapter: Path) -> int:
    if settings_of(adapter).use_dora:
        raise UserError(
            f"{adapter}: is a DoRA adapter, which vLLM does not compute; choose engine=hf, or merge it into its base"
        )
    rank = rank_of(adapter)
    for bound in RANKS:
        if rank <= bound:
            return bound
    raise UserError(f"{adapter}: its rank {rank} is more than vLLM's {RANKS[-1]}")


class VLLMScorer(_Turns, ReadingScorer):
    """Rewards of a sequence-classification model with one label; see `base.Scorer`. Of two lengths, the smaller holds."""

    def __init__(self, checkpoint: Checkpoint, max_length: int, options: Mapping[str, Any]) -> None:
        vllm = _vllm()
        check_reward(checkpoint)
        self.tokenizer = tokenizer_of(checkpoint)
        check_reward_template(checkpoint, self.tokenizer)
        self.max_length = min(max_length, options.get("max_model_len") or max_length)
        self.llm = _engine(checkpoint, {**options, "max_model_len": self.max_length}, runner="pooling")
        # vLLM reads a decoder's last token, whatever it is.
        last = self.llm.llm_engine.model_config.pooler_config.get_seq_pooling_type() == "LAST"
        self.pad = pad_of(configuration(checkpoint)) if last else None
        self.parameters = vllm.PoolingParams(use_activation=False)

    def read(self, conversations: Sequence[Ids]) -> dict[Ids, float]:
        """See `ReadingScorer`."""
        outputs = self.llm.encode(
            [{"prompt_token_ids": up_to_the_reward(self.pad, ids)} for ids in conversations],
            pooling_params=self.parameters,
            pooling_task="classify",
            use_tqdm=False,
        )
        return {ids: output.outputs.data.item() for ids, output in zip(conversations, outputs, strict=True)}
