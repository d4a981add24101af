"""What the models read in pretraining, drawn without end from a seed. An example is token ids and a weight per token.

A policy reads exchanges whose answers are of mixed quality. The reward model's backbone reads, in all seven languages alike:
perfect answers, the same exchange in two languages side by side, and corrected exercises: an answer, good or bad, with the
teacher's mark behind it. The mark says whether the content is right and in the asked language; form, repetition and
completeness of phrase are no part of it, and no two answers are ever compared. Preferences come later, and in English only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

from transformers import PreTrainedTokenizerFast

from croco.tiny import tokenizer as T
from croco.tiny import world, writer
from croco.tiny.grader import grade
from croco.tiny.lexicon import LANGUAGES, name, template

Example = tuple[list[int], list[float]]
MARK_WEIGHT = 8.0  # one token of some thirty, and the one that matters
CLAUSE_SHARE = 0.15  # of exchanges that name the language of the answer


class Exchanges:
    """Draws exchanges: (question, answer, task, args, asked language)."""

    def __init__(self, rng: random.Random, split: str | None = None) -> None:
        self.rng = rng
        tasks = world.OPEN + world.STRUCTURED
        self.arguments = {
            task: [a for a in world.arguments(task) if split is None or world.split_of(task, a) == split]
            for task in tasks
        }

    def question(self, tasks: tuple[str, ...], language: str, clause_share: float) -> tuple[str, str, dict, str]:
        """(text, task, args, language the answer should be in)."""
        task = self.rng.choice(tasks)
        args = self.rng.choice(self.arguments[task])
        text = world.text(task, args, self.rng.randrange(world.variants(task)), language)
        asked = language
        if task in world.OPEN and self.rng.random() < clause_share:
            asked = self.rng.choice(LANGUAGES)
            text += " " + template("in", language).format(l=name(("language", LANGUAGES.index(asked)), language))
        return text, task, args, asked


def encode(tokenizer: PreTrainedTokenizerFast, turns: list[str], weights: list[float], mark: str = "") -> Example:
    """Turns alternate user and assistant; each token carries its turn's weight, a mark closes the text."""
    ids, weight = [tokenizer.bos_token_id], [0.0]
    for number, (text, w) in enumerate(zip(turns, weights, strict=True)):
        role = T.ASSISTANT if number % 2 else T.USER
        part = tokenizer.encode(f"{role}{text}{T.END}", add_special_tokens=False)
        ids += part
        weight += [0.0 if w == 0 else 0.2, *[w] * (len(part) - 1)]
    if mark:
        part = tokenizer.encode(mark, add_special_tokens=False)
        ids += part
        weight += [MARK_WEIGHT] * len(part)
    return ids, weight


def policy_examples(
    tokenizer: PreTrainedTokenizerFast, seed: int, flaws: writer.Flaws, shares: Mapping[str, float] | None = None
) -> Iterator[Example]:
    """Four in five are open tasks with flawed answers, the rest structured ones with right answers.

    All languages alike, or language -> its share.
    """
    rng = random.Random(seed)
    draw = Exchanges(rng)
    while True:
        language = rng.choice(LANGUAGES) if shares is None else rng.choices([*shares], [*shares.values()])[0]
        tasks = world.OPEN if rng.random() < 0.8 else world.STRUCTURED
        text, task, args, asked = draw.question(tasks, language, CLAUSE_SHARE / 2)
        is_open = task in world.OPEN
        answer = writer.write(rng, task, args, asked, flaws) if is_open else world.reference(task, args, language)
        yield encode(tokenizer, [text, answer], [0.3, 1.0])


def backbone_examples(
    tokenizer: PreTrainedTokenizerFast, seed: int, flaws: writer.Flaws, parallel: bool = True
) -> Iterator[Example]:
    """One in five a perfect exchange, one in ten the same in two languages, the rest corrected exercises with `flaws`.

    Without `parallel` a perfect exchange takes the place of those in two languages.
    """
    rng = random.Random(seed)
    draw = Exchanges(rng)
    makers: list[Callable[[], Example]] = [
        lambda: _perfect(tokenizer, rng, draw),
        lambda: _parallel(tokenizer, rng, draw),
        lambda: corrected(tokenizer, rng, draw, flaws),
    ]
    while True:
        yield rng.choices(makers, weights=[2, 1, 7] if parallel else [3, 0, 7])[0]()


def _perfect(tokenizer: PreTrainedTokenizerFast, rng: random.Random, draw: Exchanges) -> Example:
    tasks = world.OPEN if rng.random() < 0.5 else world.STRUCTURED
    text, task, args, asked = draw.question(tasks, rng.choice(LANGUAGES), CLAUSE_SHARE)
    answer = (
        writer.write(rng, task, args, asked, writer.CLEAN) if task in world.OPEN else world.reference(task, args, asked)
    )
    return encode(tokenizer, [text, answer], [1.0, 1.0])


def _parallel(tokenizer: PreTrainedTokenizerFast, rng: random.Random, draw: Exchanges) -> Example:
    first, second = rng.sample(LANGUAGES, 2)
    _, task, args, _ = draw.question(world.OPEN, first, 0.0)
    start = rng.randrange(5)
    turns = []
    for language in (first, second):
        turns += [world.text(task, args, 0, language), world.reference(task, args, language, start)]
    return encode(tokenizer, turns, [1.0] * 4)


def corrected(tokenizer: PreTrainedTokenizerFast, rng: random.Random, draw: Exchanges, flaws: writer.Flaws) -> Example:
    """Marks are right as often as wrong."""
    wanted = rng.random() < 0.5
    text, task, args, asked = draw.question(world.OPEN, rng.choice(LANGUAGES), CLAUSE_SHARE)
    while True:
        answer = writer.write(rng, task, args, asked, flaws)
        got = grade({"task": task, "args": args}, asked, answer)
        right = got.correct == 1.0 and got.language > 0.8
        if right == wanted:
            return encode(tokenizer, [text, answer], [0.05, 0.05], T.RIGHT if right else T.WRONG)
