"""The pair report for a person's eyes: tables of text, for the console and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from croco.pairing.levels import Numbers, warnings
from croco.show.tables import Table, fitted, rich_table

UNKNOWN = "not known"


def tables(report: Numbers) -> list[Table]:
    """The pairs at a glance, distributions, and languages where there are several."""
    shown = [_glance(report), _distributions(report)]
    return [*shown, _languages(report)] if len(report["languages"]["of_prompts"]) > 1 else shown


def rewards(of: Mapping[str, Numbers], controlled: bool) -> Table | None:
    """What rewards there are, and what length alone gains.

    Args:
        of: language -> what the scores' artifact says.
        controlled: whether that was taken off before anything was paired.
    """
    rows = []
    for language, said in of.items():
        if (slope := said.get("reward_per_100_characters")) is not None and "mean_reward" in said:
            in_sd = slope / said["std_reward"] if said["std_reward"] else None
            spread = said.get("mean_disagreement")
            counts = [said["rows"], said["failed"]]
            rows.append([language, *counts, said["mean_reward"], said["std_reward"], spread, slope, in_sd])
    heads = ("language", "answers", "no reward", "mean", "sd", "members' sd", "per 100 characters", "in sd")
    note = "Per 100 characters: what an answer that is longer by so many gains among answers to the same prompt (least squares)"
    note += "; taken off the rewards that chose the pairs." if controlled else "; reward.length=control takes it off."
    return Table("Rewards of the answers, and what length gains", heads, rows, note) if rows else None


def render(report: Numbers, width: int) -> RenderableType:
    """The tables and the warnings, for a console of that width."""
    parts: list[RenderableType] = [rich_table(fitted(table, width)) for table in tables(report)]
    parts += [Text(f"  ! {line}", style="yellow") for line in warnings(report)]
    return Group(*parts)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.items() if count) or "none"


def _glance(report: Numbers) -> Table:
    minimum, fits = report["rejected_is_minimum"], report["language_of_answers"]
    told = {side: fits[side]["right"] + fits[side]["wrong"] for side in fits}
    language = {side: f"{fits[side]['right'] / told[side]:.1%}" if told[side] else "could not be told" for side in fits}
    empty = {side: count / report["pairs"] for side, count in report["empty"].items()}
    rows = [
        ("pairs", f"{report['pairs']:,}" + (f" of {report['pools']:,} pools" if report["pools"] is not None else "")),
        ("answers left out" if report["pools"] is not None else "rows left out", _counts(report["left_out"])),
        ("no pair", _counts(report["refused"])),
        ("answers per pool", _sizes(report["pool_size"])),
        ("rejected is the minimum", UNKNOWN if minimum is None else _minimum(minimum)),
        ("chosen is longer", f"{report['chosen_longer']:.1%} (same length {report['same_length']:.1%})"),
        ("truncated", _truncated(report["truncated"])),
        ("empty", _sides({side: f"{share:.1%}" for side, share in empty.items()})),
        ("identical texts, repeated pairs", f"{report['identical']:,}, {report['repeated_pairs']:,}"),
        ("prompts with another's text", f"{report['prompts_with_the_text_of_another']:,}"),
        ("in the prompt's language", _sides(language)),
        ("other ids if encoded anew", _other_ids(list(report["other_ids_as_text"].values()))),
        ("spell a mark, as text", _spelled(report.get("spelled"))),
        ("sources", _counts(report["sources"])),
    ]
    return Table("pair report", ("", ""), rows)


def _sizes(size: Numbers | None) -> str:
    return UNKNOWN if size is None else f"{size['smallest']} to {size['largest']}, median {size['median']:g}"


def _minimum(minimum: Numbers) -> str:
    theory = "certain" if minimum["certain"] else f"{minimum['expected_for_normal_rewards']:.1%} for normal rewards"
    return f"{minimum['share']:.1%} ({theory})"


def _truncated(shares: Numbers) -> str:
    known = {side: f"{share:.1%}" for side, share in shares.items() if share is not None}
    return _sides(known) if known else UNKNOWN


def _other_ids(counts: Sequence[dict[str, int]]) -> str:
    """Share of answers whose text, encoded anew, is not what was sampled (`method.tokens`)."""
    looked_at, differ, ended = (sum(c[name] for c in counts) for name in ("answers", "differ", "get an end"))
    if not looked_at:
        return UNKNOWN
    return f"{differ / looked_at:.1%} of {looked_at:,} answers looked at ({ended / looked_at:.1%} get another end)"


def _spelled(counts: dict[str, int] | None) -> str:
    """Of the pairs: those whose prompt, or answers, spell a token of the template's. Older reports do not say."""
    return UNKNOWN if counts is None else _counts(counts)


def _sides(values: dict[str, str]) -> str:
    return ", ".join(f"{side} {value}" for side, value in values.items())


def _distributions(report: Numbers) -> Table:
    known: dict[str, dict[str, Any] | None] = {
        "reward margin": report["margin"],
        "longer by (tokens)": report["length_difference"],
    }
    names = {"0": "min", "0.5": "median", "1": "max"}
    figures = {name: row for name, row in known.items() if row is not None}
    levels = list(report["length_difference"]["quantiles"])
    columns = ("", "mean", *(names.get(level, f"{float(level):.0%}") for level in levels))
    rows = [
        (name, f"{row['mean']:.3g}", *(f"{row['quantiles'][level]:.3g}" for level in levels))
        for name, row in figures.items()
    ]
    of = report.get("rewards_known", report["pairs"])
    note = "" if of == report["pairs"] else f"Rewards of both answers are known of {of:,} pairs."
    return Table("chosen minus rejected", columns, rows, note)


def _languages(report: Numbers) -> Table:
    languages = report["languages"]
    pairs, wins, rewards = (
        languages["chosen_by_rejected"],
        languages["wins_across_languages"],
        report["reward_by_language"],
    )
    rows = [
        (
            name,
            f"{languages['of_prompts'][name]:,}",
            f"{sum(pairs[name].values()):,}",
            f"{sum(row[name] for row in pairs.values()):,}",
            f"{wins[name]:.1%}" if wins else "-",
            f"{reward['mean']:.3f}" if (reward := rewards.get(name)) else "-",
            f"{reward['offset']:+.2f}" if reward else "-",
            f"{other['differ'] / other['answers']:.1%}" if (other := report["other_ids_as_text"].get(name)) else "-",
        )
        for name in pairs
        if name in rewards or not rewards
    ]
    columns = ("", "prompts", "chosen", "rejected", "wins across", "reward mean", "offset (sd)", "other ids")
    return Table(f"languages (same language {languages['same_language']:.1%})", columns, rows)
