"""Ready-made preferences, answers and scored answers of other people, with their prompts, from one row to a few of ours."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Message
from croco.config import DataConfig, languages
from croco.errors import UserError
from croco.prompts import conversation, of_hub, parsing, preferences, rows
from croco.prompts.rows import Found, LeftOut, Row

KEY = "data.path"
LISTS = ("answers", "responses", "completions", "candidates", "generations", "outputs")
SINGLE = ("answer", "response", "completion", "text", "output")
REWARDS = ("reward", "score", "reward_score", "overall_score", "rating")
OF_LISTS = ("rewards", "scores", "reward_scores", "overall_scores", "ratings")
INSTRUCTION = ("prompt", *parsing.CONVERSATIONS, "instruction", "question")
FAILED = -999.0
"""What the authors' scripts write for a score that failed."""


@dataclass(frozen=True, slots=True)
class ReadyPair:
    """A preference as it was brought; what its data do not say is None."""

    prompt_id: str
    language: str
    messages: list[Message]
    chosen: str
    rejected: str
    chosen_language: str
    rejected_language: str
    chosen_score: float | None
    rejected_score: float | None


@dataclass(frozen=True, slots=True)
class ReadyAnswer:
    """An answer as it was brought; answers to a prompt are numbered as they come."""

    prompt_id: str
    language: str
    messages: list[Message]
    sample: int
    text: str
    reward: float | None
    finish_reason: str
    """`unknown` where the data do not say it."""
    model: str


Ready = ReadyPair | ReadyAnswer


def found(config: DataConfig, wanted: Sequence[str]) -> Iterator[Found]:
    """Every row of `data.path`.

    Raises:
        UserError: nothing is there, or it cannot be had.
    """
    path = str(config.path)
    if rows.is_hub_id(path):
        return of_hub.rows(of_hub.Asked(path, config.name, config.hub_split, config.revision), wanted, KEY)
    return rows.of_files(Path(path), KEY)


def read(config: DataConfig, wanted: list[str], counts: Counter[str]) -> Iterator[Ready]:
    """All that is in the languages of the run; `counts` says what is left out, and why.

    Raises:
        UserError: too many rows cannot be read (see `rows.readable`).
    """
    default = config.language or (wanted[0] if len(wanted) == 1 else None)
    parse: Callable[[Found], list[Any]] = _pair if config.kind == "pairs" else _answers
    ids = _Ids()
    read_rows = rows.readable(
        found(config, wanted), lambda one: [(one, made) for made in parse(_named(one, default))], counts
    )
    numbers: Counter[tuple[str, str]] = Counter()
    for some in read_rows:
        for one, made in some:
            if made.language not in wanted:
                counts[f"in {made.language}, which is none of lang.languages"] += 1
                continue
            prompt_id = ids.of(one, made.language, made.messages)
            if isinstance(made, ReadyPair):
                yield _with(made, prompt_id=prompt_id)
            elif config.kind == "scores" and made.reward is None and not _says_reward(one.row):
                counts["answer without a reward"] += 1
            else:
                key = prompt_id, made.language
                yield _with(made, prompt_id=prompt_id, sample=numbers[key])
                numbers[key] += 1


def _with(made: Any, **changed: Any) -> Any:
    return type(made)(**{**records.as_dict(made), **changed})


class _Ids:
    """Ids of prompts: the data's own where it tells prompts apart, and the same for the same words."""

    def __init__(self) -> None:
        self.of_text: dict[tuple[str, str], str] = {}
        self.text_of: dict[tuple[str, str], str] = {}

    def of(self, one: Found, language: str, messages: list[Message]) -> str:
        said = records.canonical_messages(messages)
        if (known := self.of_text.get((language, said))) is not None:
            return known
        row: Any = one.row
        own = parsing.prompt_id_of(one.place, row, language, messages)
        if self.text_of.setdefault((own, language), said) != said:  # an id of something else: a file's, a scenario's
            own = parsing.prompt_id_of(one.place, {}, language, messages)
        self.of_text[language, said] = own
        return own


def _named(one: Found, default: str | None) -> Found:
    """With a language in every row, as it is called here where it is known here."""
    row = one.row
    if not isinstance(row, dict):
        return one
    text = str(next((row[name] for name in INSTRUCTION if row.get(name)), ""))
    language = parsing.language_of(one, text, default, "data.language")
    return Found(one.place, one.names, {**row, "language": language})


def _pair(one: Found) -> list[ReadyPair]:
    p = preferences.parse(one)
    row: Any = one.row
    for side in ("chosen", "rejected"):
        if not getattr(p, side).strip():
            raise LeftOut(f"empty {side}")
    if not p.messages[-1]["content"].strip():
        raise LeftOut(preferences.NO_PROMPT)
    if p.tied:
        raise LeftOut("tie")
    if p.chosen.strip() == p.rejected.strip():
        raise LeftOut("equal sides")
    sides = [languages.of_word(str(row.get(f"{side}_language"))) or p.language for side in ("chosen", "rejected")]
    scores = [_number(row.get(f"{side}_score", row.get(f"score_{side}"))) for side in ("chosen", "rejected")]
    return [ReadyPair("", p.language, p.messages, p.chosen, p.rejected, sides[0], sides[1], scores[0], scores[1])]


def _answers(one: Found) -> list[ReadyAnswer]:
    row: Any = one.row
    messages, given = _asked(one, row)
    if not messages or messages[-1]["role"] != "user" or not messages[-1]["content"].strip():
        raise LeftOut(preferences.NO_PROMPT)
    language = str(row["language"])
    made = [ReadyAnswer("", language, messages, 0, *_answer(one, row, value)) for value in given]
    if not made:
        raise LeftOut("no answer")
    return made


def _asked(one: Found, row: Row) -> tuple[list[Message], Iterable[Row]]:
    """(what is asked, the answers with what is said of each)."""
    name = next((name for name in INSTRUCTION if row.get(name) is not None), None)
    if name is None:
        if any(name in row for name in INSTRUCTION):
            raise LeftOut(preferences.NO_PROMPT)
        there = ", ".join(sorted(row)) or "nothing"
        raise UserError(f"{one.place}: an answer needs `prompt` or `messages`, this row has {there}")
    shown = row if name in ("prompt", *parsing.CONVERSATIONS) else {"prompt": row[name]}
    messages = parsing.asked_of(Found(one.place, one.names, shown))
    listed = next((name for name in LISTS if isinstance(row.get(name), list) and not _is_turns(row[name])), None)
    if listed is not None:
        return messages, list(_each(row, listed))
    single = next((name for name in (*SINGLE, *LISTS) if row.get(name) is not None), None)
    if single is not None:
        return messages, [{**row, "text": row[single]}]
    if messages and messages[-1]["role"] == "assistant":  # the conversation ends with it
        return messages[:-1], [{**row, "text": messages[-1]["content"]}]
    if any(name in row for name in (*LISTS, *SINGLE)):
        raise LeftOut("no answer")
    there = ", ".join(sorted(row))
    raise UserError(f"{one.place}: no answer: give `answer`, `completion` or a list `answers`; this row has {there}")


def _is_turns(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(turn, dict) and "role" in turn for turn in value)


def _each(row: Row, listed: str) -> Iterator[Row]:
    beside = next((row[name] for name in OF_LISTS if isinstance(row.get(name), list)), None)
    for number, value in enumerate(row[listed]):
        said = {"text": value} if not isinstance(value, dict) else {**value, "text": _text_in(value)}
        if beside is not None and number < len(beside):
            said["reward"] = beside[number]
        yield said


def _text_in(value: Row) -> Any:
    return next((value[name] for name in (*SINGLE, "content", "value") if value.get(name) is not None), None)


def _answer(one: Found, row: Row, said: Row) -> tuple[str, float | None, str, str]:
    """(text, reward, finish_reason, model)."""
    value = said["text"]
    if value is None:
        raise LeftOut("no answer")
    text = value if isinstance(value, str) else conversation.messages(one.place, "answer", value)[-1]["content"]
    reward = _number(next((said[name] for name in REWARDS if said.get(name) is not None), None))
    return text, reward, str(said.get("finish_reason") or "unknown"), str(said.get("model") or "")


def _says_reward(row: Any) -> bool:
    """Whether a row has a place for rewards, in which one may have failed."""
    inner = [value for name in LISTS if isinstance(row.get(name), list) for value in row[name][:1]]
    return any(
        name in each for each in (row, *(i for i in inner if isinstance(i, dict))) for name in (*REWARDS, *OF_LISTS)
    )


def _number(value: Any) -> float | None:
    """A reward; None of one that is none or failed."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number != FAILED else None
