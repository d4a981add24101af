"""Options that several commands take, as argparse reads them."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """A number of resamples."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of resamples, e.g. 10000")
    return int(text)


def share(text: str) -> float:
    """A confidence."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"'{text}' does not lie in (0, 1), e.g. 0.95")
    return number
