"""An engine's named keys: whose they are, what vLLM is given, and that a model takes them, asked before any work."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from croco.config import CONF, Config, strict
from croco.engines import factory
from croco.errors import UserError
from croco.evals.arena import judges
from croco.jobs import serving
from croco.models.checkpoints import Checkpoint
from croco.models.slices import engine_slice
from croco.rewards import factory as rewards
from tests.jobs.test_addresses import put

JUDGING = {"template": "{prompt} {answer}", "low": 0, "high": 10, "max_new_tokens": 64, "max_unreadable": 0.1}


def config_of(*words: str, engine: str = "vllm") -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return strict(compose("config", overrides=[f"engine={engine}", "evals=none", *words]))


@functools.cache
def plain() -> Config:
    return config_of()


def with_keys(keys: dict[str, Any]) -> Config:
    """As above, without composing it again."""
    return functools.reduce(lambda config, key: put(config, key, keys[key]), keys, plain())


@pytest.fixture
def model(tmp_path: Path) -> Checkpoint:
    """As Llama 3.1 8B: 32 heads, 8 of keys and values; a context of 32,768 tokens, and no weights."""
    return written(tmp_path)


def written(folder: Path, **more: Any) -> Checkpoint:
    own = {"model_type": "llama", "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 32768}
    (folder / "config.json").write_text(json.dumps({**own, "hidden_size": 4096, **more}))
    return Checkpoint(str(folder))


def test_a_role_has_its_own_or_the_engines() -> None:
    """The judge on two GPUs in 8 bits, all others on one; vLLM's own names go to vLLM, and speed is in no address."""
    config = config_of(
        "engine.max_num_seqs=64",
        "engine.roles.judge.quantization=fp8",
        "engine.roles.judge.tensor_parallel=2",
        "engine.roles.reward.max_model_len=4096",
        "+engine.options.seed=1",
    )
    shared = {"seed": 1, "max_num_seqs": 64}
    assert config.engine.of("policy").given == config.engine.of("translator").given == shared
    assert config.engine.of("reward").given == {**shared, "max_model_len": 4096}
    assert config.engine.of("judge").given == {**shared, "quantization": "fp8", "tensor_parallel_size": 2}
    told = engine_slice(config.engine.of("judge"))
    assert told == {"engine": "vllm", "engine_options": {"seed": 1, "quantization": "fp8"}}
    old = config_of("+engine.options.max_model_len=2048", "+engine.options.tensor_parallel_size=2")
    new = config_of("engine.max_model_len=2048")
    assert engine_slice(old.engine.of("policy")) == engine_slice(new.engine.of("policy")), "one thing, one address"
    ray = config_of("engine.roles.judge.tensor_parallel=4", engine="ray_vllm").engine
    assert [own.ray.gpus for role in ("policy", "judge") if (own := ray.of(role)).ray] == [1, 4]
    assert not factory.have_room_together(config_of("engine.roles.policy.gpu_memory_utilization=0.4").engine)
    assert factory.have_room_together(config_of("engine.gpu_memory_utilization=0.4").engine)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["engine.quantization=fp9"], "engine.quantization"),
        (["engine.roles.reward.max_num_seqs=0"], "engine.roles.reward.max_num_seqs"),
        (["engine.gpu_memory_utilization=1.5"], "engine.gpu_memory_utilization"),
        (["engine.max_model_len=64", "+engine.options.max_model_len=32"], "engine.options.max_model_len"),
        (["engine=hf", "engine.roles.judge.tensor_parallel=2"], "engine.roles.judge.tensor_parallel"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], key: str) -> None:
    with pytest.raises(UserError, match=rf"^{key}: "):
        config_of(*words)


@pytest.mark.parametrize(
    ("keys", "role", "asked", "refusal"),
    [
        ({}, "policy", (0, 40000), None),  # vLLM takes what the checkpoint has
        ({"engine.max_model_len": 65536}, "policy", (), "engine.max_model_len: 65,536 is beyond the 32,768"),
        ({"engine.max_model_len": 65536}, "reward", (), None),  # the reward reads reward.max_length=256
        ({"engine.max_model_len": 512}, "policy", (0, 512), "engine.max_model_len: 512 leaves no room"),
        ({"engine.max_model_len": 8192}, "judge", (28672, 4096), r"set engine.roles.judge.max_model_len=32768"),
        ({"engine.roles.translator.max_model_len": 3000}, "translator", (2048, 2048), "may read 2,048 and write 2,048"),
        ({"engine.tensor_parallel": 4}, "policy", (), None),
        ({"engine.tensor_parallel": 16}, "policy", (), None),  # each of 8 is held twice
        ({"engine.tensor_parallel": 3}, "policy", (), "to one of 1, 2, 4, 8, 16, 32"),
        ({"engine.roles.judge.tensor_parallel": 5}, "judge", (), "engine.roles.judge.tensor_parallel: 5 GPUs"),
        ({"engine.quantization": "fp8"}, "policy", (), None),
        ({"engine.quantization": "awq_marlin"}, "policy", (), "not stored that way"),
        (
            {"judge.engine_options": {"max_model_len": 64}},
            "judge",
            (0, 64),
            "judge.engine_options.max_model_len: 64 leaves",
        ),
    ],
)
def test_the_model_is_asked(
    keys: dict[str, Any], role: str, asked: tuple[int, ...], refusal: str | None, model: Checkpoint
) -> None:
    config = with_keys(keys)
    if refusal is None:
        assert serving.fits(config, role, model, *asked) == []
    else:
        with pytest.raises(UserError, match=refusal):
            serving.fits(config, role, model, *asked)


def test_a_policy_that_may_be_cut_short_is_told(model: Checkpoint) -> None:
    (warning,) = serving.fits(with_keys({"engine.max_model_len": 3000}), "policy", model, 2048, 2048)
    assert "cut short" in warning


@pytest.mark.parametrize(("wanted", "fits"), [("awq_marlin", True), ("humming", True), ("fp8", False)])
def test_a_checkpoint_is_read_as_it_is_stored(wanted: str, fits: bool, tmp_path: Path) -> None:
    model = written(tmp_path, quantization_config={"quant_method": "awq", "bits": 4})
    config = with_keys({"engine.roles.policy.quantization": wanted})
    if fits:
        serving.fits(config, "policy", model)
    else:
        with pytest.raises(UserError, match=r"engine.roles.policy.quantization: fp8, and .* is stored as awq"):
            serving.fits(config, "policy", model)


@pytest.mark.parametrize(
    ("own", "context", "expected"),
    [(None, 262144, 32768), (None, 8192, 8192), (40960, 262144, 40960)],
)
def test_a_judge_has_room_for_what_it_reads_and_writes(
    own: int | None, context: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """28,672 + 4,096 tokens of a context of 262,144, which would be asked for otherwise; said by nobody, it is in no address.

    A reward that is a judge reads 1,000 and writes 64 tokens.
    """
    built: list[dict[str, Any]] = []
    folder = written(tmp_path, max_position_embeddings=context).path
    monkeypatch.setattr(judges, "tokenizer_of", lambda checkpoint: None)
    monkeypatch.setattr("croco.rewards.factory.text.load_tokenizer", lambda *_: None)
    monkeypatch.setattr(factory, "generator", lambda engine, *_, **__: built.append(engine.given))
    config = with_keys(
        {
            "judge": replace(plain().judge, kind="model", path=folder, max_prompt=28672, max_new_tokens=4096),
            "reward": replace(plain().reward, kind="judge", path=folder, max_length=1000, options=JUDGING),
            "engine.roles.judge.max_model_len": own,
        }
    )
    judges.build(config.judge, config.engine)
    assert built == [{"max_model_len": expected}]
    assert ("engine_options" in engine_slice(judges.with_options(config.engine, config.judge))) == (own is not None)
    rewards.scorer(config.engine, config.reward)
    assert built[1:] == [{"max_model_len": 1064}]
