"""Pairs as pictures: rewards with what was chosen and rejected, margins, lengths, cut-off answers; and whose languages met."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from croco.page import cells
from croco.page.cells import Axis, vertical

ALL = "all"
BINS, TALL = 48, 40
EDGE = 0.001  # of the values, on either side, stand at the end of their axis: one outlier would squeeze all others
ROOM = 0.05  # a smaller share than this is small, and looks so
SIDES = ("chosen", "rejected")
KINDS = {ALL: ("any", "all answers"), "chosen": ("c0", "chosen"), "rejected": ("c1", "rejected")}
"""Colour and words."""
COUNTED = 4  # an axis of fewer units has no room for a bar as wide as one
PAIR_COLUMNS = ["prompt_id", "language", "source"] + [
    f"{side}_{name}" for side in SIDES for name in ("score", "language", "sample", "tokens")
]
SCORE_COLUMNS = ["prompt_id", "language", "sample", "reward", "finish_reason"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """What is drawn."""

    rewards: Mapping[str, Mapping[str, Floats]]
    """Language of the answers -> `all`, `chosen`, `rejected` -> rewards."""
    margins: Mapping[str, Floats]
    """Language of the prompt -> chosen minus rejected reward."""
    longer: Mapping[str, Floats]
    """Language of the prompt -> tokens of the chosen answer minus those of the rejected."""
    cut: Mapping[str, Mapping[str, float | None]]
    """Language of the answers -> `all`, `chosen`, `rejected` -> share that was cut off."""
    languages: Mapping[str, Mapping[str, int]]
    """Language of the chosen answer -> language of the rejected -> pairs."""


def of_tables(pairs: pa.Table, scores: Mapping[str, pa.Table], report: Mapping[str, Any]) -> Pairs:
    """From the rows on disk.

    Args:
        pairs: PAIR_COLUMNS of records.Pair.
        scores: SCORE_COLUMNS of records.Score, by source of the answers.
        report: the pair report.
    """
    rewards: dict[str, dict[str, Floats]] = {}
    cut: dict[str, dict[str, Floats]] = {}
    if scores:  # pairs that were brought have none
        answers = pa.concat_tables(
            table.append_column("source", pa.array([source] * len(table), pa.string()))
            for source, table in scores.items()
        )
        answers = answers.append_column("cut", _cut_off(answers["finish_reason"]))
        rewards[ALL], cut[ALL] = _by(answers, "language", "reward"), _by(answers, "language", "cut")
        cut |= {side: _by(_answers(pairs, answers, side), "language", "cut") for side in SIDES}
    rewards |= {side: _by(pairs, f"{side}_language", f"{side}_score") for side in SIDES}
    margins = np.subtract(*(_floats(pairs[f"{side}_score"]) for side in SIDES))
    longer = np.subtract(*(_floats(pairs[f"{side}_tokens"]) for side in SIDES))
    codes, names = _coded(pairs["language"])
    order = [*(name for name in report["languages"]["of_prompts"]), ALL]
    return Pairs(
        {one: {kind: of[one] for kind, of in rewards.items() if one in of} for one in order},
        {one: _known(margins if one == ALL else margins[codes == names.get(one)]) for one in order},
        {one: longer if one == ALL else longer[codes == names.get(one)] for one in order},
        {one: {kind: _share(of.get(one)) for kind, of in cut.items()} for one in order},
        report["languages"]["chosen_by_rejected"],
    )


def _cut_off(reasons: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null where it is not known."""
    known = pc.if_else(pc.equal(reasons, "unknown"), pa.scalar(None, pa.string()), reasons)
    return pc.equal(known, "length")


def _answers(pairs: pa.Table, answers: pa.Table, side: str) -> pa.Table:
    """The scored answers that were chosen, or rejected."""
    wanted = _keys(pairs, "prompt_id", "source", f"{side}_language", f"{side}_sample")
    places = pc.index_in(wanted, value_set=_keys(answers, "prompt_id", "source", "language", "sample"))
    return answers.take(pc.drop_null(places))


def _keys(table: pa.Table, *names: str) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*(pc.cast(table[name], pa.string()) for name in names), "\t")


def _by(table: pa.Table, language: str, values: str) -> dict[str, Floats]:
    """Language -> its values that there are; ALL of them last."""
    (codes, names), found = _coded(table[language]), _floats(table[values])
    return {**{name: _known(found[codes == code]) for name, code in names.items()}, ALL: _known(found)}


def _floats(column: pa.ChunkedArray) -> Floats:
    """With NaN for null; not by way of pandas, whose import takes a second."""
    return pc.fill_null(pc.cast(column, pa.float64()), float("nan")).combine_chunks().to_numpy()


def _coded(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], dict[str, int]]:
    """A code per row, and the code of each text."""
    coded = column.combine_chunks().dictionary_encode()
    return coded.indices.to_numpy(), {name: code for code, name in enumerate(coded.dictionary.to_pylist())}


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _share(cut: Floats | None) -> float | None:
    return None if cut is None or not len(cut) else float(cut.mean())


def render(made: Pairs) -> str:
    """The HTML: a row per language, a column per measure that is known of any, and the languages that met where there are
    several."""
    columns = _columns(made)
    rows = {language: [cell(language) for _, _, cell, _ in columns] for language in made.longer}
    kinds = [kind for kind in KINDS if any(kind in of for of in made.rewards.values()) or kind in SIDES]
    key = "".join(
        f'<span class="key"><svg class="sample" viewBox="0 0 34 16" aria-hidden="true">{_block(KINDS[kind][0])}</svg>'
        f"{KINDS[kind][1]}</span>"
        for kind in kinds
    )
    heads, feet = [(name, note) for name, note, _, _ in columns], [foot for *_, foot in columns]
    drawn = cells.table("pairs by language", heads, rows, feet, len(heads))
    return f'<p class="legend">{key}</p>{drawn}{_matrix(made.languages)}'


def _columns(made: Pairs) -> list[tuple[str, str, Callable[[str], str], str]]:
    """(name, note, cell of a language, axis)."""
    found: list[tuple[str, str, Callable[[str], str], str]] = []
    known, total = len(made.margins[ALL]), len(made.longer[ALL])
    of = "" if known == total else f"; known of {known:,} of {total:,} pairs"
    if any(len(values) for kinds in made.rewards.values() for values in kinds.values()):
        rewards = _axis([values for kinds in made.rewards.values() for values in kinds.values()])
        note = f"by the language of the answer; medians{of}"
        found.append(("rewards", note, lambda one: _rewards(made.rewards[one], rewards), rewards.drawn()))
    if known:
        margins, note = _axis(list(made.margins.values()), 0.0), f"chosen minus rejected reward; median{of}"
        found.append(("margin", note, lambda one: _distribution(made.margins[one], margins, _median), margins.drawn()))
    longer, note = _axis(list(made.longer.values()), 0.0), "tokens, chosen minus rejected"
    found.append(
        ("longer by", note, lambda one: _distribution(made.longer[one], longer, _more), longer.drawn(signed=True))
    )
    cut = [share for kinds in made.cut.values() for share in kinds.values() if share is not None]
    if cut:
        shares = Axis.around([0.0, ROOM, *cut])
        found.append(("cut off", "share of answers", lambda one: _cut(made.cut[one], shares), shares.drawn()))
    return found


def _block(kind: str) -> str:
    return f'<path class="area {kind}" d="M3 15L10 5L17 2L24 5L31 15Z"/>'


def _axis(groups: Sequence[Floats], *also: float) -> Axis:
    values = np.concatenate([*groups, np.zeros(0)])
    if not len(values):
        return Axis(0.0, 1.0)
    return Axis.around([*np.quantile(values, [EDGE, 1 - EDGE]).tolist(), *also])


def _area(values: Floats, axis: Axis, kind: str) -> str:
    """A histogram as tall as its plot, whatever the number of values."""
    if not len(values):
        return ""
    step = (axis.high - axis.low) / BINS
    whole = axis.high - axis.low >= COUNTED and bool(
        (values == np.rint(values)).all()
    )  # counts: a bar for one, or for the same number of them
    width, start = (math.ceil(step), math.floor(axis.low) - 0.5) if whole else (step, axis.low)
    edges = start + width * np.arange(math.ceil((axis.high - start) / width) + 1)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    points = [f"M{axis.x(axis.low):.1f} {TALL}"]
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        top = TALL - count / counts.max() * (TALL - 3)
        points.append(f"L{axis.x(left):.1f} {top:.1f}H{axis.x(right):.1f}")
    return f'<path class="area {kind}" d="{"".join(points)}V{TALL}Z"/>'


def _rewards(of: Mapping[str, Floats], axis: Axis) -> str:
    return cells.cell(*_rewards_drawn(of, axis), TALL)


def _rewards_drawn(of: Mapping[str, Floats], axis: Axis) -> tuple[list[str], str]:
    """(marks, the medians in words)."""
    drawn = [_area(of[kind], axis, colour) for kind, (colour, _) in KINDS.items() if kind in of]
    medians = [f"{kind} {cells.number(float(np.median(of[kind])))}" for kind in SIDES if kind in of and len(of[kind])]
    return [*axis.grid(TALL), *drawn], ", ".join(medians) or "–"


def _distribution(values: Floats, axis: Axis, words: Any) -> str:
    return cells.cell(*_distribution_drawn(values, axis, words), TALL) if len(values) else cells.EMPTY


def _distribution_drawn(values: Floats, axis: Axis, words: Any) -> tuple[list[str], str]:
    """(marks, the numbers in words)."""
    middle = f'<circle class="mark c0 filled" cx="{axis.x(float(np.median(values))):.1f}" cy="{TALL - 4}" r="3.5"/>'
    drawn = [*axis.grid(TALL), vertical("zero", axis.x(0), TALL), _area(values, axis, "c0"), middle]
    return drawn, words(values)


def rewards(made: Pairs) -> tuple[str, dict[str, tuple[list[str], str]], Axis, int]:
    """Title, rows, axis and height of the rewards by themselves, for standalone.Picture."""
    axis = _axis([values for of in made.rewards.values() for values in of.values()])
    title = "rewards: all answers (grey), chosen (blue), rejected (orange); medians"
    return title, {language: _rewards_drawn(of, axis) for language, of in made.rewards.items()}, axis, TALL


def margins(made: Pairs) -> tuple[str, dict[str, tuple[list[str], str]], Axis, int]:
    """The same of the margins."""
    axis = _axis(list(made.margins.values()), 0.0)
    found = {language: values for language, values in made.margins.items() if len(values)}
    title = "margin: chosen minus rejected reward"
    return title, {one: _distribution_drawn(values, axis, _median) for one, values in found.items()}, axis, TALL


def _median(values: Floats) -> str:
    low, middle, high = map(cells.number, np.quantile(values, [0.05, 0.5, 0.95]).tolist())
    return f"{middle} (90 % from {low} to {high})"


def _more(values: Floats) -> str:
    median = cells.number(float(np.median(values)), signed=True)
    return f"{np.mean(values > 0):.0%} longer, {np.mean(values < 0):.0%} shorter, median {median}"


def _cut(shares: Mapping[str, float | None], axis: Axis) -> str:
    marks = {ALL: "any", "chosen": "c0 filled", "rejected": "c1 filled"}
    heights = dict(zip(marks, (10, 20, 30), strict=True))
    known = {kind: share for kind, share in shares.items() if share is not None}
    drawn = [
        f'<circle class="mark {marks[kind]}" cx="{axis.x(share):.1f}" cy="{heights[kind]}" r="4"/>'
        for kind, share in known.items()
    ]
    return cells.cell(
        [*axis.grid(TALL), *drawn], ", ".join(f"{kind} {share:.1%}" for kind, share in known.items()), TALL
    )


def _matrix(pairs: Mapping[str, Mapping[str, int]]) -> str:
    """Chosen by rejected language, darker where there are more pairs."""
    total = sum(sum(row.values()) for row in pairs.values())
    if len(pairs) < 2 or total == sum(row.get(name, 0) for name, row in pairs.items()):
        return '<p class="note">In every pair both answers are in one language.</p>' if len(pairs) > 1 else ""
    most = max(max(row.values()) for row in pairs.values())
    heads = "".join(f'<th scope="col">{cells.text(name)}</th>' for name in pairs)
    rows = []
    for name, row in pairs.items():
        shown = "".join(
            f'<td style="--share:{row.get(other, 0) / most:.2f}">{row.get(other, 0):,}</td>' for other in pairs
        )
        rows.append(f'<tr><th scope="row">{cells.text(name)}</th>{shown}<td>{sum(row.values()):,}</td></tr>')
    sums = "".join(f"<td>{sum(row.get(other, 0) for row in pairs.values()):,}</td>" for other in pairs)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="languages of the pairs"><table class="matrix">'
        "<caption>Pairs by the language of the chosen answer (down) and of the rejected one (across)</caption>"
        f'<thead><tr><th scope="col">chosen</th>{heads}<th scope="col">all</th></tr></thead>'
        f'<tbody>{"".join(rows)}<tr class="total"><th scope="row">all</th>{sums}<td>{total:,}</td></tr></tbody></table></div>'
    )
