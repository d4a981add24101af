"""What the paper's size costs by croco/jobs/rates.py: writes the tables of docs/scale.md, between its marks.

python benchmarks/costs.py
"""

from __future__ import annotations

import re
from pathlib import Path

from hydra import compose, initialize_config_dir

from croco.config import CONF, Config, strict
from croco.jobs import rates, work
from croco.jobs.rates import Rates
from croco.show import tables
from croco.show.tables import Table
from croco.stages import stages

FILE = Path(__file__).parents[1] / "docs" / "scale.md"
MARKED = re.compile(r"(<!-- costs -->\n).*?(<!-- end of costs -->)", re.DOTALL)
WORDS = ("model=eurollm", "lang=multi")
SHARED = ("translations", "generations", "scores")


def _config(*words: str) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return strict(compose("config", overrides=[*WORDS, *words]))


def _rows(config: Config, names: tuple[str, ...], said: str) -> list[tuple[str, str, str, float]]:
    """(stage, languages x rows, what is done with how many tokens, GPU hours) of the stages named."""
    found = []
    for stage in (one for one in stages() if one.name in names and one.wanted(config)):
        many = len(stage.languages(config)) if stage.per_language else 1
        for done in work.of(stage.name, config, Rates()):
            tokens = many * (done.written or done.trained or done.read)
            what = f"{many} x {done.rows:,.0f}" if many > 1 else f"{done.rows:,.0f}"
            how = "writes" if done.written else "trains" if done.trained else "reads"
            hours = many * done.seconds(Rates()) / 3600
            found.append((f"{stage.name}{said}", what, f"{how} {tokens / 1e6:,.0f} M", hours))
    return found


def costs() -> str:
    """Both tables, and what they come to."""
    multi, mono = _config("pairing=multi", "evals=arena_hard"), _config("pairing=mono")
    shared = _rows(multi, SHARED, "")
    trained = [*_rows(multi, ("training",), ", multi"), *_rows(mono, ("training",), ", mono, 7 languages")]
    evaluated = _rows(multi, (*work.ARENA, "arena_verdicts"), "")
    every = [*shared, *trained, *evaluated]
    total, most = sum(row[3] for row in every), sum(row[3] for row in shared[-2:])
    reckoned = Table("Rates", ("rate", "value", "unit", "from"), rates.rows(Rates()))
    made = Table("GPU hours of one model", ("stage", "rows", "tokens", "GPU hours"), every, digits=2)
    words = f"Together {total:,.0f} GPU hours, of which answers and rewards are {most:,.0f} ({most / total:.0%})."
    return f"{tables.markdown(reckoned)}\n\n{tables.markdown(made)}\n\n{words}"


def written(text: str) -> str:
    """The page with its tables made anew."""
    return MARKED.sub(lambda found: f"{found[1]}{costs()}\n{found[2]}", text)


if __name__ == "__main__":
    FILE.write_text(written(FILE.read_text(encoding="utf-8")), encoding="utf-8")
