"""Translated prompts through the stages, by a small real model through the transformers engine."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from rich.console import Console
from transformers import AutoModelForCausalLM

from croco import tracking
from croco.artifacts.records import Generation, Prompt
from croco.artifacts.store import Artifacts, Store
from croco.config import CONF, Config, strict
from croco.engines.base import Completion, Request
from croco.engines.hf import HFGenerator
from croco.errors import UserError
from croco.jobs import checkup, preflight
from croco.jobs.chain import Chain
from croco.language import text
from croco.prompts import translation as translating
from croco.show.progress import Progress
from croco.stages import stages
from tests.support.builders import build_talker, real

TOKENS = 16


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("talker")
    return real(build_talker(folder / "same"), folder / "talker")


@dataclass
class World:
    """One user's prompts and artifacts."""

    folder: Path
    talker: Path

    def config(self, *overrides: str) -> Config:
        words = [
            f"prompts=jsonl prompts.path={self.folder / 'en.jsonl'} prompts.heldout=2 engine=hf evals=none logger=none",
            f"translation=plain translation.model={self.talker} translation.max_new_tokens={TOKENS}",
            f"translation.dtype=float32 translation.check_language=false model.path={self.talker}",
            "reward=function reward.function=tests.support.rewards:length",
        ]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return strict(compose("config", overrides=[*" ".join(words).split(), *overrides]))

    def prompts(self, config: Config, runs: str = "runs") -> tuple[dict[str, list[Prompt]], str]:
        """Every language's prompts, and what was said while they were made."""
        out = io.StringIO()
        chain = Chain(config, Store(self.folder / runs), Progress(Console(file=out, width=200)), tracking.silence())
        last = max(number for number, stage in enumerate(stages()) if stage.name == "prompts")
        chain.run(stages()[: last + 1])
        made = chain.artifacts["prompts"]
        assert isinstance(made, Artifacts)
        rows = {language: a.rows("prompts", Prompt) for language, a in made.by_language.items()}
        self.artifacts = chain.artifacts
        return rows, out.getvalue()


@pytest.fixture
def world(tmp_path: Path, talker: Path) -> World:
    questions = [f"question {n}: why does fox {n * 7} jump over the lazy dog?" for n in range(12)]
    rows = [{"id": f"q{n}", "language": "en", "prompt": question} for n, question in enumerate(questions)]
    (tmp_path / "en.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return World(tmp_path, talker)


def oracle(model: Any, tokenizer: Any, request: Prompt) -> tuple[str, bool]:
    """transformers' own greedy decoding of one request by itself, and whether it ended."""
    ids = torch.tensor([text.prompt_ids(tokenizer, request.messages)])
    mask = torch.ones_like(ids)
    (out,) = model.generate(
        ids, attention_mask=mask, do_sample=False, max_new_tokens=TOKENS, eos_token_id=1, pad_token_id=2
    )
    new = out[ids.shape[1] :].tolist()
    return text.decode(tokenizer, new), 1 in new


def test_a_dropped_row_shifts_nothing(world: World, talker: Path) -> None:
    """What has no end within 16 tokens is dropped; every other prompt is the translation of its own English one."""
    config = world.config("lang.languages=[en,da,de]")
    rows, said = world.prompts(config)
    tokenizer, model = text.load_tokenizer(str(talker)), AutoModelForCausalLM.from_pretrained(talker)
    english = {p.prompt_id: p for p in rows["en"]}
    assert len(english) == 12
    for language in ("da", "de"):
        made = {p.prompt_id: p for p in rows[language]}
        ended = 0
        for prompt_id, source in english.items():
            (request,) = translating.requests(config.translation, language, source)
            words, stopped = oracle(model, tokenizer, request)
            usable = stopped and words != ""
            ended += usable
            assert (prompt_id in made) == usable
            if usable:
                assert made[prompt_id].messages == [{"role": "user", "content": words}]
                assert (made[prompt_id].split, made[prompt_id].language) == (source.split, language)
        assert 0 < ended < 12, "the test wants both"
        summary = world.artifacts["prompts"].by_language[language].summary  # type: ignore[union-attr]
        assert summary["rows"] == ended
        assert sum(summary["dropped"].values()) == 12 - ended
        assert f"prompts/{language}: {ended} translated; dropped: " in said
    assert {p.prompt_id for p in rows["da"]} != {p.prompt_id for p in rows["de"]}


def test_another_language_translates_only_that_one(world: World) -> None:
    """And the English prompts are those of a run that translates nothing."""
    world.prompts(world.config("lang.languages=[en]", "translation=none", "translation.model=null"))
    _, first = world.prompts(world.config("lang.languages=[en,da]"))
    assert "source_prompts/en: found" in first
    assert "translations/da: made" in first
    assert "prompts/en: found" in first
    _, second = world.prompts(world.config("lang.languages=[da,de]"))
    for found in ("translation_requests/da", "translations/da", "prompts/da"):
        assert f"{found}: found" in second
    assert "translations/de: made" in second
    _, checked = world.prompts(world.config("lang.languages=[da,de]", "translation.check_language=true"))
    assert "translations/da: found" in checked
    assert "prompts/da: made" in checked


@pytest.mark.slow
def test_more_prompts_translate_only_the_new_ones(world: World) -> None:
    world.prompts(world.config("lang.languages=[da]", "prompts.train=5"))
    few = {p.prompt_id for p in world.artifacts["translation_requests"].rows("prompts", Prompt)}
    _, said = world.prompts(world.config("lang.languages=[da]"))
    assert f"translations/da: {len(few)} answers taken over" in said


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_prompts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    config = world.config("lang.languages=[da]", "engine.batch_size=2")
    whole, _ = world.prompts(config, "whole")
    generate = HFGenerator.generate
    asked: list[int] = []

    def killed(self: HFGenerator, requests: Iterable[Request]) -> Iterator[Completion]:
        yield from itertools.islice(generate(self, requests), 5)
        raise KeyboardInterrupt

    def counted(self: HFGenerator, requests: Iterable[Request]) -> Iterator[Completion]:
        rows = list(requests)
        asked.append(len(rows))
        yield from generate(self, rows)

    monkeypatch.setattr(HFGenerator, "generate", killed)
    with pytest.raises(KeyboardInterrupt):
        world.prompts(config, "killed")
    monkeypatch.setattr(HFGenerator, "generate", counted)
    again, _ = world.prompts(config, "killed")
    assert asked == [12 - 5]
    assert again == whole


def test_a_conversation_and_its_answer_are_translated_turn_by_turn(world: World) -> None:
    roles = ("user", "assistant", "user", "assistant")
    rows = [
        {
            "id": f"c{n}",
            "language": "en",
            "messages": [{"role": r, "content": f"{n} {i} fox"} for i, r in enumerate(roles)],
        }
        for n in range(24)
    ]
    (world.folder / "en.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made, _ = world.prompts(
        world.config("lang.languages=[da]", "translation.references=true", "translation.max_new_tokens=64")
    )
    texts = {g.prompt_id: g for g in world.artifacts["translations"].rows("generations", Generation)}
    assert len(texts) == 24 * 4
    assert made["da"]
    for p in made["da"]:
        assert [m["role"] for m in p.messages] == ["user", "assistant", "user"]
        assert [m["content"] for m in p.messages] == [texts[f"{p.prompt_id}#{n}"].text for n in range(3)]
        answer = texts[f"{p.prompt_id}#reference"]
        assert p.reference == (answer.text if answer.finish_reason == "stop" and answer.text else None)


def test_too_little_room_is_one_line(world: World) -> None:
    with pytest.raises(
        UserError, match=r"translation\.max_input_tokens: none of 12 prompts has at most 3 tokens in 'da'"
    ):
        world.prompts(world.config("lang.languages=[da]", "translation.max_input_tokens=3"))


def test_a_translator_that_is_not_there_is_one_line_before_any_work(world: World) -> None:
    with pytest.raises(UserError, match=r"translation\.model: \./nowhere: no such folder"):
        preflight.preflight(world.config("lang.languages=[da]", "translation.model=./nowhere"))
    preflight.preflight(world.config("lang.languages=[en]", "translation.model=./nowhere"))


def test_the_doctor_does_not_wait_for_translations(world: World) -> None:
    config = world.config("lang.languages=[da,de]", f"paths.artifacts={world.folder / 'looked'}")
    assert {p.language for p in checkup._prompts(config)} == {"en"}
    assert not (world.folder / "looked" / "translations").exists()
