"""Text by others where people read it: signs that act on a terminal or hide themselves are written out.

Escapes move cursors and retitle windows, direction marks turn a line around, zero-width signs make two names look like one, and
half a surrogate pair ends the program that prints it. What joins letters (ZWJ, ZWNJ) is part of words, and stays.
"""

from __future__ import annotations

import unicodedata

JOINERS = "\u200c\u200d"
KEPT = {"\t": "\t"}
NAMED = {"\n": "\\n", "\r": "\\r", "\0": "\\0"}
ACTS = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(text: str, lines: bool = False) -> str:
    """The text with `\\x1b`, `\\u202e` and the like for what cannot be seen; `lines` keeps line feeds."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_sign(sign, lines) for sign in text)


def _sign(sign: str, lines: bool) -> str:
    if sign.isprintable() or sign in JOINERS or sign in KEPT or (lines and sign == "\n"):
        return sign
    if unicodedata.category(sign) not in ACTS:
        return sign
    number = ord(sign)
    return NAMED.get(sign) or (
        f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
    )


def whole(text: str) -> str:
    """The text with halves of surrogate pairs joined, or replaced by U+FFFD where the other half is missing."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
