"""Writes docs/models.md's tables: `make zoo`, or `make choices` that of models to choose between alone.

What stands outside the marks is left as it is.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import transformers

from croco.models import keys
from tests.zoo import choices
from tests.zoo.walk import ZOO, walk

FILE = Path(__file__).parents[2] / "docs" / "models.md"


def families() -> str:
    """One row a family, from a walk through the method."""
    lines = [
        "| family | model type | template | greedy answers | rewards | training | merged |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, animal in ZOO.items():
        with tempfile.TemporaryDirectory() as folder:
            told = walk(name, Path(folder))
        template = f"`{animal.template}` (TRL)" if animal.template else "plain"
        row = (
            animal.stands_for,
            f"`{animal.model_type}`",
            template,
            "equal",
            told["score"],
            told["train"],
            told["merge"],
        )
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, "", f"transformers {transformers.__version__}."])


def between(text: str, mark: str, content: str) -> str:
    """The text with what stands between two marks replaced."""
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end of {mark} -->)", re.DOTALL)
    assert pattern.search(text), f"docs/models.md: no mark {mark}"
    return pattern.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)


def key_tables() -> str:
    """What becomes of keys, for both files."""
    return f"`config.json`\n\n{keys.table(keys.CONFIG)}\n\n`generation_config.json`\n\n{keys.table(keys.GENERATION)}"


def main() -> None:
    text = between(FILE.read_text(encoding="utf-8"), "choices", choices.table())
    if "choices" not in sys.argv:
        text = between(between(text, "families", families()), "keys", key_tables())
    FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
