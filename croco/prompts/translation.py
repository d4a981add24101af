"""Prompts of one language from those of another, by a language model that translates.

Every turn of a prompt, and its reference where that is asked for, is translated by itself and greedily, as the authors' script
does. A translation is found by the id of its prompt and the turn's number, never by its place, so a prompt that is dropped in
one language shifts nothing in it nor in any other.

Formats, as the models' cards and vLLM's recipe for TranslateGemma describe them:
`structured`: one user turn whose content is one part, {type, source_lang_code, target_lang_code, text}.
`text`: one user turn of text. With <<<source>>>en<<<target>>>da<<<text>>>... it is what the paper's repackaged checkpoint reads.

Departures from the authors' script:
1. What is empty, cut off, or (`check_language`) in another language is dropped and counted; they keep it.
2. A text is dropped when it is longer than `max_input_tokens` in the translator's tokens, by default the 2,048 that
   TranslateGemma's card gives as its input; their limit is 8,192 per turn, whatever the model reads.
3. Norwegian, Swedish and Finnish have codes of their own; there, a language that is not in a table counts as English.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from croco.artifacts.records import Generation, Prompt
from croco.config.languages import spoken_of
from croco.config.translation import PLACE, TranslationConfig
from croco.language import fidelity, text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPLIT = "translate"
REFERENCE = "reference"  # what the number of a turn is for the data set's own answer


def requests(translation: TranslationConfig, target: str, prompt: Prompt) -> list[Prompt]:
    """What the translator is asked for one prompt: a row per turn that has text, the reference's last."""
    turns = {str(number): m["content"] for number, m in enumerate(prompt.messages)}
    if translation.references and prompt.reference is not None:
        turns[REFERENCE] = prompt.reference
    codes = {"source": spoken_of(prompt.language).translategemma, "target": spoken_of(target).translategemma}
    meta = json.dumps(codes) if translation.format == "structured" else "{}"
    return [
        Prompt(
            prompt_id=_part(prompt, turn),
            language=target,
            messages=[{"role": "user", "content": _instruction(translation, prompt.language, target, content)}],
            split=SPLIT,
            meta=meta,
        )
        for turn, content in turns.items()
        if content.strip()
    ]


def _part(prompt: Prompt, turn: str) -> str:
    return f"{prompt.prompt_id}#{turn}"


def _instruction(translation: TranslationConfig, source: str, target: str, content: str) -> str:
    """What the user's turn says; of the structured format, the text that its part holds."""
    if translation.format == "structured":
        return content
    filled = {"text": content}
    for name, language in (("source", source), ("target", target)):
        spoken = spoken_of(language)
        filled |= {name: spoken.english_name, f"{name}_code": str(spoken.translategemma)}
    return PLACE.sub(lambda place: filled[place[1]], str(translation.template))


def token_ids(tokenizer: PreTrainedTokenizerBase, request: Prompt) -> list[int]:
    """A request as the translator reads it."""
    codes = json.loads(request.meta)
    if not codes:
        return text.prompt_ids(tokenizer, request.messages)
    (message,) = request.messages
    part = {
        "type": "text",
        "source_lang_code": codes["source"],
        "target_lang_code": codes["target"],
        "text": message["content"],
    }
    structured: list[Any] = [{"role": "user", "content": [part]}]
    return text.prompt_ids(tokenizer, structured)


def within(
    translation: TranslationConfig,
    target: str,
    prompts: Sequence[Prompt],
    tokenizer: Any,
    most: int,
    dropped: Counter[str],
) -> Iterator[tuple[Prompt, list[Prompt]]]:
    """The prompts whose turns all have at most `most` tokens, with their requests; a reference that is longer is left out."""
    for prompt in prompts:
        asked = requests(translation, target, prompt)
        long = {r.prompt_id for r in asked if len(token_ids(tokenizer, r)) > most}
        if long - {_part(prompt, REFERENCE)}:
            dropped["too long to translate"] += 1
            continue
        dropped["reference too long to translate"] += len(long)
        yield prompt, [r for r in asked if r.prompt_id not in long]


def assembled(
    translation: TranslationConfig,
    target: str,
    prompts: Sequence[Prompt],
    translated: Mapping[str, Generation],
    dropped: Counter[str],
) -> Iterator[Prompt]:
    """The prompts in the target language, from the translations by request id; `dropped` counts what is not usable."""
    for prompt in prompts:
        turns = [translated.get(_part(prompt, str(number))) for number in range(len(prompt.messages))]
        faults = [fault for turn in turns if turn is not None and (fault := _fault(translation, target, turn))]
        if faults:
            dropped[f"translation {faults[0]}"] += 1
            continue
        messages = [
            m if turn is None else {**m, "content": turn.text} for m, turn in zip(prompt.messages, turns, strict=True)
        ]
        reference = _reference(translation, target, translated.get(_part(prompt, REFERENCE)), dropped)
        yield replace(prompt, language=target, messages=messages, reference=reference)


def _reference(
    translation: TranslationConfig, target: str, translated: Generation | None, dropped: Counter[str]
) -> str | None:
    if translated is None:
        return None
    fault = _fault(translation, target, translated)
    if fault is not None:
        dropped[f"reference's translation {fault}"] += 1
        return None
    return translated.text


def _fault(translation: TranslationConfig, target: str, translated: Generation) -> str | None:
    """Why a translation cannot be used, in the order in which one would look."""
    if not translated.text.strip():
        return "empty"
    if translated.finish_reason != "stop":
        return "cut off"
    if translation.check_language and fidelity.matches(target, translated.text) is False:
        return "in another language"
    return None
