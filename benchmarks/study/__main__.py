"""`python -m benchmarks.study`: run what is missing, measure, and write docs/study.json, docs/study.md and its figures.

--only NAME...   these arms alone; --write: measure and write what is there; --page: from docs/study.json alone
--real           the second table's arms, on SmolLM2, in place of the embedded world's; --words trainer=gpu: on other hardware
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.study import arms, real, write

DOCS = Path(__file__).parents[2] / "docs"


def main() -> int:
    """Exit code: 1 where an arm failed, whose log is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="ARM", choices=[*arms.BY_NAME, *(arm.name for arm in real.ARMS)])
    parser.add_argument("--artifacts", type=Path, default=Path("runs"))
    parser.add_argument("--at-once", type=int, default=2, help="arms at a time, a thread each (2)")
    parser.add_argument("--write", action="store_true", help="run nothing")
    parser.add_argument("--real", action="store_true", help="SmolLM2's arms")
    parser.add_argument("--words", nargs="+", default=[], metavar="KEY=VALUE", help="further words of every run")
    parser.add_argument("--page", action="store_true", help="run and measure nothing")
    parser.add_argument("--docs", type=Path, default=DOCS)
    given = parser.parse_args()
    failed: list[str] = []
    if not (given.write or given.page):
        from benchmarks.study import run

        there, common = (real.ARMS, real.COMMON) if given.real else (arms.ARMS, arms.COMMON)
        chosen = [arm for arm in there if not given.only or arm.name in given.only]
        failed = run.everything(chosen, given.artifacts, given.at_once, common, given.words)
    file = given.docs / "study.json"
    if not given.page:
        file.write_text(json.dumps(_measured(file, given.artifacts, given.real), indent=1) + "\n", encoding="utf-8")
    study = json.loads(file.read_text(encoding="utf-8"))
    (given.docs / "study.md").write_text(write.page(study), encoding="utf-8")
    for name, drawing in write.drawings(study).items():
        (given.docs / name).write_text(drawing, encoding="utf-8")
    readme = DOCS.parent / "README.md"
    if given.docs == DOCS:
        readme.write_text(write.with_core(readme.read_text(encoding="utf-8"), study), encoding="utf-8")
    print(f"study: {given.docs / 'study.md'}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def _measured(file: Path, artifacts: Path, of_real: bool) -> dict[str, Any]:
    """What is there of one table, and the other as it was: each may be measured on a machine of its own."""
    from benchmarks.study import measure

    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"real": None}
    if of_real:
        return {**before, "real": real.table(artifacts)}
    return {**measure.everything(artifacts), "real": before["real"]}


if __name__ == "__main__":
    sys.exit(main())
