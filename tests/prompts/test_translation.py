"""Translation: what the translator is asked, how its answers are put together, what is refused before any work."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from croco.artifacts.records import Generation, Prompt
from croco.config import CONF, Config, TranslationConfig, languages, references, strict
from croco.config import translation as checks
from croco.errors import UserError
from croco.language import text
from croco.prompts import translation as translating
from croco.stages.translations import requests_slice
from croco.tiny import MODELS
from tests.support.builders import build_tokenizer

GEMMA = (
    "{{ bos_token }}{% for m in messages %}{% set part = m['content'][0] %}"
    "[{{ part['type'] }}|{{ part['source_lang_code'] }}|{{ part['target_lang_code'] }}] {{ part['text'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""Reads the message of TranslateGemma's card: one part with its type, two codes and the text."""


def composed(*overrides: str) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return strict(
            compose(
                "config",
                overrides=["lang.languages=[en,da,no,mt]", "model=custom", "model.path=x", "evals=none", *overrides],
            )
        )


def settings(*overrides: str) -> TranslationConfig:
    return composed(*overrides).translation


def prompt(*contents: str, reference: str | None = None) -> Prompt:
    roles = ["system", "user", "assistant", "user"]
    messages = [{"role": r, "content": c} for r, c in zip(roles[-len(contents) :], contents, strict=True)]
    return Prompt("q1", "en", messages, "train", reference, '{"task": 1}')


def generated(request_id: str, words: str, finish_reason: str = "stop") -> Generation:
    return Generation(request_id, "da", 0, words, [5, 1], finish_reason, 3, 2, 0, "m", "")


def test_the_papers_translator_reads_its_languages_in_the_text() -> None:
    """The string of the authors' script, vllm_translate.py; each turn by itself, and the answer."""
    paper = settings("translation=translategemma", "translation.references=true")
    asked = translating.requests(
        paper, "no", prompt("What is {text}?", "A {target}.", "And now?", reference="Nothing.")
    )
    assert [(r.prompt_id, r.messages[0]["content"]) for r in asked] == [
        ("q1#0", "<<<source>>>en<<<target>>>no<<<text>>>What is {text}?"),
        ("q1#1", "<<<source>>>en<<<target>>>no<<<text>>>A {target}."),
        ("q1#2", "<<<source>>>en<<<target>>>no<<<text>>>And now?"),
        ("q1#reference", "<<<source>>>en<<<target>>>no<<<text>>>Nothing."),
    ]
    assert {(r.language, r.split, r.messages[0]["role"]) for r in asked} == {("no", "translate", "user")}
    assert (paper.max_new_tokens, paper.source) == (8192, "en")


def test_a_plain_prompt_names_the_languages_in_english() -> None:
    plain = settings("translation=plain", "translation.model=x")
    (asked,) = translating.requests(plain, "mt", prompt("Hi!", reference="Hello!"))
    assert asked.messages[0]["content"] == (
        "Translate the following text from English into Maltese. Answer with the translation alone.\n\nHi!"
    )


def test_translategemmas_own_format(tmp_path: Path) -> None:
    build_tokenizer(tmp_path, GEMMA)
    tokenizer = text.load_tokenizer(str(tmp_path))
    (asked,) = translating.requests(settings("translation=translategemma_google"), "da", prompt("Hi!"))
    seen = tokenizer.decode(translating.token_ids(tokenizer, asked))
    assert seen == "<s>[text|en|da] Hi!<|end|><|assistant|>"


def test_every_language_of_the_paper_has_a_code_and_says_which_it_is() -> None:
    """All fourteen, and Finnish, are in the list of TranslateGemma's chat template under their ISO 639-1 codes."""
    for path in (CONF / "language").glob("*.yaml"):
        assert languages.spoken_of(path.stem).translategemma == path.stem


def test_long_texts_leave_and_a_long_reference_leaves_alone(tmp_path: Path) -> None:
    build_tokenizer(tmp_path)
    tokenizer = text.load_tokenizer(str(tmp_path))
    plain = settings("translation=plain", "translation.model=x", "translation.references=true")
    short, long = prompt("a", reference="a" * 500), prompt("a", "b" * 500, "c")
    dropped: Counter[str] = Counter()
    most = len(translating.token_ids(tokenizer, translating.requests(plain, "da", short)[0]))
    ((kept, asked),) = translating.within(plain, "da", [short, long], tokenizer, most, dropped)
    assert kept is short
    assert [r.prompt_id for r in asked] == ["q1#0"]
    assert dropped == {"too long to translate": 1, "reference too long to translate": 1}


ENGLISH = "This text has been copied and not been translated at all."
DANISH = "Denne tekst er skrevet på dansk, og den er lang nok til at blive genkendt."


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        (generated("q1#0", " "), "translation empty"),
        (generated("q1#0", DANISH, "length"), "translation cut off"),
        (generated("q1#0", ENGLISH), "translation in another language"),
    ],
)
def test_what_cannot_be_used_is_dropped_by_reason(turn: Generation, reason: str) -> None:
    plain = settings("translation=plain", "translation.model=x")
    dropped: Counter[str] = Counter()
    assert not list(translating.assembled(plain, "da", [prompt("hi")], {"q1#0": turn}, dropped))
    assert dropped == {reason: 1}
    if reason.endswith("language"):
        unchecked = settings("translation=plain", "translation.model=x", "translation.check_language=false")
        assert list(translating.assembled(unchecked, "da", [prompt("hi")], {"q1#0": turn}, dropped))


def test_turns_are_put_where_they_were_and_all_else_stays() -> None:
    """An empty turn is nothing to translate; a reference that cannot be used goes alone."""
    plain = settings("translation=plain", "translation.model=x", "translation.references=true")
    asked = prompt("", "hello", "again", reference="yes")
    assert [r.prompt_id for r in translating.requests(plain, "da", asked)] == ["q1#1", "q1#2", "q1#reference"]
    texts = {"q1#1": "hej", "q1#2": "igen", "q1#reference": "ja"}
    rows = {key: generated(key, words) for key, words in texts.items()}
    dropped: Counter[str] = Counter()
    (made,) = translating.assembled(plain, "da", [asked], rows, dropped)
    assert made.messages == [
        {"role": "user", "content": ""},
        {"role": "assistant", "content": "hej"},
        {"role": "user", "content": "igen"},
    ]
    assert (made.prompt_id, made.language, made.split, made.reference, made.meta) == (
        "q1",
        "da",
        "train",
        "ja",
        '{"task": 1}',
    )
    rows["q1#reference"] = generated("q1#reference", "ja", "length")
    (made,) = translating.assembled(plain, "da", [asked], rows, dropped)
    assert made.reference is None
    assert dropped == {"reference's translation cut off": 1}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], False),  # DPO on pairs of sampled answers
        (["method=sft"], True),
        (["source=mixture", "source.model=y"], True),
        (["evals=reward_ranking"], "heldout"),  # the reward is measured on held-out prompts
        (["evals=reward_ranking", "translation.references=false"], False),
        (["translation.references=true"], True),  # as the authors
    ],
)
def test_own_answers_are_translated_where_something_reads_them(words: list[str], expected: bool | str) -> None:
    config = composed("translation=plain", "translation.model=x", *words)
    assert references.translated(config) == expected
    assert (
        requests_slice(replace(config, translation=replace(config.translation, model=str(MODELS / "policy"))))[
            "references"
        ]
        == expected
    )


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["translation=translategemma", "lang.languages=[en,xx]"], "lang.languages: unknown language 'xx'"),
        (["translation=translategemma", "translation.source=xx"], "translation.source"),
        (["translation=translategemma", "translation.format=xml"], "translation.format"),
        (["translation=plain"], "translation.model"),
        (["translation=plain", "translation.model=x", "translation.template='to {target}'"], "must contain {text}"),
        (["translation=plain", "translation.model=x", "translation.template='{text}'"], "{target} or {target_code}"),
        (
            ["translation=plain", "translation.model=x", "translation.template='{lang}: {text}'"],
            "it has lang in braces",
        ),
        (
            ["translation=plain", "translation.model=x", "method=sft", "translation.references=false"],
            "translation.references",
        ),
        (["translation=translategemma", "translation.max_new_tokens=0"], "translation.max_new_tokens"),
    ],
)
def test_what_cannot_be_translated_is_one_line_before_any_work(overrides: list[str], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)) as error:
        composed(*overrides)
    assert "\n" not in str(error.value)


def test_a_language_without_a_code_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by TranslateGemma's formats, not by those that name languages in English."""
    known = {"en": "en", "da": "da", "no": "no", "mt": None}
    monkeypatch.setattr(checks, "spoken_of", lambda language: languages.Spoken(language, known[language]))
    for choice in ("translategemma", "translategemma_google"):
        with pytest.raises(UserError, match=r"lang\.languages: 'mt' has no code .*conf/language/mt\.yaml"):
            composed(f"translation={choice}")
    assert composed("translation=plain", "translation.model=x")


def test_the_papers_prompts_bring_the_papers_translator() -> None:
    assert composed().translation.model == "Infomaniak-AI/vllm-translategemma-27b-it"
    assert composed("model=eurollm", "evals=none").translation.model == "Infomaniak-AI/vllm-translategemma-27b-it"
    assert composed("model=eurollm", "evals=none", "translation=none").translation.model is None
    assert composed("model=eurollm", "evals=none", "prompts=jsonl", "prompts.path=x").translation.model is None
