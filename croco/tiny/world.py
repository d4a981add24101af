"""The prompts of the world: (task, arguments, variant), each with a text in every language.

Open tasks are what preference data is made of. Structured tasks have one right answer and stay out of it: they measure what a
policy forgets. The split is by hash of task and arguments, so that two wordings of one question never straddle it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

from croco.tiny.lexicon import LANGUAGES, Concept, concepts, name, names, template

__all__ = ["LANGUAGES", "OPEN", "SPLITS", "STRUCTURED", "prompts", "reference", "text"]

OPEN = ("list", "numbered", "capital", "opposite", "after", "kind", "count", "add", "repeat")
STRUCTURED = ("translate", "odd", "bigger", "isa")
SPLITS = ("train", "heldout")
HELDOUT_SHARE = 0.35
LISTABLE = ("animal", "fruit", "colour", "drink", "body", "garment", "furniture", "country", "month")
KINDS = ("animal", "fruit", "colour", "drink", "body", "garment", "furniture", "country")
VARIANTS = 2

Args = dict[str, Any]


def arguments(task: str) -> Iterator[Args]:
    """All arguments a task can take, as JSON values."""
    nouns: list[Concept] = [c for kind in KINDS for c in concepts(kind)]
    if task in ("list", "numbered"):
        yield from ({"kind": kind, "n": n} for kind in LISTABLE for n in range(2, 6))
    elif task == "capital":
        yield from ({"x": ["country", row]} for row in range(len(names("country"))))
    elif task == "opposite":
        yield from ({"x": ["quality", row]} for row in range(len(names("quality"))))
    elif task == "after":
        yield from ({"x": list(c)} for kind in ("day", "month") for c in concepts(kind))
    elif task == "kind":
        yield from ({"x": list(c)} for c in nouns)
    elif task == "count":
        yield from ({"a": a, "b": a + length} for a in range(1, 13) for length in range(1, 7))
    elif task == "add":
        yield from ({"a": a, "b": b} for a in range(1, 13) for b in range(1, 13))
    elif task == "repeat":
        yield from ({"x": list(c), "n": n} for c in nouns for n in range(2, 7))
    elif task == "translate":
        yield from ({"x": list(c), "shift": s} for c in nouns for s in range(1, len(LANGUAGES)))
    elif task == "odd":
        pairs = itertools.permutations(KINDS, 2)
        yield from ({"kind": k, "odd": o, "row": r, "place": p} for k, o in pairs for r in range(4) for p in range(4))
    elif task == "bigger":
        yield from ({"a": a, "b": b} for a in range(1, 41) for b in range(1, 41) if a != b)
    elif task == "isa":
        yield from ({"x": list(c), "kind": kind} for c in nouns for kind in KINDS)
    else:
        raise ValueError(f"no task '{task}'")


def variants(task: str) -> int:
    return VARIANTS if task in OPEN else 1


def target_language(args: Args, language: str) -> str:
    """Of a translation: `shift` places further in the list of languages."""
    return LANGUAGES[(LANGUAGES.index(language) + args["shift"]) % len(LANGUAGES)]


def odd_items(args: Args) -> list[Concept]:
    """Three concepts of a kind with one of another among them."""
    rows = len(names(args["kind"]))
    items: list[Concept] = [(args["kind"], (args["row"] + i) % rows) for i in range(3)]
    items.insert(args["place"], (args["odd"], args["row"] % len(names(args["odd"]))))
    return items


def text(task: str, args: Args, variant: int, language: str) -> str:
    """The prompt in a language."""
    fields: dict[str, Any] = dict(args)
    if "x" in args:
        fields["x"] = name(args["x"], language)
    if task in ("list", "numbered"):
        fields["cats"] = name((f"plural {args['kind']}", 0), language)
    if task == "translate":
        fields["l"] = name(("language", LANGUAGES.index(target_language(args, language))), language)
    if task == "odd":
        fields["items"] = ", ".join(name(c, language) for c in odd_items(args))
    if task == "isa":
        fields["y"] = name((f"a {args['kind']}", 0), language)
    return template(f"{task}?{variant}", language).format(**fields)


def solution(task: str, args: Args) -> Concept | int:
    """What a sentence task asks for: a concept, or a number."""
    if task == "capital":
        return "city", args["x"][1]
    if task == "opposite":
        return "quality", args["x"][1] ^ 1  # the table holds opposites side by side
    if task == "after":
        kind, row = args["x"]
        return kind, (row + 1) % len(names(kind))
    if task == "kind":
        return f"a {args['x'][0]}", 0
    if task == "add":
        return args["a"] + args["b"]
    raise ValueError(f"'{task}' is no sentence task")


def sentence(task: str, args: Args, answer: Concept | int, language: str) -> str:
    """The full sentence that gives `answer`."""
    y = str(answer) if isinstance(answer, int) else name(answer, language)
    x = name(args["x"], language) if "x" in args else ""
    return template(f"{task}!", language).format(x=x, y=y)


def reference(task: str, args: Args, language: str, first: int = 0) -> str:
    """A perfect answer; lists begin at the concept with number `first` of their kind."""
    if task in ("list", "numbered"):
        rows = len(names(args["kind"]))
        items = [name((args["kind"], (first + i) % rows), language) for i in range(args["n"])]
        if task == "numbered":
            return "\n".join(f"{i}. {item}" for i, item in enumerate(items, start=1))
        return ", ".join(items) + "."
    if task == "count":
        return ", ".join(str(i) for i in range(args["a"], args["b"] + 1)) + "."
    if task == "repeat":
        return ", ".join([name(args["x"], language)] * args["n"]) + "."
    if task == "translate":
        return name(args["x"], target_language(args, language)) + "."
    if task == "odd":
        return name(odd_items(args)[args["place"]], language) + "."
    if task == "bigger":
        return f"{max(args['a'], args['b'])}."
    if task == "isa":
        return template("yes" if args["x"][0] == args["kind"] else "no", language)
    return sentence(task, args, solution(task, args), language)


def prompt_id(task: str, args: Args, variant: int) -> str:
    """Stable and readable, e.g. `capital/France/0`."""
    parts = [name(v, "en") if isinstance(v, list) else str(v) for v in args.values()]
    return "/".join([task, "-".join(parts), str(variant)])


def split_of(task: str, args: Args) -> str:
    digest = hashlib.sha256(prompt_id(task, args, 0).encode()).digest()
    return "heldout" if digest[0] / 256 < HELDOUT_SHARE else "train"


def prompts(kind: str, split: str, count: int, seed: int) -> list[dict[str, Any]]:
    """`count` parallel prompts of a kind (`open` or `structured`), as evenly over the tasks as there are prompts.

    Each has `prompt_id`, `task`, `args`, `variant`, `text` and `reference` (language -> string).

    Raises:
        ValueError: there are fewer than `count`.
    """
    queues = []
    for task in {"open": OPEN, "structured": STRUCTURED}[kind]:
        keys = [(task, a, v) for a in arguments(task) if split_of(task, a) == split for v in range(variants(task))]
        keys.sort(key=lambda k: hashlib.sha256(f"{seed}/{prompt_id(*k)}".encode()).digest())
        queues.append(keys)
    taken = [key for round_ in itertools.zip_longest(*queues) for key in round_ if key is not None][:count]
    if len(taken) < count:
        raise ValueError(f"the world has {len(taken)} {kind} prompts in '{split}', {count} were asked for")
    return [
        {
            "prompt_id": prompt_id(task, args, variant),
            "task": task,
            "args": args,
            "variant": variant,
            "text": {language: text(task, args, variant, language) for language in LANGUAGES},
            "reference": {language: reference(task, args, language) for language in LANGUAGES},
        }
        for task, args, variant in taken
    ]
