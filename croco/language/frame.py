"""The frame of a turn, taken from the chat template: what stands before an answer, what ends it, and what may stand between.

A template is a program, so it is asked: rendered with a word of ours in a message's place and cut there.

Text is never control. What a user, a data set or a model wrote may spell a mark (`<|im_end|>`); where it does, the message is
encoded piece by piece inside the template's frame, and only the frame's own marks become tokens. Ids of all else are what the
tokenizer makes of the rendered text (croco/language/marks.py).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from croco.artifacts.records import Message
from croco.errors import UserError
from croco.language import marks
from croco.language.rendering import render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUESTION, ANSWER = "crocoquestion", "crocoanswer"
TO_TRANSLATE = {"type": "text", "source_lang_code": "en", "target_lang_code": "da", "text": QUESTION}
"""The one kind of question that a translator's template (TranslateGemma's) takes."""
PLACE = re.compile(r"crocoplace(\d+)x")
EDGE = " \n"  # put around a place, to see which sides of a message the template strips
OPENED = re.compile(r"<(\w[\w:]*)>")


@dataclass(frozen=True)
class Frame:
    """A template's turn, for one tokenizer."""

    header: str
    """The generation prompt behind the user's text."""
    lead: str
    """What the template writes between the generation prompt and an answer in every turn: a channel's header, a line break."""
    end: tuple[int, ...]
    """Ids that end an answer; the last of them ends generation. Empty where plain text does (`end`)."""
    thought: str
    """The mark behind which the answer of a model that thinks begins; empty where the template knows none."""
    closes_thought: bool
    """The generation prompt holds a thought that it closes: the template is told not to think."""
    opens_thought: bool
    """The generation prompt opens a thought that it does not close, so that no text can be put behind it as an answer."""
    in_parts: bool
    """The template reads contents as lists of parts, and drops strings."""
    prefix: bool
    """The generation prompt begins the finished conversation."""


def of(tokenizer: PreTrainedTokenizerBase) -> Frame:
    """The frame of a tokenizer's chat template.

    Raises:
        UserError: the template cannot render a question with its answer, leaves one out, or nothing ends an answer.
    """
    return _of(tokenizer, str(tokenizer.chat_template))


@functools.lru_cache(maxsize=64)
def _of(tokenizer: PreTrainedTokenizerBase, template: str) -> Frame:
    in_parts, asked, whole = _question(tokenizer)
    before, _, after = whole.partition(ANSWER)
    header, written = asked.split(QUESTION)[-1], before.split(QUESTION)[-1]
    return Frame(
        header=header,
        lead=_lead(tokenizer, header, written, in_parts),
        end=_end(tokenizer, after),
        thought="</think>" if "</think>" in template else "",
        closes_thought="</think>" in header,
        opens_thought=_opens(header) and not _opens(written),
        in_parts=in_parts,
        prefix=before.startswith(asked),
    )


def _question(tokenizer: PreTrainedTokenizerBase) -> tuple[bool, str, str]:
    """(whether contents are lists of parts, a question up to its answer, and with it)."""
    answer = {"role": "assistant", "content": ANSWER}
    failed: UserError | None = None
    for in_parts, content in ((False, QUESTION), (True, QUESTION), (False, [TO_TRANSLATE])):
        user = {"role": "user", "content": content}
        try:
            asked = render(tokenizer, [user], True, in_parts)
            whole = render(tokenizer, [user, answer], False, in_parts)
        except UserError as error:
            failed = failed or error
            continue
        if QUESTION in asked and QUESTION in whole and ANSWER in whole:
            return in_parts, asked, whole
        lost = "question" if QUESTION not in asked or QUESTION not in whole else "answer"
        failed = failed or UserError(
            f"{tokenizer.name_or_path}: its chat template leaves out the {lost}; give another (model.chat_template=FILE.jinja)"
        )
    assert failed is not None
    raise failed


def _opens(text: str) -> bool:
    """Whether a thought is opened in a text and not closed."""
    names = OPENED.findall(text)
    return bool(names) and f"</{names[-1]}>" not in text[text.rindex(f"<{names[-1]}>") :]


def _lead(tokenizer: PreTrainedTokenizerBase, header: str, written: str, in_parts: bool) -> str:
    """What all turns have between header and answer; an empty thought that the last turn alone has is nobody's text."""
    last = written.removeprefix(header) if written.startswith(header) else ""
    turns = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": "crocoagain"},
        {"role": "assistant", "content": "crocolast"},
    ]
    try:
        earlier = render(tokenizer, turns, False, in_parts).partition(ANSWER)[0].split(QUESTION)[-1]
    except UserError:
        return last
    return last if earlier == written else earlier.removeprefix(header) if earlier.startswith(header) else ""


def _end(tokenizer: PreTrainedTokenizerBase, after: str) -> tuple[int, ...]:
    """The added tokens that follow an answer at once; the EOS token where nothing does; none where it is plain text."""
    place = len(after) - len(after.lstrip())
    found = place
    tokens = sorted(marks.added(tokenizer), key=len, reverse=True)
    while token := next((t for t in tokens if after.startswith(t, found)), None):
        found += len(token)
        if token == tokenizer.eos_token:
            break
    if found > place:
        return tuple(tokenizer.encode(after[:found], add_special_tokens=False))
    eos = tokenizer.eos_token_id
    return () if after.strip() or eos is None else (eos,)


def end(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Ids that end an answer.

    Raises:
        UserError: nothing does, or plain text, which is no token: generation would not stop at it.
    """
    if found := of(tokenizer).end:
        return found
    said = _question(tokenizer)[2].partition(ANSWER)[2].strip()
    if not said:
        raise UserError(f"{tokenizer.name_or_path}: neither its chat template nor its EOS token ends an answer")
    raise UserError(
        f"{tokenizer.name_or_path}: its chat template ends an answer with {said!r}, which is no token, so that generation would "
        "not stop there; add it to the tokenizer as one, or give a template that ends with EOS (model.chat_template=FILE.jinja)"
    )


def thinking(tokenizer: PreTrainedTokenizerBase) -> str:
    """Whether the model is asked to think, in words."""
    found = of(tokenizer)
    if not found.thought:
        return "the template knows no thoughts"
    if found.opens_thought:
        return "on: the prompt opens a thought"
    return "off: the prompt closes an empty thought" if found.closes_thought else "left to the model"


def conversation(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    add_generation_prompt: bool,
) -> list[int]:
    """Ids of a conversation, up to where an answer begins or finished."""
    return conversations(tokenizer, [messages], add_generation_prompt)[0]


def conversations(
    tokenizer: PreTrainedTokenizerBase,
    many: Sequence[Sequence[Message]],
    add_generation_prompt: bool,
) -> list[list[int]]:
    """Each as `conversation` gives it; what comes several times is encoded once, all outside Python's lock, on all cores."""
    in_parts = of(tokenizer).in_parts
    found: list[list[int]] = [[] for _ in many]
    rendered: dict[str, list[int]] = {}
    for place, messages in enumerate(many):
        if any(marks.spells(tokenizer, text) for message in messages for text in _texts(message)):
            found[place] = in_pieces(tokenizer, messages, add_generation_prompt)
        else:
            text = render(tokenizer, messages, add_generation_prompt, in_parts)
            rendered.setdefault(text, []).append(place)
    if rendered:  # encoded as `apply_chat_template` does what it has rendered
        made = tokenizer(list(rendered), add_special_tokens=False, return_attention_mask=False)["input_ids"]
        for ids, places in zip(made, rendered.values(), strict=True):
            for place in places:
                found[place] = list(ids)
    return found


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    content: Any = message["content"]
    if isinstance(content, str):
        yield content
    else:
        yield from (part["text"] for part in content if isinstance(part.get("text"), str))


def in_pieces(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    add_generation_prompt: bool,
) -> list[int]:
    """As `conversation`, the contents put into the frame behind the template's back and their marks split.

    Raises:
        UserError: the template leaves a content out.
    """
    texts: list[str] = []

    def placed(text: str) -> str:
        texts.append(text)
        return f"{EDGE}crocoplace{len(texts) - 1}x{EDGE[::-1]}"

    shown: list[dict[str, Any]] = []
    for message in messages:
        content: Any = message["content"]
        if isinstance(content, str):
            shown.append({**message, "content": placed(content)})
        else:
            parts = [{**p, "text": placed(p["text"])} if isinstance(p.get("text"), str) else p for p in content]
            shown.append({**message, "content": parts})
    rendered = render(tokenizer, shown, add_generation_prompt, of(tokenizer).in_parts)
    pieces = PLACE.split(rendered)  # frame, number, frame, number, ..., frame
    lost = set(range(len(texts))) - {int(number) for number in pieces[1::2]}
    if lost:
        role = messages[min(lost)]["role"] if len(texts) == len(messages) else "a"
        raise UserError(f"{tokenizer.name_or_path}: its chat template leaves out {role} message")
    stretches: list[tuple[str, bool]] = []
    for place in range(0, len(pieces), 2):
        frame, text = pieces[place], texts[int(pieces[place + 1])] if place + 1 < len(pieces) else ""
        if place:
            frame = frame.removeprefix(EDGE[::-1])
        if place + 1 < len(pieces):
            text = text if frame.endswith(EDGE) else text.lstrip()
            text = text if pieces[place + 2].startswith(EDGE[::-1]) else text.rstrip()
            frame = frame.removesuffix(EDGE)
        stretches += [(frame, True), (text, False)]
    return marks.encode(tokenizer, stretches)
