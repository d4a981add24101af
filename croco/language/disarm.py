"""What others wrote, shown to a judge so that nothing in it reads as a tag or as the judge's own mark, and sent to a server so
that nothing in it becomes a control token there.

Letters between which something stands that is not seen (spaces and joiners of no width, soft hyphens, direction marks) count as
written together, as a model may read them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Sequence

# White space, control characters, and Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt, 17.0).
UNSEEN = (
    r"[\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]*"
)
MARK = re.compile(rf"\[(?={UNSEEN}\\?{UNSEEN}\[{UNSEEN}[12TM]{UNSEEN}\\?{UNSEEN}\])", re.IGNORECASE)


def tags(text: str, names: Sequence[str]) -> str:
    """The text with `<` written as `&lt;` where it would begin or end one of the tags."""
    return _tag(tuple(names)).sub("&lt;", text)


@functools.cache
def _tag(names: tuple[str, ...]) -> re.Pattern[str]:
    spelt = "|".join(UNSEEN.join(map(re.escape, name)) for name in names)
    return re.compile(rf"<(?={UNSEEN}/?{UNSEEN}(?:{spelt})(?!\w))", re.IGNORECASE)


def marks(text: str) -> str:
    """The text with `(` in the place of the first bracket of `[[1]]`, `[[2]]`, `[[T]]` and `[[M]]`."""
    return MARK.sub("(", text)


FAMILIES = (
    r"<\|[^|<>\s]{1,64}\|?>",  # ChatML, Llama 3, Cohere, GLM, Phi, gpt-oss, Gemma 4
    r"<[A-Za-z_]{1,32}\|>",  # Gemma 4's ends
    r"<\uff5c[^\uff5c<>]{1,64}\uff5c>",  # DeepSeek
    r"<(?:start|end)_of_[a-z]{1,16}>",  # Gemma
    r"</?s>|<(?:bos|eos|pad|unk|mask|sep|cls|sop|eop|unused\d{1,4}|extra_id_\d{1,4})>",  # SentencePiece and its kin
    r"\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|ARGS|CALL_ID|THINK|IMG)\]",  # Mistral
    r"<</?SYS>>",  # Llama 2
    r"\[[gs]?MASK\]|\[(?:CLS|SEP|UNK|PAD|BOS|EOS)\]",  # GLM, BERT
    r"</?(?:think|tool_call|tool_response)>",  # Qwen, Hermes
)
"""How the known families of models spell their control tokens; none of them stands in an alphabet."""
INSTEAD = {"<": "&lt;", "[": "("}
"""As above, of what a mark begins with; behind any other sign goes a blank."""


def control(text: str, more: Collection[str] = ()) -> str:
    """The text in which nothing is spelt as a control token of a known family, nor as one of `more`.

    A server makes its own ids of the text that it is sent: with most, `<|im_end|>` in an answer ends the user's turn.
    """
    return _control(frozenset(more)).sub(lambda mark: INSTEAD.get(mark[0][0], f"{mark[0][0]} ") + mark[0][1:], text)


@functools.cache
def _control(more: frozenset[str]) -> re.Pattern[str]:
    own = (re.escape(mark) for mark in sorted(more, key=len, reverse=True) if len(mark) > 1)
    return re.compile("|".join([*own, *FAMILIES]))
