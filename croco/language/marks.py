"""Marks: added tokens that are special or that the chat template spells; what a text says is never one of them."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARK = re.compile(r"[<>\[\]|\uff5c]")  # what a mark has and a word has not


def added(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Added tokens by their text; blank ones are no marks."""
    return {token.content: i for i, token in tokenizer.added_tokens_decoder.items() if token.content.strip()}


def spells(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Whether a text has a mark in it, which would become control if it were not split."""
    marks = of(tokenizer)
    return any(first in text for first in {mark[0] for mark in marks}) and any(mark in text for mark in marks)


def of(tokenizer: PreTrainedTokenizerBase) -> frozenset[str]:
    """The marks of a tokenizer with its chat template."""
    return _marks(tokenizer, str(tokenizer.chat_template))


@functools.lru_cache(maxsize=64)
def _marks(tokenizer: PreTrainedTokenizerBase, template: str) -> frozenset[str]:
    return frozenset(
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.content.strip() and (token.special or (token.content in template and MARK.search(token.content)))
    )


def encode(tokenizer: PreTrainedTokenizerBase, stretches: Sequence[tuple[str, bool]]) -> list[int]:
    """Ids of stretches of frame (True) and text (False): marks of the frame are tokens, all between them is encoded as one."""
    marks = of(tokenizer)
    tokens = {token.content: (i, token) for i, token in tokenizer.added_tokens_decoder.items()}
    cut = re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True)))) if marks else re.compile("(?!)")
    ids: list[int] = []
    run, strip, first = "", False, True

    def flush(until: Any = None) -> None:
        nonlocal run, strip, first
        text = run.lstrip() if strip else run
        text = text.rstrip() if until is not None and until.lstrip else text
        if text:
            ids.extend(plain(tokenizer, text, first))
        run, strip, first = "", False, False

    for text, is_frame in stretches:
        done = 0
        for match in cut.finditer(text) if is_frame else ():
            i, token = tokens[match[0]]
            run += text[done : match.start()]
            flush(token)
            ids.append(i)
            strip, done = token.rstrip, match.end()
        run += text[done:]
    flush()
    return ids


def plain(tokenizer: PreTrainedTokenizerBase, text: str, first: bool = False) -> list[int]:
    """Ids of a text in which no mark is a token; `first` where it begins the whole."""
    return plains(tokenizer, [text], first)[0]


def plains(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], first: bool = False) -> list[list[int]]:
    """Each as `plain` gives it; a batch is encoded outside Python's lock, on all cores."""
    made = _plain(tokenizer, str(tokenizer.chat_template), first)
    if made is None:
        return [list(tokenizer.encode(t, add_special_tokens=False, split_special_tokens=True)) for t in texts]
    return [encoding.ids for encoding in made.encode_batch_fast(list(texts), add_special_tokens=False)]


@functools.lru_cache(maxsize=64)
def _plain(tokenizer: PreTrainedTokenizerBase, template: str, first: bool) -> Any:
    """The tokenizer without its marks; None where it is not the fast kind."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    from tokenizers import Tokenizer

    marks = _marks(tokenizer, template)
    settings = json.loads(backend.to_str())
    settings |= {"truncation": None, "padding": None}
    for token in settings["added_tokens"]:
        token["special"] = token["content"] in marks
    made = Tokenizer.from_str(json.dumps(settings if first else _within(settings)))
    made.encode_special_tokens = True
    return made


def _within(settings: Any) -> Any:
    """A tokenizer's settings for what does not begin the whole: a blank that goes before the first word only goes nowhere."""
    if isinstance(settings, dict):
        return {
            key: "never"
            if key == "prepend_scheme" and value == "first"
            else value
            if key == "model"
            else _within(value)
            for key, value in settings.items()
        }
    return [_within(value) for value in settings] if isinstance(settings, list) else settings
