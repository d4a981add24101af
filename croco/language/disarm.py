"""What others wrote, shown to a judge so that nothing in it reads as a tag or as the judge's own mark.

Letters between which something stands that is not seen (spaces and joiners of no width, soft hyphens, direction marks) count as
written together, as a model may read them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

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
