"""Rewards for tests of sweeps: good ones and bad ones."""

from __future__ import annotations

import sys
from typing import Any


def length(messages: Any, answer: str, language: str, meta: Any) -> float:
    return float(len(answer))


def broken(messages: Any, answer: str, language: str, meta: Any) -> float:
    raise ZeroDivisionError("this reward is broken")


def leaves(messages: Any, answer: str, language: str, meta: Any) -> float:
    sys.exit("this reward ends the process")
