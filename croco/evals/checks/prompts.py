"""Prompts whose answers a rule can check: drawn from our own templates, or read from files in IFEval's format.

The templates of a language lie in data/<language>.yaml. Prompt i depends on (seed, i) alone, is the same draw in every
language, so its versions are translations of one another and share an id, and a longer set starts with a shorter one. The
instructions come in turn, each joined by up to two others that do not contradict it.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.artifacts.records import Prompt
from croco.config import languages
from croco.errors import UserError
from croco.evals.checks import following
from croco.prompts import rows

DATA = Path(__file__).parent / "data"
KEY = "evals.checks.path"
SPLIT = "checks"
ENGLISH = "en"
MOST_EXTRA = 2  # instructions beside the one whose turn it is

Texts = dict[str, Any]
"""A file of DATA: tasks, topics, keywords, starts, ends, languages, instructions."""


@dataclass(frozen=True)
class Kind:
    """An instruction of our own set."""

    id: str
    """Of its checker."""
    draw: Callable[[random.Random, Texts], dict[str, Any]]
    """The checker's arguments."""
    slot: str
    """Of one slot a prompt takes one instruction."""
    shows: Callable[[dict[str, Any], Texts], dict[str, Any]]
    """What the template's fields say."""


def _number(name: str, choices: Sequence[int], **fixed: str) -> dict[str, Any]:
    return {
        "draw": lambda rng, texts: {**fixed, name: rng.choice(choices)},
        "shows": lambda arguments, texts: {"n": arguments[name]},
    }


def _words(name: str) -> dict[str, Any]:
    return {
        "draw": lambda rng, texts: {name: rng.sample(texts["keywords"], 2)},
        "shows": lambda arguments, texts: dict(zip(("first", "second"), arguments[name], strict=True)),
    }


def _phrase(name: str, source: str) -> dict[str, Any]:
    return {
        "draw": lambda rng, texts: {name: rng.choice(texts[source])},
        "shows": lambda arguments, texts: {"phrase": arguments[name]},
    }


def _plain(**fixed: str) -> dict[str, Any]:
    return {"draw": lambda rng, texts: dict(fixed), "shows": lambda arguments, texts: {}}


def _kinds() -> dict[str, Kind]:
    words, sentences = "length_constraints:number_words", "length_constraints:number_sentences"
    return {
        "words_at_least": Kind(words, slot="length", **_number("num_words", (30, 50, 80), relation="at least")),
        "words_less_than": Kind(words, slot="length", **_number("num_words", (20, 30, 50), relation="less than")),
        "sentences_at_least": Kind(
            sentences, slot="length", **_number("num_sentences", (3, 4, 5), relation="at least")
        ),
        "sentences_less_than": Kind(
            sentences, slot="length", **_number("num_sentences", (3, 4, 5), relation="less than")
        ),
        "bullets": Kind("detectable_format:number_bullet_lists", slot="shape", **_number("num_bullets", (2, 3, 4, 5))),
        "paragraphs": Kind(
            "length_constraints:number_paragraphs", slot="shape", **_number("num_paragraphs", (2, 3, 4))
        ),
        "keywords": Kind("keywords:existence", slot="word", **_words("keywords")),
        "forbidden": Kind("keywords:forbidden_words", slot="word", **_words("forbidden_words")),
        "frequency": Kind(
            "keywords:frequency",
            lambda rng, texts: {
                "relation": "at least",
                "keyword": rng.choice(texts["keywords"]),
                "frequency": rng.choice((2, 3)),
            },
            "word",
            lambda arguments, texts: {"first": arguments["keyword"], "n": arguments["frequency"]},
        ),
        "json": Kind("detectable_format:json_format", slot="shape", **_plain()),
        "lower": Kind("change_case:lowercase_letters", slot="case", **_plain()),
        "upper": Kind("change_case:capital_letters", slot="case", **_plain()),
        "no_comma": Kind("punctuation:no_comma", slot="comma", **_plain()),
        "start": Kind("startend:start_checker", slot="edge", **_phrase("start_phrase", "starts")),
        "end": Kind("startend:end_checker", slot="edge", **_phrase("end_phrase", "ends")),
        "quotation": Kind("startend:quotation", slot="shape", **_plain()),
        "title": Kind("detectable_format:title", slot="mark", **_plain()),
        "placeholders": Kind(
            "detectable_content:number_placeholders", slot="mark", **_number("num_placeholders", (2, 3, 4))
        ),
        "highlights": Kind(
            "detectable_format:number_highlighted_sections", slot="mark", **_number("num_highlights", (2, 3))
        ),
        "postscript": Kind("detectable_content:postscript", slot="edge", **_plain(postscript_marker="P.S.")),
        "language": Kind(
            "language:response_language",
            lambda rng, texts: {"language": rng.choice(list(texts["languages"]))},
            "language",
            lambda arguments, texts: {"language": texts["languages"][arguments["language"]]},
        ),
        "two": Kind("combination:two_responses", slot="shape", **_plain()),
    }


KINDS = _kinds()
APART = (("json", "edge"), ("json", "comma"), ("two", "edge"), ("language", "word"), ("language", "edge"))
"""An instruction and a slot that contradict each other, or make the other unreadable."""


@functools.cache
def texts_of(language: str) -> Texts:
    """The templates of a language.

    Raises:
        UserError: there are none.
    """
    from omegaconf import OmegaConf

    file = DATA / f"{language}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in DATA.glob("*.yaml")))
        raise UserError(
            f"evals.checks.prompts: there are prompts of our own in {known}, none in '{language}'; give "
            "evals.checks.path=FILE with evals.checks.prompts=0, or leave the language out"
        )
    texts = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(texts, dict)
    return {str(key): value for key, value in texts.items()}


TOPICS = {"all": slice(None), "train": slice(0, 8), "heldout": slice(8, None)}
"""Which topics prompts are drawn from: those to train on and those to measure with share none."""


def own(language: str, count: int, seed: int, topics: str = "all") -> Iterator[Prompt]:
    """The first `count` prompts of our own."""
    texts = texts_of(language)
    texts = {**texts, "topics": texts["topics"][TOPICS[topics]]}
    for index in range(count):
        rng = random.Random(f"{seed}/{index}")
        task = rng.choice(texts["tasks"]).format(topic=rng.choice(texts["topics"]))
        chosen = [(name, KINDS[name].draw(rng, texts)) for name in _names(seed, index, rng)]
        sentences = [texts["instructions"][n].format(**KINDS[n].shows(arguments, texts)) for n, arguments in chosen]
        instructions = [(KINDS[name].id, arguments) for name, arguments in chosen]
        name = f"own-{seed}-{index:04d}" if topics == "all" else f"own-{topics}-{seed}-{index:04d}"
        yield _prompt(name, language, " ".join([task, *sentences]), instructions)


def _names(seed: int, index: int, rng: random.Random) -> list[str]:
    """The kind whose turn it is, and what is drawn to go with it."""
    turns = random.Random(f"{seed}/round {index // len(KINDS)}").sample(list(KINDS), len(KINDS))
    names = [turns[index % len(KINDS)]]
    wanted = 1 + rng.randint(0, MOST_EXTRA)
    for name in rng.sample(list(KINDS), len(KINDS)):
        if len(names) < wanted and all(_together(name, other) for other in names):
            names.append(name)
    return names


def _together(name: str, other: str) -> bool:
    slots = KINDS[name].slot, KINDS[other].slot
    return slots[0] != slots[1] and (name, slots[1]) not in APART and (other, slots[0]) not in APART


def _prompt(prompt_id: str, language: str, text: str, instructions: Sequence[tuple[str, dict[str, Any]]]) -> Prompt:
    meta = {"instructions": [{"id": name, "arguments": arguments} for name, arguments in instructions]}
    return Prompt(
        prompt_id, language, [{"role": "user", "content": text}], SPLIT, meta=json.dumps(meta, ensure_ascii=False)
    )


def read(path: Path, wanted: Sequence[str], refused: list[str] | None = None) -> Iterator[Prompt]:
    """The prompts of a file in the format of IFEval or M-IFEval, or of a folder's files, in the languages asked for.

    A row has `key` (or `id`), `prompt`, `instruction_id_list` and `kwargs`, one object per instruction, in which null is as
    good as absent, as is the object itself of a last instruction that takes no arguments. Its language is its `language` or
    `lang`, else that of its instructions (`es:...`) or of the file's name (`es.jsonl`, `es_input_data.jsonl`), else English.

    Args:
        refused: gets a line for each row that is left out, with file and line: a field is missing, an instruction is unknown or
            has other arguments than its checker, a key was there before. Without it such a row is an error.

    Raises:
        UserError: no such file, or a row that cannot be read, with its place.
    """
    seen: dict[tuple[str, str], str] = {}
    for file in rows.files(path, KEY):
        for place, row in rows.each(file):
            language = language_of(row, file)
            if language not in wanted:
                continue
            try:
                prompt = _parsed(place, row, language)
                first = seen.setdefault((prompt.prompt_id, language), place)
                if first != place:
                    raise UserError(f"{place}: the key {prompt.prompt_id} was there before, at {first}")
            except UserError as error:
                if refused is None:
                    raise
                refused.append(str(error))
                continue
            yield prompt


def language_of(row: dict[str, Any], file: Path) -> str:
    """A row's language; see `read`."""
    said = row.get("language", row.get("lang"))
    if said:
        return languages.of_word(str(said), str(row.get("prompt") or "")) or str(said)
    ids = row.get("instruction_id_list") or [""]
    if in_id := following.LANGUAGE.match(str(ids[0])):
        return in_id.group()[:2]
    in_name = re.match(r"[^\W\d_]+(?=_|$)", rows.name_of(file))
    return (languages.of_word(in_name.group()) if in_name else None) or ENGLISH


def _parsed(place: str, row: dict[str, Any], language: str) -> Prompt:
    key = row.get("key", row.get("id"))
    wanted: dict[str, Any] = {"key": key, **{n: row.get(n) for n in ("prompt", "instruction_id_list", "kwargs")}}
    for name, value in wanted.items():
        if value is None:
            raise UserError(f"{place}: no `{name}`; the row has {', '.join(sorted(row)) or 'nothing'}")
    names, arguments = wanted["instruction_id_list"], wanted["kwargs"]
    if not names or len(names) < len(arguments):
        raise UserError(f"{place}: {len(names)} instructions, but {len(arguments)} kwargs; correct or remove the row")
    instructions = [
        (str(name), {key: _whole(value) for key, value in (given or {}).items() if value is not None})
        for name, given in itertools.zip_longest(names, arguments)
    ]
    for name, given in instructions:
        wrong = following.problem(name, given)
        if wrong:
            raise UserError(f"{place}: {wrong}")
    # M-IFEval's languages have prompts of their own: the same key in two of them is no translation.
    own = following.LANGUAGE.match(instructions[0][0])
    return _prompt(
        f"ifeval-{language}-{key}" if own else f"ifeval-{key}", language, str(wanted["prompt"]), instructions
    )


def _whole(value: Any) -> Any:
    """Numbers that went through Parquet have become floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
