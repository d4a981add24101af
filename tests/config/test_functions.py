"""A user's functions: every kind is known by what it computes, and refused in one line where it cannot be called."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from croco.artifacts.records import Generation, Prompt
from croco.config import functions, modules
from croco.config.scorers import REWARD_ARGUMENTS
from croco.engines.base import Answered
from croco.errors import UserError
from croco.evals import quality
from croco.evals.arena.judges import FunctionJudge, Game
from croco.rewards.function import FunctionScorer
from tests.support import callables

HERE = "tests.support.callables"
KINDS = [
    *("plain", "twice", "thrice", "decorated", "rule", "heavier", "method", "of_heavier", "bound", "bound_to_more"),
    *("nameless", "keyed", "of_array", "of_other_array", "in_c", "cached", "named", "Rule"),
]


def who(name: str) -> dict[str, Any]:
    found = functions.identity("reward.function", f"{HERE}:{name}")
    assert found == functions.identity("reward.function", f"{HERE}:{name}"), "the same in every call"
    return found["is"]


def test_every_kind_is_told_from_every_other() -> None:
    """`thrice` and `keyed` differ by the factor they hold, `rule` and `heavier` by their weight, arrays by their content."""
    known = [who(name) for name in KINDS]
    assert all(known[i] != known[j] for i in range(len(known)) for j in range(i))


def test_what_cannot_be_told_is_refused_until_it_says_its_version() -> None:
    with pytest.raises(UserError, match=r"reward\.function: .*:unknown' cannot be told .*f.__version__") as error:
        who("unknown")
    assert "\n" not in str(error.value)
    assert who("named") == {"version": "1"}


def test_an_edited_helper_makes_another_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the helper beside the function changes; also where the function is decorated by another module."""
    import importlib
    import linecache
    import sys

    monkeypatch.syspath_prepend(tmp_path)
    text = "from tests.support.callables import announced\ndef helper(a): return {}\n@announced\ndef f(*a): return helper(a)\n"
    known = []
    for number in (1, 2):
        (tmp_path / "edited_rule.py").write_text(text.format(number))
        sys.modules.pop("edited_rule", None)
        importlib.invalidate_caches()
        linecache.clearcache()
        known.append(functions.identity("reward.function", "edited_rule:f"))
    assert known[0] != known[1]


@pytest.mark.parametrize(
    ("dotted", "says"),
    [
        (f"{HERE}:too_few", r"cannot be called with \(messages, answer, language, meta\)"),
        (f"{HERE}:FACTOR", "is not callable"),
        (f"{HERE}:absent", "cannot find"),
        (f"{HERE}:Rule.absent", "cannot find"),
        ("no_such_module:f", "cannot find"),
        ("no_dot", "cannot find"),
        ("", "cannot find"),
        (":", "cannot find"),
        ("bad_module:f", "importing 'bad_module' fails .ZeroDivisionError"),
        ("bad_syntax:f", "importing 'bad_syntax' fails .SyntaxError"),
        ("leaves:f", "importing 'leaves' fails .SystemExit"),
    ],
)
def test_what_cannot_be_called_is_refused_in_one_line(
    dotted: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in (("bad_module", "1 / 0"), ("bad_syntax", "def f(:"), ("leaves", "raise SystemExit(3)")):
        (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(UserError, match=says) as error:
        functions.usable("reward.function", dotted, REWARD_ARGUMENTS)
    assert str(error.value).startswith("reward.function: ")
    assert "\n" not in str(error.value)


def score(name: str, seconds: float | None = None) -> float | None:
    answered = Answered([{"role": "user", "content": "q"}], "abcd", "da", "{}", "p7")
    found = FunctionScorer(getattr(callables, name), name, seconds).score([answered])[0]
    assert answered.messages == [{"role": "user", "content": "q"}], (
        "a function may change what it gets, and nothing else"
    )
    return found


@pytest.mark.parametrize(
    ("name", "reward"), [("plain", 8.0), ("thrice", 12.0), ("of_heavier", 8.0), ("bound", 2.0), ("changes", 1.0)]
)
def test_kinds_score(name: str, reward: float) -> None:
    assert score(name) == reward


@pytest.mark.parametrize("kind", callables.GIFTS)
def test_numbers_of_all_kinds(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given, expected = callables.GIFTS[kind]
    monkeypatch.setattr(callables, "GIVEN", given)
    assert score("gives") == expected


@pytest.mark.parametrize("kind", callables.REFUSED)
def test_what_is_no_number_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callables, "GIVEN", callables.REFUSED[kind])
    with pytest.raises(UserError, match=r"reward\.function: gives, prompt p7 \(da\): TypeError: gave back ") as error:
        score("gives")
    assert "\n" not in str(error.value)


def test_what_raises_or_hangs_names_function_prompt_and_language() -> None:
    with pytest.raises(UserError, match=r"raises, prompt p7 \(da\): LookupError: two lines; what was scored is kept"):
        score("raises")
    with pytest.raises(UserError, match=r"mute, prompt p7 \(da\): Mute; what was scored is kept"):
        score("mute")  # an exception that cannot say itself
    with pytest.raises(UserError, match=r"cancelled, prompt p7 \(da\): CancelledError: no event"):
        score("cancelled")  # no Exception, and no interrupt
    with pytest.raises(UserError, match=r"hangs, prompt p7 \(da\): TimeoutError: not done within 0\.05 s"):
        score("hangs", 0.05)


def test_a_helper_of_the_same_package_is_part_of_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """reward imports helper, which imports deeper inside a function; what stands beside unread is no part of it."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ours").mkdir()
    texts = {
        "__init__": "",
        "reward": "from ours import helper\ndef f(messages, answer, language, meta):\n    return helper.g(answer)\n",
        "helper": "def g(answer):\n    from .deeper import FACTOR\n    return FACTOR * len(answer)\n",
        "deeper": "FACTOR = 1\n",
        "beside": "",
    }

    def identity(**changed: str) -> object:
        for name, text in {**texts, **changed}.items():
            (tmp_path / "ours" / f"{name}.py").write_text(text)
        modules.imports_of.cache_clear()
        return functions.identity("reward.function", "ours.reward:f")

    before = identity()
    assert identity(beside="X = 1\n") == before
    assert identity(deeper="FACTOR = 2\n") != before
    assert identity() == before


def test_rules_score_again_when_a_checker_changes() -> None:
    assert {"croco.evals.checks.checkers", "croco.language.fidelity"} <= set(modules.imports_of("croco.rewards.rules"))
    assert not any(name.startswith("croco.config") for name in modules.imports_of("croco.rewards.rules"))
    assert modules.imports_of("statistics") == {}


def test_graders_and_judges_that_hang_are_stopped() -> None:
    prompt = Prompt("p7", "da", [{"role": "user", "content": "q"}], "heldout", None, "{}")
    answer = Generation("p7", "da", 0, "svar", [1], "stop", 1, 1, 0, "m", "")

    def hangs(*_: object) -> str:
        time.sleep(5)
        return "[[1]]"

    with pytest.raises(UserError, match=r"evals\.quality\.grader.*p7 \(da; TimeoutError: not done within 0\.05 s"):
        list(quality.grade(hangs, {("p7", "da"): prompt}, [answer], "base", 0.05))
    game = Game(prompt, "candidate_first", "a", "b", 0)
    with pytest.raises(UserError, match=r"judge\.function.*p7 \(da; TimeoutError: not done within 0\.05 s"):
        list(FunctionJudge(hangs, 0.05).judge([game]))
