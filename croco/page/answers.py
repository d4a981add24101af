"""Answers of base and tuned policy side by side: which are shown, how each fared, and in which words they differ."""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from croco.show.visible import visible

SYSTEMS = ("base", "tuned")
BETTER, WORSE, SAME = "better", "worse", "same"
INSTRUCTION = "followed_strict"
SHOWN = 3_000  # characters of an answer
IN_COMMON = 0.2  # share of words under which marks would cover everything
WORDS = re.compile(
    "[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|\\s+|[^\\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]+|[^\\w\\s]"
)
"""Signs of scripts that write no spaces, spaces, words, and other signs."""
Key = tuple[str, str]
"""Language, prompt id."""


@dataclass(frozen=True)
class Answer:
    """The same prompt answered by base and tuned policy."""

    language: str
    prompt: str
    base: str
    tuned: str
    note: str = ""
    outcome: str = ""
    """BETTER, WORSE or SAME; empty where it was not measured."""
    checks: Sequence[str] = ()
    """What was checked."""


@dataclass(frozen=True)
class Fared:
    """What was measured on one prompt."""

    first: float
    second: float
    checks: Mapping[str, tuple[float, float]]
    """Instruction -> share of its kind that base and tuned followed."""

    @property
    def outcome(self) -> str:
        """How the tuned answer is, against that of the base."""
        return SAME if self.first == self.second else BETTER if self.second > self.first else WORSE

    def told(self, metric: str) -> str:
        """The measurement in words, then every instruction with what became of it."""
        ends = {1.0: "yes", 0.0: "no"}
        kinds = [
            f"{name} {' → '.join(ends.get(value, f'{value:.2f}') for value in pair)}"
            for name, pair in self.checks.items()
        ]
        return "; ".join([f"{metric} {self.first:.3g} → {self.second:.3g}", *kinds])


def fared(results: pa.Table, metrics: Sequence[str]) -> tuple[str, dict[Key, Fared]]:
    """The first of the metrics that there is, and how the first sample of each prompt fared by it in both systems."""
    rows = results.filter(pc.and_(pc.equal(results["sample"], 0), pc.is_valid(results["value"])))
    there = set(pc.unique(rows["metric"]).to_pylist())
    metric = next((name for name in metrics if name in there), None)
    if metric is None:
        return "", {}
    wanted = rows.filter(pc.is_in(rows["metric"], pa.array([metric, INSTRUCTION])))
    values: dict[Key, dict[str, float]] = {}
    kinds: dict[Key, dict[str, dict[str, list[float]]]] = {}
    for row in wanted.to_pylist():
        key = (row["language"], row["prompt_id"])
        if row["metric"] == metric:
            values.setdefault(key, {})[row["system"]] = row["value"]
        else:
            of_kind = kinds.setdefault(key, {}).setdefault(row["category"], {})
            of_kind.setdefault(row["system"], []).append(row["value"])
    found = {}
    for key, of_systems in values.items():
        if all(system in of_systems for system in SYSTEMS):
            checks = {
                kind: (_mean(both["base"]), _mean(both["tuned"]))
                for kind, both in kinds.get(key, {}).items()
                if len(both) == len(SYSTEMS)
            }
            found[key] = Fared(of_systems["base"], of_systems["tuned"], checks)
    return metric, found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def worst_and_best(found: Mapping[Key, Fared], language: str, count: int) -> list[Key]:
    """The prompts of a language that lost most, then those that gained most, `count` of each; of as many as differ alike the
    first ones."""
    order = sorted(
        (key for key in found if key[0] == language), key=lambda key: (found[key].second - found[key].first, key)
    )
    lost = order[:count]
    gained = sorted(order[count:], key=lambda key: (found[key].first - found[key].second, key))[:count]
    return [*lost, *gained]


def both(answer: Answer) -> Iterator[tuple[str, str]]:
    """(system, HTML of its answer), with what the other has not marked."""
    first, second = texts = [WORDS.findall(text[:SHOWN]) for text in (answer.base, answer.tuned)]
    matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
    same = [block for block in matcher.get_matching_blocks() if block.size]
    common = _words([word for block in same for word in first[block.a : block.a + block.size]])
    alike = common / max(*map(_words, texts), 1) if first or second else 1.0
    tags = ("del", "ins")
    for side, (system, text) in enumerate(zip(SYSTEMS, (answer.base, answer.tuned), strict=True)):
        words = texts[side]
        if alike < IN_COMMON:
            shown = _text("".join(words))
        else:
            parts, at = [], 0
            for block in [*same, difflib.Match(len(texts[0]), len(texts[1]), 0)]:
                parts += [_marked("".join(words[at : block[side]]), tags[side])]
                at = block[side] + block.size
                parts.append(_text("".join(words[block[side] : at])))
            shown = "".join(parts)
        more = len(text) - SHOWN
        yield system, shown + (f'<span class="note">… {more:,} more characters</span>' if more > 0 else "")


def _words(found: Sequence[str]) -> int:
    return sum(not word.isspace() for word in found)


def _marked(text: str, tag: str) -> str:
    return f"<{tag}>{_text(text)}</{tag}>" if text.strip() else _text(text)


def _text(text: str) -> str:
    return html.escape(visible(text, lines=True))
