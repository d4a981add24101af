"""An answer inside the frame of its turn: from text to ids, and back."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from croco.errors import UserError
from croco.language import marks
from croco.language.frame import Frame, of
from croco.language.frame import end as end_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def answer(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Ids of an answer's text behind a prompt: the lead, the text with its marks split, and the end.

    Raises:
        UserError: the prompt opens a thought.
    """
    return answers(tokenizer, [text])[0]


def answers(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Each as `answer` gives it."""
    frame = of(tokenizer)
    if frame.opens_thought:
        raise UserError(
            f"{tokenizer.name_or_path}: its chat template opens a thought for every answer, so that a text alone is none; "
            "give one that closes it (model.chat_template=FILE.jinja)"
        )
    lead = list(tokenizer.encode(frame.lead, add_special_tokens=False)) if frame.lead else []
    end = end_of(tokenizer)
    return [[*lead, *ids, *end] for ids in _behind(tokenizer, frame.header + frame.lead, texts)]


def _behind(tokenizer: PreTrainedTokenizerBase, before: str, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text behind others: what is added to them where they stay, else its own."""
    written = marks.of(tokenizer)
    tail = before[max((before.rfind(mark) + len(mark) for mark in written if mark in before), default=0) :]
    if not tail:
        return marks.plains(tokenizer, texts)
    head = marks.plain(tokenizer, tail)
    return [
        both[len(head) :] if both[: len(head)] == head else marks.plain(tokenizer, text)
        for text, both in zip(texts, marks.plains(tokenizer, [tail + text for text in texts]), strict=True)
    ]


def pattern(tokenizer: PreTrainedTokenizerBase, form: str) -> str:
    """A regular expression of all that is written where the answer's text has to match `form`: behind the lead, or a thought."""
    frame = of(tokenizer)
    if frame.opens_thought or (frame.thought and not frame.closes_thought):
        thought = rf"[\s\S]*{re.escape(frame.thought)}\n{{0,2}}"
        opened = re.escape(frame.thought.replace("/", ""))
        return f"{thought}{form}" if frame.opens_thought else f"(\n?{opened}{thought})?{form}"
    lead = re.escape(frame.lead)
    mark = next((m for m in marks.of(tokenizer) if frame.lead.startswith(m)), None)
    if mark is not None:  # of a channel, before which there may be others
        return f"({re.escape(mark)}[\\s\\S]*)?{lead}{form}"
    return f"({lead})?{form}" if lead else form


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of an answer, blanks and all: without lead, thought and end, by where they stand.

    A thought cut short is no answer.
    """
    frame = of(tokenizer)
    rest = _answered(tokenizer, frame, _without_end(tokenizer, frame, list(ids)))
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    text = _text(tokenizer, frame, [i for i in rest if i not in special])
    if not frame.thought or frame.thought in marks.added(tokenizer):
        return text
    opened = frame.opens_thought or text.lstrip().startswith(frame.thought.replace("/", ""))  # in words, without tokens
    return text.rpartition(frame.thought)[2] if frame.thought in text else "" if opened else text


def _without_end(tokenizer: PreTrainedTokenizerBase, frame: Frame, ids: list[int]) -> list[int]:
    end = list(end_of(tokenizer))
    for length in range(len(end), 0, -1):
        if ids[-length:] == end[:length]:
            return ids[:-length]
    return ids[:-1] if ids and ids[-1] in (end[-1], tokenizer.eos_token_id) else ids


def _answered(tokenizer: PreTrainedTokenizerBase, frame: Frame, ids: list[int]) -> list[int]:
    """What stands behind the lead or the thought."""
    lead = list(tokenizer.encode(frame.lead, add_special_tokens=False)) if frame.lead else []
    added = marks.added(tokenizer)
    if set(lead) & set(added.values()):
        if (begin := _last(ids, lead)) is not None:
            return ids[begin:]
    elif lead and ids[: len(lead)] == lead:
        ids = ids[len(lead) :]
    close = added.get(frame.thought)
    if frame.thought and close is not None:
        if close in ids:
            return ids[len(ids) - ids[::-1].index(close) :]
        if frame.opens_thought or added.get(frame.thought.replace("/", "")) in ids:
            return []
    if lead and lead[0] in added.values() and lead[0] in ids:
        return []  # a channel was opened, and the answer's never was
    return ids


def _last(ids: list[int], part: list[int]) -> int | None:
    """Where the last occurrence of a part ends."""
    ends = (end for end in range(len(ids), len(part) - 1, -1) if ids[end - len(part) : end] == part)
    return next(ends, None)


def _text(tokenizer: PreTrainedTokenizerBase, frame: Frame, ids: list[int]) -> str:
    """Decoded behind a mark, as it stands in a conversation; without the blank that the tokenizer puts before every text."""
    mark = end_of(tokenizer)[-1]
    said = {
        length: str(tokenizer.decode([mark, *some], skip_special_tokens=False, clean_up_tokenization_spaces=False))
        for length, some in ((0, []), (1, ids))
    }
    text = said[1].removeprefix(said[0])
    return text.removeprefix(" ") if _puts_a_blank(tokenizer, str(tokenizer.chat_template)) else text


@functools.lru_cache(maxsize=64)
def _puts_a_blank(tokenizer: PreTrainedTokenizerBase, _template: str) -> bool:
    mark, word = end_of(tokenizer)[-1], marks.plain(tokenizer, "b")
    said = str(tokenizer.decode([mark, *word], skip_special_tokens=False, clean_up_tokenization_spaces=False))
    return said.endswith(" b") and not str(tokenizer.decode([mark], skip_special_tokens=False)).endswith(" ")
