"""The pair report for a person's eyes."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from croco.pairing.report import Numbers, warnings


def render(report: Numbers) -> RenderableType:
    """Console tables: the pairs at a glance, distributions, languages where there are several, warnings."""
    parts: list[RenderableType] = [_glance(report), _distributions(report)]
    if len(report["reward_by_language"]) > 1:
        parts.append(_languages(report))
    parts += [Text(f"  ! {line}", style="yellow") for line in warnings(report)]
    return Group(*parts)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2))
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _glance(report: Numbers) -> Table:
    table = _table("pair report", "", "")
    size, minimum, fits = report["pool_size"], report["rejected_is_minimum"], report["language_of_answers"]
    told = {side: fits[side]["right"] + fits[side]["wrong"] for side in fits}
    table.add_row("pairs", f"{report['pairs']:,} of {report['pools']:,} pools")
    for title, counts in (("answers left out", report["left_out"]), ("no pair", report["refused"])):
        text = ", ".join(f"{reason} {count:,}" for reason, count in counts.items() if count)
        table.add_row(title, text or "none")
    table.add_row("answers per pool", f"{size['smallest']} to {size['largest']}, median {size['median']:g}")
    table.add_row(
        "rejected is the minimum",
        f"{minimum['share']:.1%} (normal rewards: {minimum['expected_for_normal_rewards']:.1%})",
    )
    table.add_row("chosen is longer", f"{report['chosen_longer']:.1%} (same length {report['same_length']:.1%})")
    for what in ("truncated", "empty"):
        sides = {
            side: value if what == "truncated" else value / report["pairs"] for side, value in report[what].items()
        }
        table.add_row(what, ", ".join(f"{side} {value:.1%}" for side, value in sides.items()))
    table.add_row("identical texts, repeated pairs", f"{report['identical']:,}, {report['repeated_pairs']:,}")
    table.add_row("prompts with another's text", f"{report['prompts_with_the_text_of_another']:,}")
    sides = {side: f"{fits[side]['right'] / told[side]:.1%}" if told[side] else "could not be told" for side in fits}
    table.add_row("in the prompt's language", ", ".join(f"{side} {value}" for side, value in sides.items()))
    table.add_row("sources", ", ".join(f"{name} {count:,}" for name, count in report["sources"].items()))
    return table


def _distributions(report: Numbers) -> Table:
    rows: dict[str, dict[str, Any]] = {
        "reward margin": report["margin"],
        "longer by (tokens)": report["length_difference"],
    }
    names = {"0": "min", "0.5": "median", "1": "max"}
    levels = list(next(iter(rows.values()))["quantiles"])
    table = _table("chosen minus rejected", "", "mean", *(names.get(q, f"{float(q):.0%}") for q in levels))
    for name, row in rows.items():
        table.add_row(name, f"{row['mean']:.3g}", *(f"{row['quantiles'][q]:.3g}" for q in levels))
    return table


def _languages(report: Numbers) -> Table:
    languages = report["languages"]
    same = f"same language {languages['same_language']:.1%}"
    table = _table(
        f"languages ({same})", "", "prompts", "chosen", "rejected", "wins across", "reward mean", "offset (sd)"
    )
    pairs = languages["chosen_by_rejected"]
    for name, reward in report["reward_by_language"].items():
        wins = languages["wins_across_languages"].get(name)
        table.add_row(
            name,
            f"{languages['of_prompts'][name]:,}",
            f"{sum(pairs[name].values()):,}",
            f"{sum(row[name] for row in pairs.values()):,}",
            "-" if wins is None else f"{wins:.1%}",
            f"{reward['mean']:.3f}",
            f"{reward['offset']:+.2f}",
        )
    return table
