"""The files of the reference repository: its scored answers and pairs, with any pairing of this one, and its arena."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from croco.artifacts import records
from croco.config import CONF, PairingConfig, check_pairing
from croco.errors import UserError
from croco.exchange import published_pairs
from croco.pairing import show
from croco.pairing.build import build
from croco.show import tables
from croco.show.progress import Terminal

RESAMPLES, CONFIDENCE = 10_000, 0.95  # of the arena's intervals


def pairing_config(overrides: Sequence[str], languages: list[str]) -> PairingConfig:
    """The `pairing` group with these overrides.

    Raises:
        UserError: Hydra cannot compose it, or its values do not go together.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(str(CONF), version_base=None):
            composed = compose("config", overrides=list(overrides)).pairing
        config: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(PairingConfig), composed))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(str(error).splitlines()[0]) from None
    check_pairing(config, languages, samples=sys.maxsize)
    return config


def _arena(given: argparse.Namespace) -> str:
    from croco.evals.arena import analysis
    from croco.exchange import published_arena as arena

    found = arena.read(given.annotations, tuple(given.outputs) if given.outputs else None)
    settings = analysis.Settings(RESAMPLES, CONFIDENCE, found.candidate, found.opponent)
    verdicts = analysis.Verdicts(found.verdicts, found.languages)
    rows = analysis.rows(verdicts, settings)
    shown = analysis.tables(verdicts, rows, settings)
    for name, kind, written in (
        ("verdicts", records.Verdict, found.verdicts),
        ("results", records.Result, analysis.results(verdicts)),
    ):
        table = pa.Table.from_pylist([records.as_dict(row) for row in written], schema=records.schema(kind))
        pq.write_table(table, given.to / f"{name}.parquet", compression="zstd")
    summary = {"comparison": [asdict(row) for row in rows], "tables": [asdict(table) for table in shown]}
    (given.to / "arena.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(tables.text(shown))
    return f"{given.to / 'verdicts.parquet'}: {len(found.verdicts):,} verdicts; {analysis.headline(rows, settings)}"


def _run(given: argparse.Namespace) -> str:
    given.to.mkdir(parents=True, exist_ok=True)
    if given.annotations:
        return _arena(given)
    path = given.to / "pairs.parquet"
    if given.pairs is not None:
        table = published_pairs.read_pairs(given.pairs)
        pq.write_table(table, path, compression="zstd")
        return f"{path}: {table.num_rows:,} pairs"
    if not given.scored or not given.originals:
        raise UserError("give --scored and --originals (one file per language), or --pairs, or --annotations")
    originals = published_pairs.Originals(given.originals)
    config = pairing_config(given.overrides, sorted(originals.lines))
    answers, left_out = published_pairs.read(given.scored, originals, given.to / "answers")
    summary = build(originals.table, {"published": answers}, config, path)
    (given.to / "report.json").write_text(json.dumps(summary["report"], indent=2) + "\n", encoding="utf-8")
    console = Terminal(highlight=False)
    console.print(show.render(summary["report"], console.width))
    lost = ", ".join(f"{reason}: {count:,}" for reason, count in left_out.items())
    return f"{path}: {summary['rows']:,} pairs; rows left out: {lost or 'none'}"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it asks for."""
    parser.add_argument("--scored", type=Path, nargs="+", help="*_scored.jsonl, one per language")
    parser.add_argument(
        "--originals", type=Path, nargs="+", help="the prompts, one file per language, parallel by line"
    )
    parser.add_argument("--pairs", type=Path, help="a dpo_*.jsonl file")
    parser.add_argument("--annotations", type=Path, nargs="+", help="*_annotations.json, one per language")
    parser.add_argument(
        "--outputs",
        type=Path,
        nargs=2,
        help="the judged outputs, for categories: the model's folder and the reference's",
    )
    parser.add_argument("--to", type=Path, required=True, help="a folder")
    parser.add_argument("overrides", nargs="*", metavar="pairing...", help="words of the group `pairing`")


def run(given: argparse.Namespace) -> int:
    """Read, write to `--to`, say what was left out."""
    print(_run(given))
    return 0
