"""`croco compare KIND FILE...`: what others measured or wrote, compared without a run."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from croco import page
from croco.artifacts import files
from croco.cli.options import count, share
from croco.errors import UserError
from croco.evals.arena import leaderboard
from croco.evals.benchmarks import files as benchmark_files
from croco.evals.benchmarks import paired as benchmarks
from croco.evals.checks import files as answer_files
from croco.evals.checks import score
from croco.exchange import annotations as judged_files
from croco.show import tables
from croco.show.tables import Table

FORMATS = ("text", "markdown", "latex", "json")


def _shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=FORMATS, default="text")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page with forest plots")
    parser.add_argument("--confidence", type=share, default=0.95)


def _show(given: argparse.Namespace, title: str, headline: str, made: Sequence[Table], warnings: Sequence[str]) -> int:
    """Print the tables; write the page that was asked for."""
    if given.html is not None:
        shown = page.Page(title=title, headline=headline, tables=made, warnings=warnings)
        files.write_atomically(given.html, page.render(shown))
        print(f"croco: page: {given.html}", file=sys.stderr)
    for warning in warnings:
        print(f"croco: {warning}", file=sys.stderr)
    if given.format == "json":
        print(json.dumps([asdict(table) for table in made], indent=2, ensure_ascii=False))
    elif given.format == "markdown":
        print("\n\n".join(map(tables.markdown, made)))
    else:
        print((tables.latex if given.format == "latex" else tables.text)(made), end="")
    return 0


def _ask_euroeval(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="result files of EuroEval (JSONL)")
    parser.add_argument("--base", required=True, metavar="NAME", help="a model's name, or a part no other has")
    parser.add_argument("--tuned", required=True, metavar="NAME")
    _shared(parser)


def _euroeval(given: argparse.Namespace) -> int:
    pairs = benchmark_files.pairs(given.files, given.base, given.tuned)
    found = benchmarks.compare(pairs.base, pairs.tuned, pairs.languages, given.confidence, same_version=False)
    title = f"croco: EuroEval, {pairs.base[0].model} against {pairs.tuned[0].model}"
    return _show(given, title, benchmarks.headline(found), benchmarks.tables(found, given.confidence), pairs.warnings)


def _ask_annotations(parser: argparse.ArgumentParser) -> None:
    told = "AlpacaEval's annotations.json or Arena-Hard's judgments (.jsonl), of one system or many; .gz, too"
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=told)
    parser.add_argument("--answers", nargs="+", type=Path, default=[], metavar="FILE", help="Arena-Hard's answers")
    parser.add_argument(
        "--parts", type=Path, metavar="FILE", help="AlpacaEval's df_gamed.csv: difficulties, gamed rows"
    )
    parser.add_argument(
        "--gamed", nargs="+", default=[], metavar="NAME", help="systems that are the baseline made longer or shorter"
    )
    parser.add_argument("--resamples", type=count, default=1_000)
    _shared(parser)


def _annotations(given: argparse.Namespace) -> int:
    dropped: Counter[str] = Counter()
    judged = judged_files.read(given.files, given.answers, dropped)
    difficulty, gamed = judged_files.parts(given.parts) if given.parts is not None else (None, [])
    settings = leaderboard.Settings(given.resamples, given.confidence, given.gamed)
    missing = sorted(set(given.gamed) - {row.system for row in judged})
    if missing:
        raise UserError(
            f"--gamed {' '.join(missing)}: no such system; there is {', '.join({r.system for r in judged})}"
        )
    made: list[Table] = []
    for language in sorted({row.language for row in judged}):
        rows = [row for row in judged if row.language == language]
        board = leaderboard.build(rows, settings, difficulty, gamed)
        shown = leaderboard.tables(board, rows[0].baseline, settings)
        made += [replace(table, title=f"{table.title}, {language}") if language else table for table in shown]
    warnings = [f"{number} {what}, left out" for what, number in dropped.items()]
    best = made[0].rows[0]
    headline = f"{best[0]} wins {best[2]:.1f} % ({best[3]:.1f} to {best[4]:.1f}) against {judged[0].baseline}."
    return _show(given, f"croco: arena against {judged[0].baseline}", headline, made, warnings)


def _ask_answers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "base", type=Path, metavar="A.jsonl", help="answers of one system: `id` or `prompt`, and `response`"
    )
    parser.add_argument("tuned", type=Path, metavar="B.jsonl", help="answers of the other")
    parser.add_argument(
        "--prompts", type=Path, required=True, metavar="FILE", help="in IFEval's format, or rows of `prompt`"
    )
    parser.add_argument("--languages", nargs="+", metavar="CODE", help="default: all of the prompts")
    parser.add_argument("--average", choices=score.AVERAGES, default=score.AVERAGES[0], help="of the instruction level")
    parser.add_argument("--resamples", type=count, default=10_000)
    _shared(parser)


def _answers(given: argparse.Namespace) -> int:
    refused: list[str] = []
    prompts = answer_files.read_prompts(given.prompts, given.languages, refused)
    base, tuned = (answer_files.read_answers(file, prompts) for file in (given.base, given.tuned))
    results = answer_files.results(prompts, base, tuned, given.average)
    languages = list(dict.fromkeys(prompt.language for prompt in prompts))
    found = score.comparisons(results, languages, given.resamples, given.confidence)
    if not found:
        raise UserError(f"{given.base}, {given.tuned}: no prompt that both answered")
    measure, rows = next(iter(found.items()))
    macro = rows[-1]
    headline = f"{measure.replace('_', ' ')}: {macro.base:.3f} and {macro.tuned:.3f}, {macro.difference:+.3f} "
    headline += f"({macro.low:+.3f} to {macro.high:+.3f})."
    warnings = [f"left out: {line}" for line in refused]
    for file, answers in ((given.base, base), (given.tuned, tuned)):
        missing = len({(p.prompt_id, p.language) for p in prompts} - {(a.prompt_id, a.language) for a in answers})
        if missing:
            warnings.append(f"{file}: {missing} of {len(prompts)} prompts without an answer")
    title = f"croco: {given.base.stem} (base) and {given.tuned.stem} (tuned)"
    return _show(given, title, headline, score.tables(results, found, given.confidence, given.average), warnings)


Ask = Callable[[argparse.ArgumentParser], None]
KINDS: dict[str, tuple[Ask, Callable[[argparse.Namespace], int]]] = {
    "euroeval": (_ask_euroeval, _euroeval),
    "annotations": (_ask_annotations, _annotations),
    "answers": (_ask_answers, _answers),
}


def kind_of(arguments: Sequence[str]) -> str | None:
    """The kind that is asked for; None for runs and experiments, one of which may be called like a kind."""
    if not arguments or arguments[0] not in KINDS:
        return None
    rest = list(arguments[1:])
    files = rest and not rest[0].startswith("-")
    return arguments[0] if files or {"--base", "--tuned", "--prompts", "--help", "-h"} & set(rest) else None
