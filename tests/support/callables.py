"""Functions as users have them, each a kind."""

from __future__ import annotations

import asyncio
import functools
import time
from typing import Any

import numpy as np
import torch

FACTOR = 2.0


def plain(messages: Any, answer: str, language: str, meta: Any) -> float:
    return FACTOR * len(answer)


def times(factor: float) -> Any:
    def reward(messages: Any, answer: str, language: str, meta: Any) -> float:
        return factor * len(answer)

    return reward


twice, thrice = times(2), times(3)


def announced(function: Any) -> Any:
    @functools.wraps(function)
    def inner(*arguments: Any) -> Any:
        return function(*arguments)

    return inner


@announced
def decorated(messages: Any, answer: str, language: str, meta: Any) -> float:
    return float(len(answer))


class Rule:
    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, messages: Any, answer: str, language: str, meta: Any) -> float:
        return self.weight * len(answer)

    def method(self, messages: Any, answer: str, language: str, meta: Any) -> float:
        return self(messages, answer, language, meta)


rule, heavier = Rule(1.0), Rule(2.0)
method, of_heavier = rule.method, heavier.method
bound = functools.partial(lambda weight, *a: weight * len(a[1]), 0.5)
bound_to_more = functools.partial(lambda weight, *a: weight * len(a[1]), 0.75)
nameless = lambda *a: float(len(a[1]))  # noqa: E731
keyed = times({"a": np.ones(3), "b": [1, (2, {3})]}["b"][0])
of_array = times(np.arange(3))
of_other_array = times(np.arange(1, 4))
in_c = max
cached = functools.cache(times(4.0))
unknown = times(object())
named = times(object())
named.__version__ = "1"


def too_few(answer: str) -> float:
    return 1.0


def raises(messages: Any, answer: str, language: str, meta: Any) -> float:
    raise LookupError("two\nlines")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot say")


def mute(messages: Any, answer: str, language: str, meta: Any) -> float:
    raise Mute


def cancelled(messages: Any, answer: str, language: str, meta: Any) -> float:
    raise asyncio.CancelledError("no event loop's business")


def hangs(messages: Any, answer: str, language: str, meta: Any) -> float:
    time.sleep(60)
    return 1.0


def changes(messages: Any, answer: str, language: str, meta: Any) -> float:
    messages[0]["content"] = "changed"
    messages.clear()
    meta["changed"] = True
    return 1.0


GIVEN: Any = None


def gives(*_: Any) -> Any:
    return GIVEN


GIFTS = {
    "numpy": (np.float32(0.5), 0.5),
    "torch": (torch.tensor([0.5]), 0.5),
    "whole": (3, 3.0),
    "truth": (True, 1.0),
    "None": (None, None),
    "NaN": (float("nan"), None),
    "numpy's infinity": (np.inf, None),
}
REFUSED = {"text": "0.5", "list": [0.5], "vector": np.ones(2), "object": object(), "class": Rule}
