"""Engines against what they stand for (`croco doctor`): for answers the trainer's model, for rewards the model's own class.

Every engine that is installed is asked, the configured one first: greedy tokens, log-probs without and with an adapter, and the
rewards of three answers.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from croco.jobs.findings import Finding

AGREEMENT = 0.99  # share of greedy tokens that engine and trainer must agree on; ties of half precision leave a few
TIED = 1e-4  # nats between two tokens of which either may be written, where numbers are fine ...
TIED_STEPS = 2  # ... and how many numbers apart, where the position's largest logit lies: in bfloat16 1/8 from 16 to 32
ROOM = 32  # tokens an answer may take here
APART = {"float32": 1e-3}  # of rewards, in units of max(1, |reward|)
APART_HALF = 0.05
ANSWERS = 3


def installed(engine: Any) -> Iterator[Any]:
    """The configured engine, and the other one where it can be started."""
    if engine.name == "fake":
        return
    yield engine
    if engine.ray is not None:
        return
    if engine.name == "vllm":
        yield _of("hf")
    elif find_spec("vllm") is not None:
        import torch

        yield _of("vllm" if torch.cuda.is_available() else "vllm_cpu")


def _of(name: str) -> Any:
    """An engine as conf/engine has it."""
    from omegaconf import DictConfig, OmegaConf

    from croco.config import CONF, EngineConfig

    def read(name: str) -> DictConfig:
        own = OmegaConf.load(CONF / "engine" / f"{name}.yaml")
        assert isinstance(own, DictConfig)
        return OmegaConf.merge(*map(read, own.pop("defaults", [])), own)  # type: ignore[return-value]

    made = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(EngineConfig), read(name)))
    assert isinstance(made, EngineConfig)
    return made


def answers(config: Any, tokenizer: Any, prompts: Sequence[Any], said: dict[tuple[str, str], str]) -> Iterator[Finding]:
    """What engines write greedily must be what the trainer's model finds most likely, from the same prompt ids, and as likely as
    the trainer's own path (packed or padded) says; with an adapter, too.

    `said` is filled with the configured engine's answers, by prompt and language.
    """
    if config.engine.name == "fake":
        for name in ("engine's tokens", "engine's log-probs", "engine's adapter"):
            yield Finding(name, "skip", "the fake engine has no model")
    for engine in installed(config.engine):
        with tempfile.TemporaryDirectory() as folder:
            whose = "engine's" if engine is config.engine else f"{engine.name}'s"
            yield from _answers(config, engine, tokenizer, prompts, Path(folder) / "adapter", whose, said)


def _answers(
    config: Any,
    engine: Any,
    tokenizer: Any,
    prompts: Sequence[Any],
    adapter: Path,
    whose: str,
    said: dict[tuple[str, str], str],
) -> Iterator[Finding]:
    import torch

    from croco.training.data import Example
    from croco.training.packed import choose
    from croco.training.policy import START_TOLERANCE, START_TOLERANCE_HALF
    from croco.training.start import Start, begin

    if engine.ray is None:
        _random_adapter(config, adapter)
    plain, adapted = _written(config, engine, tokenizer, prompts, adapter if engine.ray is None else None)
    if engine is config.engine:
        from croco.language import text

        said |= {(c.request.prompt_id, c.request.language): text.decode(tokenizer, c.token_ids) for c in plain}
        yield _as_text(config, tokenizer, plain)
    model = _trainers(config)
    with torch.no_grad():
        yield _tokens(model, plain, config.model.dtype, whose, engine.name)
        forward = choose(model, config.trainer)
        bound = START_TOLERANCE.get(model.get_base_model().dtype, START_TOLERANCE_HALF)
        for kind, written in (("log-probs", plain), ("adapter", adapted)):
            if kind == "adapter" and adapted:
                begin(model, Start(adapter=adapter))
            if not written:
                yield Finding(f"{whose} {kind}", "skip", "adapters do not change in engines on a cluster")
                continue
            examples = [Example(c.request.token_ids, (c.token_ids,)) for c in written]
            found = forward(model, examples).sums(1)[0].tolist()
            apart = [abs(c.logp - logp) / len(c.token_ids) for c, logp in zip(written, found, strict=True)]
            worst = max(apart)
            detail = f"engine and trainer differ by at most {worst:.1e} nats a token; up to {bound:.0e} is rounding"
            yield Finding(f"{whose} {kind}", "ok" if all(x <= bound for x in apart) else "fail", detail)


def _as_text(config: Any, tokenizer: Any, written: Sequence[Any]) -> Finding:
    """Answers that `method.tokens=text` trains on as other ids than the engine wrote, by language."""
    from croco.language import frame, text

    if frame.of(tokenizer).opens_thought:
        return Finding("tokens", "skip", "the template opens a thought for every answer: no text is one")
    differ: Counter[str] = Counter({c.request.language: 0 for c in written})
    ended = 0
    for c in written:
        differ[c.request.language] += text.answer_ids(tokenizer, text.decode(tokenizer, c.token_ids)) != c.token_ids
        ended += c.finish_reason == "length"
    by_language = ", ".join(f"{language} {count}" for language, count in differ.items())
    detail = (
        f"{differ.total()} of {len(written)} greedy answers are other ids when their text is encoded anew ({by_language}; "
        f"{ended} were cut off and get an end); method.tokens={config.method.tokens}"
    )
    return Finding("tokens", "warn" if config.method.tokens == "text" and differ.total() else "ok", detail)


def _trainers(config: Any) -> Any:
    from croco.training.model import build_model
    from croco.training.start import Start, begin

    model = build_model(config, 0.0)
    begin(model, Start(adapter=None if config.model.adapter is None else Path(config.model.adapter)))
    return model.eval()


def _random_adapter(config: Any, folder: Path) -> None:
    """One of the kind that is trained, which changes what the policy computes."""
    import torch

    from croco.models.devices import release

    model = _trainers(config)
    torch.manual_seed(config.seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.add_(torch.randn_like(parameter) * 0.02)
    model.save_pretrained(folder)
    del model
    release()


def _written(
    config: Any, engine: Any, tokenizer: Any, prompts: Sequence[Any], adapter: Path | None
) -> tuple[list[Any], list[Any]]:
    """Greedy answers of the policy, and with the adapter."""
    from croco.engines import factory
    from croco.engines.base import Request
    from croco.language import text

    own = factory.policy(config.model)
    room = min(ROOM, config.sampling.max_new_tokens)
    greedy = replace(config.sampling, temperature=1e-6, samples=1, max_new_tokens=room)
    checkpoint = own if adapter is None else replace(own, adapter=adapter)
    generator: Any = factory.generator(engine.of("policy"), checkpoint, tokenizer, greedy, logps=True)
    requests = [Request(p.prompt_id, p.language, text.prompt_ids(tokenizer, p.messages), range(1), 0) for p in prompts]
    try:
        adapted = list(generator.generate(requests)) if adapter is not None else []
        if adapter is not None:
            generator.use(own.adapter)
        return list(generator.generate(requests)), adapted
    finally:
        generator.close()


def _tokens(model: Any, written: Sequence[Any], dtype: str, whose: str, name: str) -> Finding:
    """Written, or within rounding of what the trainer finds most likely."""
    import torch

    same = total = 0
    worst = 0.0
    step = TIED_STEPS * torch.finfo(getattr(torch, dtype)).eps
    for c in written:
        ids = torch.tensor([c.request.token_ids + c.token_ids], device=model.device)
        logits = model(input_ids=ids).logits[0, len(c.request.token_ids) - 1 : -1].float()
        chosen = logits.gather(-1, torch.tensor(c.token_ids, device=model.device)[:, None])[:, 0]
        best = logits.amax(-1)
        same += int((best - chosen <= (step * logits.abs().amax(-1)).clamp(min=TIED)).sum())
        worst = max(worst, float((best - chosen).max()))
        total += len(c.token_ids)
    detail = f"{same} of {total} greedy tokens of engine={name} are the trainer's most likely ones, or tied with them"
    detail += f"; the furthest is {worst:.2g} nats less likely"
    return Finding(f"{whose} tokens", "ok" if same >= AGREEMENT * total else "fail", detail)


def rewards(config: Any, prompts: Sequence[Any]) -> Iterator[Finding]:
    """Every engine's rewards of a few answers of unequal length are what the model's own class gives each of them alone."""
    from croco.config.scorers import scoring_parts
    from croco.engines.base import Answered
    from croco.rewards import factory

    parts = [part for part in scoring_parts(config.reward) if part.kind == "sequence_classification"]
    texts = ("Yes.", "An answer of a few words.", "An answer that goes on for longer than the other two of them do.")
    some = [
        Answered(p.messages, p.reference or said, p.language, p.meta)
        for p, said in zip([*prompts, *prompts, *prompts], texts, strict=False)
    ][:ANSWERS]
    for part in parts if config.engine.name != "fake" else ():
        expected = _alone(factory.checkpoint(part), some)
        bound = APART.get(part.dtype, APART_HALF)
        for engine in installed(config.engine):
            scorer = factory.scorer(engine, part)
            try:
                found = scorer.score(some)
            finally:
                scorer.close()
            told = [(a, b) for a, b in zip(found, expected, strict=True) if a is not None]
            apart = [abs(a - b) / max(1.0, abs(b)) for a, b in told]
            worst = max(apart, default=0.0)
            detail = f"{len(told)} answers' rewards differ by at most {worst:.1e} from those of the model's own class"
            fits = bool(told) and all(x <= bound for x in apart)
            whose = "engine's" if engine is config.engine else f"{engine.name}'s"
            yield Finding(f"{whose} rewards", "ok" if fits else "fail", f"{detail}; up to {bound:.0e} is rounding")


def _alone(checkpoint: Any, some: Sequence[Any]) -> list[float]:
    """Rewards by transformers' own class, one conversation at a time, without padding."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from croco.language import text
    from croco.models.checkpoints import load
    from croco.models.devices import release

    tokenizer = text.load_tokenizer(checkpoint.path, checkpoint.revision, None, checkpoint.trust_remote_code)
    model: Any
    model, _ = load(AutoModelForSequenceClassification, checkpoint)
    values = []
    with torch.inference_mode():
        for a in some:
            messages = [*a.messages, {"role": "assistant", "content": a.answer}]
            ids = torch.tensor([text.conversation_ids(tokenizer, messages)], device=model.device)
            values.append(model(input_ids=ids).logits[0, 0].item())
    del model
    release()
    return values
