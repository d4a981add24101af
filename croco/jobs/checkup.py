"""What can be known to go wrong before the hours are spent (`croco doctor`).

The prompts are made (a run finds them), and a few of each language are looked at: their token ids, a step of training on them, a
greedy answer, and their rewards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from croco.cli import commandline
from croco.errors import UserError
from croco.jobs import cluster, framing, parity
from croco.jobs.findings import Finding
from croco.language import clock

PER_LANGUAGE = 4
TRUNCATED = 0.05  # share of answers cut at model.max_length from which a run should not start
FEW_WORDS = 3  # an answer of so many has hardly an order
MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL", "skip": "-   "}


def run(composed: DictConfig) -> int:
    """Print every finding; returns the exit code."""
    findings = []
    try:
        for finding in examine(composed):
            print(f"{MARKS[finding.state]} {finding.name}: {finding.detail}", flush=True)
            findings.append(finding)
    except UserError as error:
        commandline.say(error)
        return 2
    failed = sum(finding.state == "fail" for finding in findings)
    print(f"{failed} of {len(findings)} checks failed" if failed else "nothing stands against this run")
    return 1 if failed else 0


def examine(composed: DictConfig) -> Iterator[Finding]:
    """Every check, as it is done."""
    from croco.config import strict
    from croco.engines import factory
    from croco.jobs.preflight import lacks_device, preflight
    from croco.models import commits
    from croco.models.checkpoints import tokenizer_of
    from croco.models.devices import placed, release
    from croco.training.encoding import encode
    from croco.training.model import build_model

    config = commits.pinned(strict(composed))
    preflight(config, device=False)
    alone = replace(config.trainer, devices=1, num_nodes=1)  # one GPU is asked for all
    config = placed(replace(config, engine=replace(config.engine, devices=1), trainer=alone))
    clock.begin(config.date, Path(config.paths.artifacts))
    yield cluster.disk(config)
    if HydraConfig.initialized() and "SlurmLauncher" in str(HydraConfig.get().launcher.get("_target_")):
        yield from cluster.slurm(config, HydraConfig.get().launcher)
    model = config.model
    tokenizer = tokenizer_of(factory.policy(model))
    prompts = _prompts(config)
    rows = [(p.messages, p.reference or "An answer.") for p in prompts]
    yield from framing.template(tokenizer, rows)
    yield stops(config, tokenizer)
    yield lengths(config, tokenizer, prompts)
    if lacks_device(config):
        yield overruled(config)
        why = "this machine has no CUDA device; ask again where the run will be"
        yield Finding("a training step, engines' answers, rewards", "skip", f"not tried: {why}")
        return
    pairs = [(m, (answer, answer[: len(answer) // 2] + " ...")) for m, answer in rows]
    examples, _ = encode(tokenizer, pairs, model.max_length)
    policy = build_model(config, 0.0)
    yield from training(config, policy, examples)
    del policy
    release()
    said: dict[tuple[str, str], str] = {}
    yield from parity.answers(config, tokenizer, prompts, said)
    yield from parity.rewards(config, prompts)
    yield overruled(config)
    yield rewards(config, prompts, said)


def _prompts(config: Any) -> list[Any]:
    """The first of each language, from the run's own artifacts."""
    from croco import tracking
    from croco.artifacts.records import Prompt
    from croco.artifacts.store import Store
    from croco.config import LangConfig
    from croco.jobs.chain import Chain
    from croco.show.progress import Progress
    from croco.stages import stages

    first = [stage for stage in stages() if stage.name in ("data", "prompts")]
    store = Store(Path(config.paths.artifacts), {"run": {}, "seed": config.seed})
    targets = config.translation.targets(config.lang.languages)
    if targets:  # their prompts are hours away, and shaped like the source's
        config = replace(config, lang=LangConfig([config.translation.source]))
    chain = Chain(config, store, Progress(), tracking.silence())
    found = chain.run(first)["prompts"].rows("prompts", Prompt)
    by_language = ([p for p in found if p.language == language] for language in config.lang.languages)
    return [p for some in by_language for p in some[:PER_LANGUAGE]]


def stops(config: Any, tokenizer: Any) -> Finding:
    """The token that training teaches as an end should be one at which other tools stop, too; our engines are told."""
    from transformers import GenerationConfig

    from croco.language import text

    try:
        own: Any = GenerationConfig.from_pretrained(config.model.path, revision=config.model.revision).eos_token_id
    except OSError:
        own = None
    ids = own if isinstance(own, list) else [own]
    end = text.end_of_turn(tokenizer)
    names = tokenizer.convert_ids_to_tokens([i for i in ids if i is not None])
    detail = f"answers end with {tokenizer.convert_ids_to_tokens(end)!r}, the checkpoint's generation config stops at {names}"
    return Finding("stops", "ok" if end in ids else "warn", detail)


def overruled(config: Any) -> Finding:
    """What a generation config wants of sampling and does not get, because candidates are the model's own distribution's."""
    from transformers import GenerationConfig

    from croco.models import keys

    try:
        said = keys.overruled(GenerationConfig.from_pretrained(config.model.path, revision=config.model.revision))
    except OSError:
        said = {}
    names = ", ".join(f"{name}={value}" for name, value in said.items())
    return Finding(
        "generation config", "ok", f"overruled by sampling.*: {names}" if names else "says nothing of sampling"
    )


def lengths(config: Any, tokenizer: Any, prompts: Sequence[Any]) -> Finding:
    """Share of the data's own answers, where there are, and the longest that will be generated, against what training reads."""
    from croco.language import text

    limit, room = config.model.max_length, config.sampling.max_new_tokens
    sizes = [len(text.prompt_ids(tokenizer, p.messages)) for p in prompts]
    own = [
        size + len(text.answer_ids(tokenizer, p.reference))
        for p, size in zip(prompts, sizes, strict=True)
        if p.reference
    ]
    cut = sum(size > limit for size in own) / max(len(own), 1)
    longest = max(sizes) + room
    told = f"cuts {cut:.0%} of the reference answers" if own else "has no reference answers to cut"
    detail = f"model.max_length={limit} {told}; the longest prompt and answer may take {longest}"
    return Finding("max_length", "fail" if cut > TRUNCATED else "warn" if longest > limit else "ok", detail)


def training(config: Any, model: Any, examples: Sequence[Any]) -> Iterator[Finding]:
    """The loss before the first update, and whether the adapter reaches the output."""
    import math
    from types import SimpleNamespace

    import torch

    from croco.config import bind_target
    from croco.training.packed import choose
    from croco.training.policy import Policy

    forward = choose(model, config.trainer)
    pairs = config.method.trains_on == "pairs"
    loss = bind_target("method.loss", config.method.loss)
    settings = {k: v for k, v in config.method.loss.items() if k != "_target_"}
    plan: Any = SimpleNamespace(steps=1)
    policy = Policy(model, loss, settings, examples, plan, config, forward=forward)
    with torch.no_grad():
        with model.disable_adapter():
            reference = forward(model, examples).sums(2)
        known = policy.known(examples, reference)
        value = float(loss(*(known[name] for name in policy.needs), **settings).mean())
        drift = float((known["chosen"] - known["reference_chosen"]).abs().max())
        detail = f"{config.method.name} starts at {value:.6f}; policy and reference differ by at most {drift:.1e} nats"
        starts = (
            not pairs or config.method.loss["_target_"] != "croco.maths.losses.dpo" or abs(value - math.log(2)) < 1e-3
        )
        yield Finding("step 0", "ok" if starts and math.isfinite(value) and drift < 1.0 else "fail", detail)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.02)
        moved = float((forward(model, examples).sums(2) - reference).abs().max())
    yield Finding(
        "adapter", "ok" if moved > 1e-3 else "fail", f"random weights in it move log-probs by up to {moved:.3g} nats"
    )


def rewards(config: Any, prompts: Sequence[Any], said: Mapping[tuple[str, str], str]) -> Finding:
    """A reward model that reads its template as it was trained prefers an answer to its words in disorder.

    Args:
        said: what the policy answered, by prompt and language; looked at where prompts have no reference answers.
    """
    from croco.engines.base import Answered
    from croco.rewards import factory

    if config.reward.kind != "sequence_classification" or config.engine.name == "fake":
        return Finding("reward model", "skip", "no checkpoint")
    own = {key: p.reference for p in prompts if (key := (p.prompt_id, p.language)) and p.reference}
    kind = "reference" if own else "generated"
    answers = own or said
    some = [(p, words) for p in prompts if len(words := answers.get((p.prompt_id, p.language), "").split()) > FEW_WORDS]
    if not some:
        return Finding("reward model", "skip", f"no {kind} answer of more than {FEW_WORDS} words to try it on")
    scorer = factory.scorer(config.engine, config.reward)
    try:
        good = scorer.score([Answered(p.messages, " ".join(words), p.language, p.meta) for p, words in some])
        bad = scorer.score([Answered(p.messages, " ".join(words[::-1]), p.language, p.meta) for p, words in some])
    finally:
        scorer.close()
    told = [(a, b) for a, b in zip(good, bad, strict=True) if a is not None and b is not None]
    right = sum(a > b for a, b in told)
    state = "ok" if told and right > len(told) / 2 else "fail" if own else "warn"
    return Finding("reward model", state, f"prefers {right} of {len(told)} {kind} answers to the same words backwards")
