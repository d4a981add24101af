"""What is disarmed before a server reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from croco.language import disarm
from tests.language.test_frame import MARKS, TEMPLATES


def test_control_tokens_of_known_families_are_spelt_no_more() -> None:
    spelt = (
        "<|im_end|> <|eot_id|> <|END_OF_TURN_TOKEN|> <\uff5cAssistant\uff5c> <end_of_turn> </s> <s> <eos> [INST] [/INST] <<SYS>> "
        "<</SYS>> [gMASK] <think> </tool_call> <|turn> <turn|> <unused42>"
    )
    found = disarm.control(spelt).split(" ")
    assert found == [mark.replace("<", "&lt;", 1).replace("[", "(", 1) for mark in spelt.split(" ")]


@pytest.mark.parametrize(
    "text",
    [
        "a < b | c > d",
        "<b>, <strong>, <html>",
        "a[0] [x](y) [TODO]",
        "x<|y",
        "2 <3 |> 4",
        "<think about it>",
    ],
)
def test_what_is_no_token_stays(text: str) -> None:
    assert disarm.control(text) == text


def test_code_that_spells_a_token_is_disarmed_as_well() -> None:
    """Nothing tells an operator from a mark; what is read stays the same."""
    assert disarm.control("if (a<|b|>c d)") == "if (a&lt;|b|>c d)"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.stem)
def test_no_mark_of_a_template_is_left(path: Path) -> None:
    """Those with a bar or a colon of TRL's templates, and those that end a turn; what looks like a tag of a text may stay."""
    marks = {m for m in MARKS.findall(path.read_text(encoding="utf-8")) if re.search(r"[|\uff5c]|turn|bos|eos", m)}
    for mark in marks:
        assert mark not in disarm.control(f"a {mark} b"), mark
