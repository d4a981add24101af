"""How much of a text repeats itself."""

from __future__ import annotations

WORDS_PER_GRAM = 4
CHARACTERS_PER_GRAM = 16
LONGEST_WORDS = 20  # mean characters per word above which a text is taken to have no word boundaries


def repeated_share(text: str) -> float:
    """Share of a text's word 4-grams that occurred before in it, in [0, 1); 0 for a text of fewer than 8 words.

    Where words are not told apart by spaces, 16-grams of characters stand in.
    """
    words = text.split()
    units: list[str] | str = words
    size = WORDS_PER_GRAM
    if not words or len(text) > LONGEST_WORDS * len(words):
        units, size = text.strip(), CHARACTERS_PER_GRAM
    count = len(units) - size + 1
    if len(units) < 2 * size:
        return 0.0
    return 1 - len({tuple(units[i : i + size]) for i in range(count)}) / count
