"""The frame of a turn, taken from the chat template: what stands before an answer, what ends it, and what may stand between.

A template is a program, so it is asked: rendered with a word of ours in a message's place and cut there.

Text is never control. What a user, a data set or a model wrote may spell a mark (`<|im_end|>`); where it does, the message is
encoded piece by piece inside the template's frame, and only the frame's own marks become tokens. Ids of all else are what the
tokenizer makes of the rendered text. A mark is an added token that is special or that the template spells.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from croco.artifacts.records import Message
from croco.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUESTION, ANSWER = "crocoquestion", "crocoanswer"
PLACE = re.compile(r"crocoplace(\d+)x")
EDGE = " \n"  # put around a place, to see which sides of a message the template strips
MARK = re.compile(r"[<>\[\]|\uff5c]")  # what a mark has and a word has not
OPENED = re.compile(r"<(\w[\w:]*)>")


@dataclass(frozen=True)
class Frame:
    """A template's turn, for one tokenizer."""

    header: str
    """The generation prompt behind the user's text."""
    lead: str
    """What the template writes between the generation prompt and an answer in every turn: a channel's header, a line break."""
    end: tuple[int, ...]
    """Ids that end an answer; the last of them ends generation."""
    thought: str
    """The mark behind which the answer of a model that thinks begins; empty where the template knows none."""
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
        opens_thought=_opens(header) and not _opens(written),
        in_parts=in_parts,
        prefix=before.startswith(asked),
    )


def _question(tokenizer: PreTrainedTokenizerBase) -> tuple[bool, str, str]:
    """(whether contents are lists of parts, a question up to its answer, and with it)."""
    user, answer = {"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}
    failed: UserError | None = None
    for in_parts in (False, True):
        try:
            asked = _render(tokenizer, [user], True, in_parts)
            whole = _render(tokenizer, [user, answer], False, in_parts)
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
        earlier = _render(tokenizer, turns, False, in_parts).partition(ANSWER)[0].split(QUESTION)[-1]
    except UserError:
        return last
    return last if earlier == written else earlier.removeprefix(header) if earlier.startswith(header) else ""


def _end(tokenizer: PreTrainedTokenizerBase, after: str) -> tuple[int, ...]:
    """The added tokens that follow an answer at once; the EOS token where none does."""
    place = len(after) - len(after.lstrip())
    found = place
    tokens = sorted(_added(tokenizer), key=len, reverse=True)
    while token := next((t for t in tokens if after.startswith(t, found)), None):
        found += len(token)
        if token == tokenizer.eos_token:
            break
    if found > place:
        return tuple(tokenizer.encode(after[:found], add_special_tokens=False))
    if tokenizer.eos_token_id is None:
        raise UserError(f"{tokenizer.name_or_path}: neither its chat template nor its EOS token ends an answer")
    return (tokenizer.eos_token_id,)


def _added(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Added tokens by their text; blank ones are no marks."""
    return {token.content: i for i, token in tokenizer.added_tokens_decoder.items() if token.content.strip()}


def _render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, Any]],
    add_generation_prompt: bool,
    in_parts: bool,
    options: Mapping[str, Any] | None = None,
    **asked: Any,
) -> Any:
    """What the template makes of messages.

    Raises:
        UserError: a template is a program, and may raise anything; one line names it.
    """
    if in_parts:
        messages = [
            {**m, "content": [{"type": "text", "text": m["content"]}]} if isinstance(m["content"], str) else m
            for m in messages
        ]
    try:
        template: Any = tokenizer.apply_chat_template
        return template(
            list(messages),
            add_generation_prompt=add_generation_prompt,
            **{"tokenize": False, "return_dict": False, **asked, **(options or {})},
        )
    except Exception as error:
        roles = ", ".join(str(m.get("role")) for m in messages)
        line = getattr(error, "lineno", None)
        place = "" if line is None else f", line {line}"
        raise UserError(
            f"{tokenizer.name_or_path}: its chat template{place} cannot render a conversation of {roles} ({_first_line(error)})"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def conversation(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    add_generation_prompt: bool,
    options: Mapping[str, Any] | None = None,
) -> list[int]:
    """Ids of a conversation, up to where an answer begins or finished."""
    return conversations(tokenizer, [messages], add_generation_prompt, options)[0]


def conversations(
    tokenizer: PreTrainedTokenizerBase,
    many: Sequence[Sequence[Message]],
    add_generation_prompt: bool,
    options: Mapping[str, Any] | None = None,
) -> list[list[int]]:
    """Each as `conversation` gives it; what comes several times is encoded once, all outside Python's lock, on all cores."""
    in_parts = of(tokenizer).in_parts
    found: list[list[int]] = [[] for _ in many]
    rendered: dict[str, list[int]] = {}
    for place, messages in enumerate(many):
        if any(spells(tokenizer, text) for message in messages for text in _texts(message)):
            found[place] = in_pieces(tokenizer, messages, add_generation_prompt, options)
        else:
            text = _render(tokenizer, messages, add_generation_prompt, in_parts, options)
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


def spells(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Whether a text has a mark in it, which would become control if it were not split."""
    marks = _marks(tokenizer, str(tokenizer.chat_template))
    return any(first in text for first in {mark[0] for mark in marks}) and any(mark in text for mark in marks)


@functools.lru_cache(maxsize=64)
def _marks(tokenizer: PreTrainedTokenizerBase, template: str) -> frozenset[str]:
    return frozenset(
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.content.strip() and (token.special or (token.content in template and MARK.search(token.content)))
    )


def in_pieces(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    add_generation_prompt: bool,
    options: Mapping[str, Any] | None = None,
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
    rendered = _render(tokenizer, shown, add_generation_prompt, of(tokenizer).in_parts, options)
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
    return _encode(tokenizer, stretches)


def _encode(tokenizer: PreTrainedTokenizerBase, stretches: Sequence[tuple[str, bool]]) -> list[int]:
    """Ids of stretches of frame (True) and text (False): marks of the frame are tokens, all between them is encoded as one."""
    marks = _marks(tokenizer, str(tokenizer.chat_template))
    added = {token.content: (i, token) for i, token in tokenizer.added_tokens_decoder.items()}
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
            i, token = added[match[0]]
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
    return [[*lead, *ids, *frame.end] for ids in _behind(tokenizer, frame.header + frame.lead, texts)]


def _behind(tokenizer: PreTrainedTokenizerBase, before: str, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text behind others: what is added to them where they stay, else its own."""
    marks = _marks(tokenizer, str(tokenizer.chat_template))
    tail = before[max((before.rfind(mark) + len(mark) for mark in marks if mark in before), default=0) :]
    if not tail:
        return plains(tokenizer, texts)
    head = plain(tokenizer, tail)
    return [
        both[len(head) :] if both[: len(head)] == head else plain(tokenizer, text)
        for text, both in zip(texts, plains(tokenizer, [tail + text for text in texts]), strict=True)
    ]


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of an answer, blanks and all: without lead, thought and end, by where they stand.

    A thought cut short is no answer.
    """
    frame = of(tokenizer)
    rest = _answered(tokenizer, frame, _without_end(tokenizer, frame, list(ids)))
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    text = _text(tokenizer, frame, [i for i in rest if i not in special])
    if not frame.thought or frame.thought in _added(tokenizer):
        return text
    opened = frame.opens_thought or text.lstrip().startswith(frame.thought.replace("/", ""))  # in words, without tokens
    return text.rpartition(frame.thought)[2] if frame.thought in text else "" if opened else text


def _without_end(tokenizer: PreTrainedTokenizerBase, frame: Frame, ids: list[int]) -> list[int]:
    end = list(frame.end)
    for length in range(len(end), 0, -1):
        if ids[-length:] == end[:length]:
            return ids[:-length]
    return ids[:-1] if ids and ids[-1] in (end[-1], tokenizer.eos_token_id) else ids


def _answered(tokenizer: PreTrainedTokenizerBase, frame: Frame, ids: list[int]) -> list[int]:
    """What stands behind the lead or the thought."""
    lead = list(tokenizer.encode(frame.lead, add_special_tokens=False)) if frame.lead else []
    added = _added(tokenizer)
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
    mark = frame.end[-1]
    said = {
        length: str(tokenizer.decode([mark, *some], skip_special_tokens=False, clean_up_tokenization_spaces=False))
        for length, some in ((0, []), (1, ids))
    }
    text = said[1].removeprefix(said[0])
    return text.removeprefix(" ") if _puts_a_blank(tokenizer, str(tokenizer.chat_template)) else text


@functools.lru_cache(maxsize=64)
def _puts_a_blank(tokenizer: PreTrainedTokenizerBase, _template: str) -> bool:
    frame = of(tokenizer)
    mark, word = frame.end[-1], plain(tokenizer, "b")
    said = str(tokenizer.decode([mark, *word], skip_special_tokens=False, clean_up_tokenization_spaces=False))
    return said.endswith(" b") and not str(tokenizer.decode([mark], skip_special_tokens=False)).endswith(" ")
