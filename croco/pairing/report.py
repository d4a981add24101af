"""What a pair set is like, in numbers, before it costs any training.

The expected share of pairs whose rejected answer is the pool's minimum is that of the same rule on pools of normal rewards.
For k sigma below the mean it is certain up to K = 1 + k^2 answers, because no standardised value lies below -sqrt(K - 1)
(Samuelson 1968): with k = 2, no pool of up to 5 answers can tell the paper's rule from the minimum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from croco.config import PairingConfig
from croco.language import fidelity
from croco.maths import pairing
from croco.pairing.answers import Answers
from croco.pairing.choose import Chosen, rule_of
from croco.pairing.filters import empty_texts

CANNOT_BE_TOLD = 0.95  # share of rejected answers that are the minimum from which the rule is as good as `min`
LANGUAGE_SAMPLE = 1000  # pairs whose language is identified, and whose texts are encoded anew
SIMULATED_ROWS = 200_000
OTHER_IDS = {"answers": 0, "differ": 0, "get an end": 0}
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

Numbers = dict[str, Any]
Tokenise = Callable[[str], list[int]]
"""From an answer's text to its ids, its end included."""


@dataclass(frozen=True)
class Encoding:
    """What the policy's tokenizer makes of texts."""

    anew: Mapping[str, Tokenise] = field(default_factory=dict)
    """By source, for those whose ids are the policy's: what an answer's ids would be, were its text encoded anew."""
    spells: Callable[[str], bool] = lambda text: False
    """Whether a text spells a mark, which is encoded as text (`croco.language.marks`)."""


class TextFacts:
    """What only the texts tell; fed with the rows of the pairs as they are written."""

    def __init__(self, pairs: int, encoding: Encoding) -> None:
        self.encoding = encoding
        self.spelled = {"prompts": 0, "chosen": 0, "rejected": 0}
        self.other_ids: dict[str, Counter[str]] = {}
        self.looked_at = set(np.unique(np.linspace(0, pairs - 1, min(pairs, LANGUAGE_SAMPLE)).astype(int)).tolist())
        self.empty = {"chosen": 0, "rejected": 0}
        self.identical = 0
        self.pairs: Counter[int] = Counter()
        self.prompts: dict[int, set[str]] = {}
        self.fits: dict[str, Counter[str]] = {"chosen": Counter(), "rejected": Counter()}
        self.fits_by_language: dict[str, Counter[str]] = {}

    def add(self, first: int, rows: pa.Table) -> None:
        """`rows` are the pairs from number `first`."""
        languages = rows["language"].to_pylist()
        texts = {side: rows[side].combine_chunks().values.field("content") for side in self.empty}
        hashes = {side: [hash(text) for text in texts[side].to_pylist()] for side in texts}
        for side in texts:
            self.empty[side] += empty_texts(texts[side])
            self.spelled[side] += sum(map(self.encoding.spells, texts[side].to_pylist()))
        for prompt in rows["prompt"].to_pylist():
            self.spelled["prompts"] += any(self.encoding.spells(message["content"]) for message in prompt)
        self.identical += sum(a == b for a, b in zip(hashes["chosen"], hashes["rejected"], strict=True))
        prompts = [hash(str(prompt)) for prompt in rows["prompt"].to_pylist()]
        for prompt, prompt_id in zip(prompts, rows["prompt_id"].to_pylist(), strict=True):
            self.prompts.setdefault(prompt, set()).add(prompt_id)
        self.pairs.update(hash(row) for row in zip(prompts, hashes["chosen"], hashes["rejected"], strict=True))
        for row in sorted(self.looked_at & set(range(first, first + len(rows)))):
            for side in texts:
                said = texts[side][row - first].as_py()
                self._look(side, languages[row - first], said)
                self._compare(side, {name: rows[name][row - first].as_py() for name in _compared(side)}, said)

    def _look(self, side: str, language: str, text: str) -> None:
        fits = {None: "undecided", True: "right", False: "wrong"}[fidelity.matches(language, text)]
        self.fits[side][fits] += 1
        if side == "chosen":
            self.fits_by_language.setdefault(language, Counter())[fits] += 1

    def _compare(self, side: str, row: Numbers, said: str) -> None:
        """Whether an answer's text, encoded anew, is what was sampled."""
        sampled = row[f"{side}_token_ids"]
        if sampled is None or row["source"] not in self.encoding.anew:
            return
        anew = self.encoding.anew[row["source"]](said)
        counts = self.other_ids.setdefault(row[f"{side}_language"], Counter(OTHER_IDS))
        counts["answers"] += 1
        counts["differ"] += anew != sampled
        counts["get an end"] += anew[-1:] != sampled[-1:]

    def numbers(self) -> Numbers:
        """What was counted, as the report's JSON has it."""
        return {
            "empty": dict(self.empty),
            "spelled": dict(self.spelled),
            "identical": self.identical,
            "repeated_pairs": sum(count - 1 for count in self.pairs.values()),
            "prompts_with_the_text_of_another": sum(len(ids) for ids in self.prompts.values() if len(ids) > 1),
            "language_of_answers": {
                side: {fits: counts[fits] for fits in ("right", "wrong", "undecided")}
                for side, counts in self.fits.items()
            },
            "language_of_chosen_by_prompt_language": {k: dict(v) for k, v in sorted(self.fits_by_language.items())},
            "other_ids_as_text": {language: dict(counts) for language, counts in sorted(self.other_ids.items())},
        }


def _compared(side: str) -> tuple[str, ...]:
    return "source", f"{side}_language", f"{side}_token_ids"


def numbers(pairs: Chosen, config: PairingConfig, facts: TextFacts) -> Numbers:
    """The pair report; shares lie in [0, 1], lengths are tokens, JSON values throughout."""
    answers = pairs.answers
    chosen, rejected = answers.take(pairs.chosen), answers.take(pairs.rejected)
    longer = chosen.tokens.astype(np.int64) - rejected.tokens
    return {
        "pairs": len(pairs),
        "pools": pairs.pools,
        "answers": len(answers),
        "left_out": pairs.left_out,
        "refused": pairs.refused,
        "pool_size": {
            "smallest": int(pairs.pool_size.min()),
            "median": float(np.median(pairs.pool_size)),
            "largest": int(pairs.pool_size.max()),
        },
        "rejected_is_minimum": _minimum(pairs, config),
        "margin": distribution(chosen.reward - rejected.reward),
        "length_difference": distribution(longer),
        "chosen_longer": share(longer > 0),
        "same_length": share(longer == 0),
        "longest_answer": int(answers.tokens.max()),
        "truncated": {"chosen": _cut(chosen), "rejected": _cut(rejected)},
        "languages": _languages(pairs),
        "reward_by_language": offsets(answers.languages, answers.reward, answers.language),
        "sources": dict(Counter(np.array(answers.sources)[chosen.source].tolist())),
        **facts.numbers(),
    }


def _cut(answers: Answers) -> float | None:
    """Share of the answers that were cut off, among those of which it is known; None where it is known of none."""
    return share(answers.truncated[answers.end_known]) if answers.end_known.any() else None


def share(mask: NDArray[np.bool_]) -> float:
    """The mean of a mask."""
    return round(float(mask.mean()), 6)


def distribution(values: NDArray) -> Numbers:
    """Mean and quantiles."""
    quantiles = {f"{q:g}": round(float(v), 6) for q, v in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)}
    return {"mean": round(float(values.mean()), 6), "quantiles": quantiles}


def _minimum(pairs: Chosen, config: PairingConfig) -> Numbers:
    size = int(np.median(pairs.pool_size))
    lowest = share(pairs.value[pairs.rejected] == pairs.pool_min)
    certain = config.points == "sigma" and config.rejected <= -np.sqrt(size - 1)
    return {
        "share": lowest,
        "expected_for_normal_rewards": 1.0 if certain else expected_minimum(rule_of(config), size),
        "certain": bool(certain),
        "cannot_be_told_from_min": bool(
            config.points != "every" and np.isfinite(config.rejected) and lowest >= CANNOT_BE_TOLD
        ),
    }


def expected_minimum(rule: pairing.Rule, size: int, seed: int = 0) -> float:
    """Share of pairs whose rejected answer is the minimum, on simulated pools of `size` normal rewards."""
    count = max(SIMULATED_ROWS // size, 200)
    rewards = np.random.default_rng(seed).normal(size=count * size)
    pools = np.repeat(np.arange(count), size)
    if rule.points == "every":
        found = pairing.every_pair(rewards, pools, rule.per_pool, seed)
    else:
        found = pairing.select(rewards, pools, pairing.Rule(rule.chosen, rule.rejected, rule.points))
    return round(float((rewards[found.rejected] == found.pool_min).mean()), 3) if len(found.chosen) else 0.0


def _languages(pairs: Chosen) -> Numbers:
    names = pairs.answers.languages
    chosen, rejected = (pairs.answers.language[rows] for rows in (pairs.chosen, pairs.rejected))
    table = np.zeros((len(names), len(names)), int)
    np.add.at(table, (chosen, rejected), 1)
    return {
        "of_prompts": {name: int((pairs.prompt_language == i).sum()) for i, name in enumerate(names)},
        **across(names, table),
        "chosen_in_language_of_prompt": share(chosen == pairs.prompt_language),
    }


def across(names: Sequence[str], table: NDArray[np.integer]) -> Numbers:
    """What the numbers of pairs by chosen (rows) and rejected language (columns) tell."""
    same, total = int(np.trace(table)), int(table.sum())
    wins = {name: int(table[i].sum() - table[i, i]) for i, name in enumerate(names)}
    return {
        "chosen_by_rejected": {
            name: dict(zip(names, row, strict=True)) for name, row in zip(names, table.tolist(), strict=True)
        },
        "same_language": round(same / total, 6),
        "wins_across_languages": {name: round(won / (total - same), 6) for name, won in wins.items()}
        if total > same
        else {},
    }


def offsets(names: Sequence[str], rewards: NDArray[np.float64], language: NDArray[np.integer]) -> Numbers:
    """Mean and spread of the rewards of each language (an index into `names`), and its offset in standard deviations of all."""
    mean, std = float(rewards.mean()), float(rewards.std())
    table = {}
    for code, name in enumerate(names):
        own = rewards[language == code]
        if len(own):
            offset = (float(own.mean()) - mean) / std if std > 0 else 0.0
            table[name] = {
                "answers": len(own),
                "mean": round(float(own.mean()), 6),
                "std": round(float(own.std()), 6),
                "offset": round(offset, 6),
            }
    return table
