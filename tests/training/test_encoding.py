"""Training data is encoded once: in blocks as one by one, kept, found, gone on with, and shared as a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from croco.language import text
from croco.show.progress import Progress
from croco.training import encoding
from croco.training.encoding import Encodings, of_rows
from croco.training.examples import Example, Examples, key
from croco.training.rows import Row

ROOM = 24


def rows_of(count: int) -> list[Row]:
    """Every third answer as ids; every seventh prompt spells a mark, every fifth answer too long, every eleventh pair alike."""
    made = []
    for i in range(count):
        said = "hvad" + " <s> hedder"[: 4 * (i % 7 == 0)] + " ?" * (i % 3)
        chosen = "the quick fox " * (9 if i % 5 == 0 else 1)
        made.append(
            Row(
                f"p{i}",
                "da",
                [{"role": "user", "content": said}],
                (chosen, chosen if i % 11 == 0 else np.array([5, 6, 7 + i % 4], np.int32) if i % 3 else "the dog"),
            )
        )
    return made


def one_by_one(tokenizer: object, rows: list[Row]) -> list[Example]:
    """The same by the functions that encode a single prompt and a single answer."""
    found = []
    for row in rows:
        prompt = text.prompt_ids(tokenizer, row.messages)  # type: ignore[arg-type]
        whole = [text.answer_ids(tokenizer, a.strip()) if isinstance(a, str) else list(a) for a in row.answers]  # type: ignore[arg-type]
        cut = [list(map(int, ids[: ROOM - len(prompt)])) for ids in whole]
        if len(prompt) < ROOM and cut[0] != cut[1]:
            found.append(Example(prompt, (cut[0], cut[1])))
    return found


@pytest.fixture
def quiet() -> Progress:
    return Progress(Console(quiet=True))


def test_kept_and_found_and_gone_on_with(
    policy: Path, tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the third block of four: the next attempt encodes two, and the one behind it none. Held against the single
    functions; 4 bytes a token and 14 a row."""
    monkeypatch.setattr(encoding, "BLOCK", 8)
    tokenizer, rows = text.load_tokenizer(str(policy)), rows_of(30)
    made: list[int] = []
    block = encoding._block

    def counted(tokenizer: object, some: list, limit: int) -> object:
        if len(made) == 2 and not made[-1] < 0:
            made.append(-1)
            raise KeyboardInterrupt
        made.append(len(some))
        return block(tokenizer, some, limit)  # type: ignore[arg-type]

    monkeypatch.setattr(encoding, "_block", counted)

    def of(which: Iterator[Row]) -> tuple[encoding.Encoded, dict[str, int]]:
        return Encodings(tmp_path, {"a": 1}, {}).of(of_rows(tokenizer, which, 30, 2, ROOM), quiet, "training")

    with pytest.raises(KeyboardInterrupt):
        of(iter(rows))
    with (Encodings(tmp_path, {"a": 1}, {}).folder / "rows.bin").open("ab") as file:
        file.write(b"cut")  # of a record
    found, as_what = of(iter(rows))
    assert made == [8, 8, -1, 8, 6]
    expected = one_by_one(tokenizer, rows)
    examples, counts = found.examples()
    assert examples == expected
    assert counts["identical after the cut"] == 30 - len(expected) > 0
    assert sum(as_what.values()) == 60
    assert of(iter(()))[1] == as_what
    size = sum(file.stat().st_size for file in Encodings(tmp_path, {"a": 1}, {}).folder.glob("*.bin"))
    assert size == 4 * int(examples.sizes(True).sum()) + 14 * 30
    some, _ = found.examples(np.array([1, 2, 11, 29]))
    assert some == one_by_one(tokenizer, [rows[i] for i in (1, 2, 11, 29)])


def test_examples_are_lists_again_in_another_process(tmp_path: Path) -> None:
    """Parts of one file: what is written for the other process names it, and holds no ids."""
    ids = np.arange(40, dtype=np.int32)
    ids.tofile(tmp_path / "ids.bin")
    whole = Examples(np.memmap(tmp_path / "ids.bin", np.int32, "r"), np.array([0, 10, 20]), np.array([[2, 3, 1]] * 3))
    part = whole[np.array([2, 0])] + whole[1:2]
    part.save(tmp_path / "job")
    assert not (tmp_path / "job" / "ids.npy").exists()
    again = Examples.load(tmp_path / "job")
    assert again == [Example([b, b + 1], ([b + 2, b + 3, b + 4], [b + 5])) for b in (20, 0, 10)]
    assert again.sizes(True).tolist() == [6] * 3
    assert again.sizes(False).tolist() == [8] * 3
    assert again.keys == [tuple(key(e.prompt, a) for a in e.answers) for e in again]
