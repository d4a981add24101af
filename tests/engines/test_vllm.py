"""The vLLM engine for real, on the CPU build (`make test-vllm`), against transformers, peft, and vLLM's own ways.

The models are in float32 and their head size is one that vLLM's CPU attention has. Cohere2's window is larger than any sequence
here: vLLM reads it as one token more than transformers does.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from croco.artifacts import processes
from croco.artifacts.records import Prompt
from croco.config import CONF, EngineConfig, SamplingConfig
from croco.config.languages import english_names
from croco.config.running import QUANTIZATIONS
from croco.engines import factory
from croco.engines.base import Answered, Completion, Request, seed_of
from croco.engines.hf import HFGenerator
from croco.engines.holder import EngineHolder
from croco.engines.process import EngineCrash, IsolatedGenerator
from croco.engines.vllm_engine import VLLMGenerator, VLLMScorer
from croco.errors import UserError
from croco.evals.arena import judges, judging
from croco.evals.arena.judges import ModelJudge
from croco.language import text
from croco.models.checkpoints import Checkpoint
from croco.rewards import judge
from croco.rewards.judge import JudgeScorer
from tests.support.builders import build_policy, build_reward, build_tokenizer

pytestmark = pytest.mark.vllm

SHAPE = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32}
WINDOW = {"cohere2": {"sliding_window": 4096}}
QUESTIONS = ["what?", "hvad hedder du, og hvor kommer du fra?", "tell me all about the quick brown fox", "0 1 2"]
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module", autouse=True)
def options() -> dict[str, Any]:
    """Of conf/engine/vllm_cpu.yaml, whose environment this process takes on."""
    both = [yaml.safe_load((CONF / "engine" / f"{name}.yaml").read_text()) for name in ("vllm", "vllm_cpu")]
    for settings in both:
        os.environ.update(settings["environment"])
    return {**both[1]["options"], "kv_cache_memory_bytes": 64 * 2**20}


def requests(tokenizer: Any, samples: range) -> list[Request]:
    return [
        Request(
            f"p{i}",
            "en",
            text.prompt_ids(tokenizer, [{"role": "user", "content": q}]),
            samples,
            seed_of(0, f"p{i}", "en"),
        )
        for i, q in enumerate(QUESTIONS)
    ]


def by_key(completions: Iterator[Completion]) -> dict[tuple[str, int], Completion]:
    return {(c.request.prompt_id, c.sample): c for c in completions}


def ids_of(completions: Iterator[Completion]) -> dict[tuple[str, int], list[int]]:
    return {key: c.token_ids for key, c in by_key(completions).items()}


def build_adapter(path: Path, folder: Path, seed: int) -> Path:
    """A LoRA adapter strong enough to change greedy answers."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(path)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=64, target_modules=TARGETS, task_type="CAUSAL_LM"))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    adapted.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", ["llama", "cohere2"])
def test_greedy_answers_and_log_probabilities_are_those_of_transformers(
    family: str, tmp_path: Path, options: dict[str, Any]
) -> None:
    path = build_policy(tmp_path, family, **SHAPE, **WINDOW.get(family, {}))
    tokenizer = text.load_tokenizer(str(path))
    wanted = requests(tokenizer, range(1))
    ours = VLLMGenerator(Checkpoint(str(path)), tokenizer, 0.0, 1.0, 24, 2, options, logps=True)
    theirs = HFGenerator(Checkpoint(str(path)), tokenizer, 0.0, 1.0, 24, 8, logps=True)
    answers = by_key(ours.generate(wanted))
    expected = by_key(theirs.generate(wanted))
    for key, answer in expected.items():
        assert answers[key].token_ids == answer.token_ids
        assert answers[key].finish_reason == answer.finish_reason
        assert answers[key].logp == pytest.approx(answer.logp, abs=1e-3)
    for request in wanted:
        (output,) = ours.llm.generate([{"prompt_token_ids": request.token_ids}], ours.parameters, use_tqdm=False)
        assert output.prompt_token_ids == request.token_ids  # no second BOS
        drawn = list(output.outputs[0].token_ids)
        with torch.no_grad():
            logits = theirs.model(torch.tensor([[*request.token_ids, *drawn]])).logits[0].float()
        log_probabilities = torch.log_softmax(logits[len(request.token_ids) - 1 : -1], dim=-1)
        for place, token in enumerate(drawn):
            told = output.outputs[0].logprobs[place][token].logprob
            assert told == pytest.approx(log_probabilities[place, token].item(), abs=1e-4)
    ours.close()


@pytest.fixture(scope="module")
def policy_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_policy(tmp_path_factory.mktemp("llama"), **SHAPE)


@pytest.fixture(scope="module")
def adapter(policy_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_adapter(policy_path, tmp_path_factory.mktemp("adapter"), seed=1)


@pytest.fixture(scope="module")
def sampler(policy_path: Path, adapter: Path, options: dict[str, Any]) -> Iterator[VLLMGenerator]:
    """At temperature 1, two prompts in the engine at a time; able to take adapters, and without one."""
    tokenizer = text.load_tokenizer(str(policy_path))
    checkpoint = Checkpoint(str(policy_path), adapter=adapter)
    engine = VLLMGenerator(
        checkpoint, tokenizer, 1.0, 1.0, 40, 2, {**options, "max_model_len": 128, "disable_log_stats": False}
    )
    engine.use(None)
    yield engine
    engine.close()


def test_sample_i_of_a_prompt_has_the_seed_of_child_i_of_one_request(sampler: VLLMGenerator, policy_path: Path) -> None:
    """vLLM gives child i of a request with n samples the seed s + i; ours, asked for in two goes, are the same samples."""
    tokenizer = text.load_tokenizer(str(policy_path))
    ours = ids_of(sampler.generate(requests(tokenizer, range(3))))
    ours |= ids_of(sampler.generate(requests(tokenizer, range(3, 5))))
    for request in requests(tokenizer, range(5)):
        parameters = sampler.parameters.clone()
        parameters.n, parameters.seed = 5, request.seed
        (output,) = sampler.llm.generate([{"prompt_token_ids": request.token_ids}], parameters, use_tqdm=False)
        assert [ours[request.prompt_id, i] for i in range(5)] == [list(o.token_ids) for o in output.outputs]
        assert len({tuple(o.token_ids) for o in output.outputs}) == 5


def test_reasons_and_what_was_used_are_told(sampler: VLLMGenerator, policy_path: Path) -> None:
    tokenizer = text.load_tokenizer(str(policy_path))
    completions = list(sampler.generate(requests(tokenizer, range(64))))
    assert {c.finish_reason for c in completions} == {"stop", "length"}
    for c in completions:
        assert c.finish_reason == ("stop" if c.token_ids[-1] == 1 else "length")
        assert c.finish_reason == "stop" or len(c.token_ids) == 40
    assert sampler.settings["engine"] == "vllm"
    assert (sampler.settings["temperature"], sampler.settings["top_p"], sampler.settings["top_k"]) == (1.0, 1.0, 0)
    assert (sampler.settings["dtype"], sampler.settings["max_new_tokens"]) == ("float32", 40)
    assert (sampler.settings["context"], sampler.settings["stop_token_ids"]) == (128, [1])


def test_prompts_come_in_as_others_are_finished(sampler: VLLMGenerator, policy_path: Path) -> None:
    """Never more than two in the engine, and the third is taken before all of the second's are there."""
    tokenizer = text.load_tokenizer(str(policy_path))
    taken: list[str] = []
    finished: dict[str, int] = {}

    def coming() -> Iterator[Request]:
        for request in requests(tokenizer, range(4)):
            assert len(taken) - sum(n == 4 for n in finished.values()) < 2
            taken.append(request.prompt_id)
            yield request

    for completion in sampler.generate(coming()):
        finished[completion.request.prompt_id] = finished.get(completion.request.prompt_id, 0) + 1
    assert finished == {f"p{i}": 4 for i in range(4)}


def test_the_prompt_is_encoded_once_for_all_its_samples(sampler: VLLMGenerator) -> None:
    """A prompt of three blocks of 32 tokens: the later requests find at least two of them."""
    prompt = {"prompt_token_ids": [7 + i % 50 for i in range(100)]}
    sampler.llm.generate([prompt], sampler.parameters, use_tqdm=False)
    (again,) = sampler.llm.generate([prompt], sampler.parameters, use_tqdm=False)
    assert again.num_cached_tokens >= 64


def test_a_prompt_without_room_for_an_answer_is_refused_by_name(sampler: VLLMGenerator) -> None:
    with pytest.raises(UserError, match=r"prompt long \(da\) has 128 tokens, and the model's context is 128"):
        list(sampler.generate([Request("long", "da", [7] * 128, range(1), 0)]))
    (last,) = sampler.generate([Request("fits", "da", [7] * 127, range(1), 0)])
    assert len(last.token_ids) == 1


def test_an_adapter_takes_effect_and_is_refreshed(
    sampler: VLLMGenerator, policy_path: Path, adapter: Path, tmp_path: Path
) -> None:
    """Greedy answers are peft's, also after the same folder got other weights; and the base's once it is taken off."""
    tokenizer = text.load_tokenizer(str(policy_path))
    wanted = requests(tokenizer, range(1))
    sampled = sampler.parameters
    sampler.parameters = sampled.clone()
    sampler.parameters.temperature, sampler.parameters.max_tokens = 0.0, 16

    def expected(folder: Path | None) -> dict[tuple[str, int], list[int]]:
        engine = HFGenerator(Checkpoint(str(policy_path), adapter=folder), tokenizer, 0.0, 1.0, 16, 8)
        return ids_of(engine.generate(wanted))

    folder = tmp_path / "adapter"
    base = expected(None)
    seen = [base]
    for seed in (1, 2):
        build_adapter(policy_path, folder, seed)
        sampler.use(folder)
        assert ids_of(sampler.generate(wanted)) == expected(folder)
        seen.append(expected(folder))
    sampler.use(None)
    assert ids_of(sampler.generate(wanted)) == base
    assert seen[0] != seen[1] != seen[2]
    sampler.parameters = sampled


def test_rounds_swap_adapters_in_the_engine_that_is_loaded(
    policy_path: Path, adapter: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    """An engine with room for adapters is loaded once for all of them; the policy without one has the faster engine. On a CPU
    none sleeps, also where there is no room for two."""
    tokenizer = text.load_tokenizer(str(policy_path))
    other = build_adapter(policy_path, tmp_path / "other", 3)
    none = {field.name: None for field in fields(EngineConfig)}
    said = {
        "name": "vllm",
        "isolate": False,
        "devices": 1,
        "prompts_per_unit": 8,
        "score_tokens": 1024,
        "environment": {},
    }
    engine = EngineConfig(**{**none, **said, "options": options})  # type: ignore[arg-type]
    engines, sampling = EngineHolder(), SamplingConfig(1, 0.0, 1.0, 16, 0)
    engines.take_turns(together=False)
    held: list[Any] = []
    for folder in (adapter, other):
        checkpoint = Checkpoint(str(policy_path), adapter=folder)
        one = factory.held_generator(engines, engine, checkpoint, tokenizer, sampling)
        plain = HFGenerator(checkpoint, tokenizer, 0.0, 1.0, 16, 8)
        wanted = requests(tokenizer, range(1))
        assert ids_of(one.generate(wanted)) == ids_of(plain.generate(wanted))
        held.append(one)
    assert held[0] is held[1]
    assert not held[0].sleep()
    assert not factory.have_room_together(replace(engine, options={}))
    assert factory.have_room_together(replace(engine, options={"gpu_memory_utilization": 0.3}))
    engines.close()


def test_kinds_of_quantisation_are_vllms() -> None:
    """Those that a configuration may name are those of the installed version, but for what it is about to give up."""
    from vllm.model_executor.layers import quantization

    deprecated = set(quantization.DEPRECATED_QUANTIZATION_METHODS)
    assert set(QUANTIZATIONS) == set(quantization.QUANTIZATION_METHODS) - deprecated


@pytest.mark.parametrize("pad", [None, 1, 2], ids=["no pad token", "pad is the end", "a pad token"])
def test_scores_are_the_raw_logits_of_transformers(
    pad: int | None, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read where the model's class reads a single conversation, which ends with token 1."""
    path = build_reward(tmp_path, seed=1, **SHAPE, pad_token_id=pad)
    model = AutoModelForSequenceClassification.from_pretrained(path)
    torch.nn.init.normal_(model.score.weight, std=2.0)  # so that logits leave [0, 1], where a sigmoid would keep them
    model.eval().save_pretrained(path)
    scorer = VLLMScorer(Checkpoint(str(path)), 64, options)
    answers = [Answered([{"role": "user", "content": q}], a, "en", "{}") for q in QUESTIONS for a in ("yes", "no no")]
    too_long = Answered([{"role": "user", "content": "x" * 200}], "y", "en", "{}")
    asked: list[int] = []
    encode = scorer.llm.encode
    monkeypatch.setattr(
        scorer.llm, "encode", lambda prompts, **more: asked.append(len(prompts)) or encode(prompts, **more)
    )
    *scores, again, missing = scorer.score([*answers, answers[0], too_long])
    scorer.close()
    assert (again, missing, asked) == (scores[0], None, [len(answers)])  # equal conversations are scored once
    logits = []
    for a in answers:
        messages = [*a.messages, {"role": "assistant", "content": a.answer}]
        with torch.no_grad():
            logits.append(model(torch.tensor([text.conversation_ids(scorer.tokenizer, messages)])).logits.item())
    assert scores == [pytest.approx(logit, abs=1e-4) for logit in logits]
    assert min(logits) < 0 or max(logits) > 1


def test_what_is_no_reward_model_is_refused(tmp_path: Path, policy_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="2 labels; a reward model has one"):
        VLLMScorer(Checkpoint(str(build_reward(tmp_path, labels=2))), 64, options)
    with pytest.raises(UserError, match="is no reward model: it holds LlamaForCausalLM"):
        VLLMScorer(Checkpoint(str(policy_path)), 64, options)


def test_logits_that_are_no_numbers_stop_the_run(tmp_path: Path, options: dict[str, Any]) -> None:
    """No log-probs are asked for, as by every run."""
    path = build_policy(tmp_path, **SHAPE)
    model = AutoModelForCausalLM.from_pretrained(path)
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    model.save_pretrained(path)
    tokenizer = text.load_tokenizer(str(path))
    engine = VLLMGenerator(Checkpoint(str(path), None, "float32"), tokenizer, 1.0, 1.0, 4, 4, options)
    try:
        with pytest.raises(UserError, match=r"prompt p\d \(en\): the model's logits behind it are no numbers"):
            list(engine.generate(requests(tokenizer, range(2))))
    finally:
        engine.close()


def test_a_judge_is_held_to_what_it_is_asked_for(tmp_path: Path, options: dict[str, Any]) -> None:
    """Random weights, warm, whose tokenizer's EOS is another token than the template's end of a turn, and in no list of the
    checkpoint: whatever is drawn, every score and every verdict that is not cut off is read, and none is cut off at its end."""
    path = build_policy(tmp_path, **SHAPE, max_position_embeddings=2048, eos_token_id=None)
    build_tokenizer(path).save_pretrained(path)
    settings = json.loads((path / "tokenizer_config.json").read_text())
    (path / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "<pad>"}))
    tokenizer = text.load_tokenizer(str(path))
    assert text.end_of_turn(tokenizer) != tokenizer.eos_token_id

    def engine(form: str, tokens: int) -> VLLMGenerator:
        return VLLMGenerator(Checkpoint(str(path)), tokenizer, 1.0, 1.0, tokens, 4, options, form=form)

    template = "{prompt} {answer} <score>7</score>"
    scorer = JudgeScorer(engine(judge.form(template, (0, 9)), 32), tokenizer, english_names(), template, (0, 9), 200)
    answers = [Answered([{"role": "user", "content": q}], "yes", "en", "{}", f"p{i}") for i, q in enumerate(QUESTIONS)]
    rewards = scorer.score(answers)
    assert scorer.generator.settings["form"]
    scorer.close()
    assert all(reward is not None for reward in rewards)
    arena = ModelJudge(engine(judging.FORM, 700), tokenizer, 1500, "json")
    games = [
        g for a in answers for g in judges.games(Prompt(a.prompt_id, "en", a.messages, "arena"), "x", "y", "both", 0, 0)
    ]
    found = list(arena.judge(games))
    arena.close()
    ended = [judging.verdict(j.text, j.finish_reason, "json") for j in found if j.text.endswith("}")]
    assert ended
    assert None not in ended


def test_the_core_of_an_engine_whose_process_is_killed_ends_too(policy_path: Path, options: dict[str, Any]) -> None:
    """As on a GPU, vLLM's core is a process of its own here, which nobody would end; a terminal's Ctrl-C reaches none of them."""
    tokenizer = text.load_tokenizer(str(policy_path))
    build = partial(VLLMGenerator, Checkpoint(str(policy_path)), tokenizer, 1.0, 1.0, 16, 2, options)
    engine = IsolatedGenerator(build, {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "1"})
    below = processes.descendants(engine.pid)
    assert below
    assert {os.getpgid(pid) for pid in (engine.pid, *below)} == {engine.pid}
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(EngineCrash, match="killed by SIGKILL"):
        list(engine.generate(requests(tokenizer, range(1))))
    deadline = time.monotonic() + 20
    while any(map(processes.start_of, below)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in below if processes.start_of(pid)] == []
    engine.close()
