"""Pairs from the files of the reference repository, with any pairing of this one; and its arena, with our statistics.

    python -m croco.import_published --scored da_scored.jsonl en_scored.jsonl --originals da.jsonl en.jsonl --to FOLDER \\
        pairing=multi pairing.rejected=-1
    python -m croco.import_published --pairs dpo_all_lang.jsonl --to FOLDER

writes FOLDER/pairs.parquet and FOLDER/report.json, prints the pair report, and says what was left out.

    python -m croco.import_published --annotations results/*_annotations.json --outputs OUTPUTS REFERENCE_OUTPUTS --to FOLDER

writes FOLDER/verdicts.parquet, FOLDER/results.parquet and FOLDER/arena.json, and prints the arena's tables.
"""

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
from rich.console import Console

from croco import records, tables
from croco.config import CONF, PairingConfig, check_pairing
from croco.errors import UserError
from croco.pairing import published, show
from croco.pairing.build import build

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
    from croco.evals.arena import published as arena

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
        table = published.read_pairs(given.pairs)
        pq.write_table(table, path, compression="zstd")
        return f"{path}: {table.num_rows:,} pairs"
    if not given.scored or not given.originals:
        raise UserError("give --scored and --originals (one file per language), or --pairs, or --annotations")
    originals = published.Originals(given.originals)
    config = pairing_config(given.overrides, sorted(originals.lines))
    answers, left_out = published.read(given.scored, originals, given.to / "answers")
    summary = build(originals.table, {"published": answers}, config, path)
    (given.to / "report.json").write_text(json.dumps(summary["report"], indent=2) + "\n", encoding="utf-8")
    Console(highlight=False).print(show.render(summary["report"]))
    lost = ", ".join(f"{reason}: {count:,}" for reason, count in left_out.items())
    return f"{path}: {summary['rows']:,} pairs; rows left out: {lost or 'none'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="croco.import_published", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    given, overrides = parser.parse_known_args(arguments)
    given.overrides = overrides
    try:
        print(_run(given))
    except UserError as error:
        print(f"croco: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
