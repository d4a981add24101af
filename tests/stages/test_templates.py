"""Every template of a run is asked before any work whether it can read the prompts, and frames them as it should."""

from __future__ import annotations

import datetime
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from rich.console import Console

from croco import tracking
from croco.artifacts.store import Store
from croco.config import CONF, Config, strict
from croco.engines import factory
from croco.errors import UserError
from croco.jobs.chain import Chain
from croco.language import clock, frame, text
from croco.models.slices import checkpoint_slice
from croco.prompts.parsing import without_system
from croco.show.progress import Progress
from croco.stages import euroeval, prompts, report, templates
from tests.language.test_frame import template_of, tokenizer_for
from tests.support.builders import TEMPLATE, build_policy, build_reward, build_tokenizer, real

SYSTEM, USER, ANSWER = ({"role": role, "content": role[0]} for role in ("system", "user", "assistant"))
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE
ALTERNATES = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}"
    "{% endif %}{% endfor %}" + TEMPLATE
)
MUTE = TEMPLATE.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")


def config(*overrides: str) -> Config:
    with initialize_config_dir(version_base=None, config_dir=str(CONF)):
        return strict(compose("config", overrides=["evals=none", "lang=da", *overrides]))


def found(*roles: str) -> dict[str, dict[str, Any]]:
    return {" ".join(roles): {"prompts": 3, "first": "da-7", "language": "da"}}


def test_roles_that_a_template_does_not_know(tmp_path: Path) -> None:
    """The policy's template, and the reward model's, which would be asked after all the generation."""
    policy, reward = build_policy(tmp_path / "policy"), build_reward(tmp_path / "reward")
    sound = config(f"model.path={policy}", "reward.kind=sequence_classification", f"reward.path={reward}")
    templates.check(sound, found("system", "user") | found("user"))
    for number, (template, roles, says) in enumerate(
        (
            (NO_SYSTEM, ("system", "user"), r"no system\); prompts.system=merge"),
            (ALTERNATES, ("user", "user"), r"alternate\); prompts.turns=first"),
            (MUTE, ("system", "user"), r"leaves out system message; prompts.system=merge"),
        )
    ):
        other = str(shutil.copytree(reward, tmp_path / str(number)))
        build_tokenizer(Path(other), template)
        for key, chosen in (
            ("model.path", replace(sound, model=replace(sound.model, path=other))),
            ("reward.path", replace(sound, reward=replace(sound.reward, path=other))),
        ):
            with pytest.raises(UserError, match=rf"^prompts=tiny: prompt da-7 \(da\), {key}=.*{says}"):
                templates.check(chosen, found(*roles))
            templates.check(chosen, found("user"))


def test_what_becomes_of_system_messages() -> None:
    turns: list[Any] = [SYSTEM, USER, ANSWER, SYSTEM, SYSTEM, USER]
    assert without_system(turns, "keep") == turns
    assert without_system(turns, "drop") == [USER, ANSWER, USER]
    merged = [m["content"] for m in without_system(turns, "merge")]
    assert merged == ["s\n\nu", "a", "s\n\ns\n\nu"]


def test_what_is_odd_is_said() -> None:
    """SmolLM2's BOS stands before every turn, and is no BOS that is there twice."""
    turn = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    chatml = tokenizer_for(turn + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}", special=True)
    chatml.bos_token = "<|im_start|>"
    assert templates.faults(chatml) == []
    assert "writes BOS 2 times" in templates.faults(tokenizer_for("{{ bos_token }}" + TEMPLATE, True))[0].replace(
        "<bos>", ""
    )
    assert "before BOS" in templates.faults(tokenizer_for("Hi " + TEMPLATE, True))[0]
    other = "{% if messages[-1]['role'] == 'user' %}<|system|>{% endif %}"
    assert "does not begin" in templates.faults(tokenizer_for(TEMPLATE.replace("{% for", other + "{% for", 1), True))[0]


def test_an_end_that_is_plain_text_is_refused_where_answers_are_made() -> None:
    tokenizer = tokenizer_for(TEMPLATE.replace("<|end|>", " [[end of turn]]"), True)
    assert text.conversation_ids(tokenizer, [USER, ANSWER])
    with pytest.raises(UserError, match=r"ends an answer with '\[\[end of turn\]\]', which is no token"):
        text.answer_ids(tokenizer, "b")


def test_a_translators_template_takes_one_kind_of_question() -> None:
    """TranslateGemma's refuses texts, and parts without codes of languages."""
    part = "{% set p = m.content[0] %}{% if m.role == 'user' %}{% if p.source_lang_code is not defined %}"
    part += "{{ raise_exception('codes') }}{% endif %}{{ p.source_lang_code }}: {{ p.text }}{% else %}{{ m.content }}{% endif %}"
    tokenizer = tokenizer_for(TEMPLATE.replace("{{ m['content'] }}", part), True)
    asked: Any = [{"role": "user", "content": [{**frame.TO_TRANSLATE, "text": "a"}]}]
    assert "en: a" in tokenizer.decode(text.prompt_ids(tokenizer, asked))


def test_a_folder_of_artifacts_has_one_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by the first template that asks; tomorrow's run, and a process beside it, are told the same."""
    monkeypatch.setenv(clock.VARIABLE, "")
    tells = "{{ strftime_now('%d %B %Y') }}" + TEMPLATE
    asks = config(f"model.path={build_policy(tmp_path / 'asks', template=tells)}")
    silent = config(f"model.path={build_policy(tmp_path / 'silent')}")

    def of(given: Config) -> dict[str, Any]:
        return checkpoint_slice(factory.policy(given.model))

    clock.begin(None, tmp_path)
    assert "date" not in of(silent)
    assert not (tmp_path / clock.FILE).exists()
    assert of(asks)["date"] == datetime.date.today().isoformat()
    (tmp_path / clock.FILE).write_text("2026-01-31\n", encoding="utf-8")
    clock.begin(None, tmp_path)
    assert of(asks)["date"] == "2026-01-31"
    tokenizer = text.load_tokenizer(asks.model.path)
    assert tokenizer.decode(text.prompt_ids(tokenizer, [USER])).startswith("31 January 2026<s>")
    clock.begin("2026-12-24", tmp_path)
    written = euroeval._model(factory.policy(asks.model), tmp_path / "measured")
    assert (Path(written) / "chat_template.jinja").read_text().startswith('{{ "24 December 2026" }}')
    assert of(asks)["date"] == "2026-12-24"
    with pytest.raises(UserError, match="is no date"):
        clock.begin("24.12.", tmp_path)


def test_thinking_is_switched_off_by_the_templates_option(tmp_path: Path) -> None:
    """Qwen3's generation prompt then holds the empty thought, and its address says so."""
    build_policy(tmp_path)
    tokenizer_for(template_of("qwen3"), True).save_pretrained(tmp_path)
    found = {}
    for options in ((), ("model.template_options={enable_thinking:false}",)):
        run = config(f"model.path={tmp_path}", *options)
        policy = factory.policy(run.model)
        tokenizer = templates.tokenizer_of(policy)
        told = "off: the prompt closes an empty thought" if options else "left to the model"
        assert report.headline(run, {}) == f"Nothing was evaluated. Thinking: {told}."
        found[options] = tokenizer.decode(text.prompt_ids(tokenizer, [USER]))
        assert frame.of(tokenizer).closes_thought == bool(options)
        assert checkpoint_slice(policy).get("template_options", {}) == json.loads(policy.template_options)
    assert found["model.template_options={enable_thinking:false}",] == found[()] + "<think>\n\n</think>\n\n"


def test_languages_that_share_no_id_are_told_and_not_pooled(tmp_path: Path) -> None:
    """`da-0` and `en-0` are no translations of one another, whatever they say; without `shared` a source has one language."""
    rows = [{"id": f"{lang}-{i}", "language": lang, "prompt": f"{lang} {i}"} for lang in ("da", "en") for i in range(5)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    policy = real(build_policy(tmp_path / "policy"), tmp_path / "real")
    words = (f"prompts.path={tmp_path / 'own.jsonl'}", "prompts.heldout=0", "prompts.train=8", "pairing=multi")
    with initialize_config_dir(version_base=None, config_dir=str(CONF)):
        own = [
            "model=custom",
            f"model.path={policy}",
            "engine=fake",
            "lang=[da,en]",
            "evals=none",
        ]
        chosen = strict(compose("config", overrides=[*own, "prompts=jsonl", *words]))
    chain = Chain(chosen, Store(tmp_path / "runs"), Progress(Console(file=io.StringIO())), tracking.silence())
    with pytest.raises(
        UserError, match=r"pairing\.scope=multi: .*own\.jsonl: no prompt's id is also another language's"
    ):
        chain.run([prompts.STAGE])
    (made,) = (tmp_path / "runs" / "prompts").glob("*/manifest.json")
    assert "no id is another language's" in json.loads(made.read_text())["summary"]["notes"][-1]
    prompts.accept(replace(chosen, pairing=replace(chosen.pairing, scope="mono")), {"rows": 5, "shared": 0})
