"""Which letters a text is written in, told by their names in Unicode."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

NAMES = {
    "Arab": "ARABIC",
    "Armn": "ARMENIAN",
    "Beng": "BENGALI",
    "Cyrl": "CYRILLIC",
    "Deva": "DEVANAGARI",
    "Ethi": "ETHIOPIC",
    "Geor": "GEORGIAN",
    "Grek": "GREEK",
    "Gujr": "GUJARATI",
    "Guru": "GURMUKHI",
    "Hang": "HANGUL",
    "Hans": "CJK",
    "Hant": "CJK",
    "Hebr": "HEBREW",
    "Khmr": "KHMER",
    "Knda": "KANNADA",
    "Laoo": "LAO",
    "Latn": "LATIN",
    "Mlym": "MALAYALAM",
    "Mong": "MONGOLIAN",
    "Mymr": "MYANMAR",
    "Orya": "ORIYA",
    "Sinh": "SINHALA",
    "Taml": "TAMIL",
    "Telu": "TELUGU",
    "Thai": "THAI",
    "Tibt": "TIBETAN",
}
"""ISO 15924 -> the first word of its letters' names."""
LEAST_LETTERS = 20
MOST = 0.5  # of the letters, from which a text is written in a script
LOOKED_AT = 500


def written_in(text: str, script: str | None) -> bool | None:
    """Whether a text is written in a script; None without one, or where there are too few letters to tell."""
    if script is None:
        return None
    letters = Counter(unicodedata.name(sign, "").split(" ")[0] for sign in text[: 2 * LOOKED_AT] if sign.isalpha())
    total = letters.total()
    return None if total < LEAST_LETTERS else letters[NAMES[script]] > MOST * total


def fits(script: str | None, named: Sequence[str]) -> bool:
    """Whether a language's script is the one that a tag names; any, where either says none."""
    return script is None or not named or script in named
