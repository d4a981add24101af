"""Which engine is kept while pieces of work follow one another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from croco.config import CONF, Config, EngineConfig, SamplingConfig, strict
from croco.engines import factory
from croco.engines.base import Request
from croco.engines.holder import EngineHolder
from croco.engines.process import IsolatedGenerator
from croco.language import text
from croco.models.checkpoints import Checkpoint
from tests.support.builders import build_adapter


def composed(*overrides: str) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return strict(compose("config", overrides=list(overrides)))


@pytest.mark.parametrize("isolate", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_base_stays_loaded_while_adapters_change(isolate: bool, policy: Path, tmp_path: Path) -> None:
    """One engine for the base and two adapters, also where it has a process of its own; each answers as if loaded alone."""
    config = composed("engine=hf", f"engine.isolate={str(isolate).lower()}")
    tokenizer = text.load_tokenizer(str(policy))
    request = Request("p", "en", text.prompt_ids(tokenizer, [{"role": "user", "content": "hi"}]), range(4), 7)

    def answers(engines: EngineHolder, engine: EngineConfig, adapter: Path | None) -> tuple[int, list[list[int]]]:
        checkpoint = Checkpoint(str(policy), adapter=adapter)
        held = factory.held_generator(
            engines, engine.of("policy"), checkpoint, tokenizer, SamplingConfig(4, 1.0, 1.0, 8, 0)
        )
        pid = held.pid if isinstance(held, IsolatedGenerator) else os.getpid()
        return pid, [c.token_ids for c in held.generate([request])]

    adapters = [None, *(build_adapter(policy, tmp_path / str(seed), seed) for seed in (1, 2))]
    inside = composed("engine=hf").engine
    expected = []
    for adapter in adapters:
        engines = EngineHolder()
        expected.append(answers(engines, inside, adapter)[1])
    assert expected[0] != expected[1] != expected[2]
    engines = EngineHolder()
    found = [answers(engines, config.engine, adapter) for adapter in (*adapters, None)]
    engines.close()
    assert [ids for _, ids in found] == [*expected, expected[0]]
    assert len({pid for pid, _ in found}) == 1
    assert (found[0][0] != os.getpid()) == isolate
