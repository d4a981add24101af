"""Text by others does nothing to who reads it: terminal, page, Markdown, LaTeX; files that are no text are refused by line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from croco.artifacts.records import read_jsonl
from croco.cli import commandline
from croco.errors import UserError
from croco.page import Answer, Page, render
from croco.show import tables
from croco.show.progress import Progress
from croco.show.tables import Table
from croco.show.visible import visible, whole

HOSTILE = {
    "clears the screen": "\x1b[2J\x1b]0;title\x07",
    "C1 control": "\x9b31m",
    "backspaces": "a\b\b\bb",
    "right to left": "user\u202egnp.exe",
    "isolate": "\u2066x\u2069",
    "zero width": "pay\u200bpal\ufeff",
    "tag letters": "\U000e0041",
    "NUL": "a\0b",
    "half a pair": "\ud83d",
    "line separator": "a\u2028b",
    "new lines": "a\n\r\ncroco: all is well",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "Markdown": "[x](javascript:alert(1)) ![i](http://host/p.png) `c` | d",
    "rich markup": "[bold red]x[/] [link=http://host]y[/link]",
    "LaTeX": r"\input{/etc/passwd} $x$ % &",
}
ACTS = {
    chr(n)
    for n in (
        *range(9),
        *range(11, 32),
        *range(127, 160),
        0x202E,
        0x2066,
        0x2069,
        0x200B,
        0xFEFF,
        0x2028,
        0xE0041,
        0xD83D,
    )
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(text, ("name", text), [(text, 1.0)], text)
    out = io.StringIO()
    Progress(Console(file=out, force_terminal=False)).say(text)
    commandline.say(text)
    page = render(Page(text, text, [table], answers=[Answer("da", text, text, text, text)], settings={"a": text}))
    for shown in (
        out.getvalue(),
        capsys.readouterr().err,
        tables.text([table]),
        tables.markdown(table),
        tables.latex([table]),
        page,
    ):
        shown.encode()  # a lone surrogate would raise
        assert not ACTS & set(shown.replace("\t", " "))
    assert "<script>alert" not in page + tables.markdown(table)
    assert "<img" not in page + tables.markdown(table)
    assert "\\input" not in tables.latex([table])


def test_the_line_of_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    commandline.say("a\ncroco: b\r\nc")
    assert capsys.readouterr().err == "croco: a\\ncroco: b\\r\\nc\n"


@pytest.mark.parametrize("text", ["plain", "Ærø, 日本, العربية, नमस्ते", "می\u200cخواهم", "👩\u200d👩\u200d👧", "a\tb"])
def test_words_of_any_language_stay(text: str) -> None:
    assert visible(text) == text


def test_halves_are_joined_or_replaced() -> None:
    assert whole("\ud83d\ude00 \ud83d") == "😀 \ufffd"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"prompt": "\\ud83d"}', "half of a surrogate pair in '.ud83d'"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"id": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a": 1, "a": 2}', "the name 'a' twice"),
        (b'{"a": NaN}', "NaN is no number"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16"),
        ('{"a": 1}'.encode("utf-16-be"), "UTF-16"),
        (b'{"a": 1}\r{"a": 2}\r', "carriage returns alone"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"\x00\x00\x00\x00", "UTF-16"),
        (b"\x1f\x8b\x08\x00", "compressed, which its name does not say"),
        (b"[1]", "expected a JSON object, got list"),
    ],
)
def test_a_line_that_is_none_is_named(line: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"a": 0}\n' + line + b"\n")
    with pytest.raises(UserError, match=says) as error:
        list(read_jsonl(file))
    assert str(error.value).startswith(f"{file}:2: ")
    assert "\n" not in str(error.value)


def test_what_is_fine_is_read(tmp_path: Path) -> None:
    """A byte-order mark, lines that end in CR LF, a line of 1 MB, any sign in a text."""
    long = "x" * 2**20
    rows: list[dict[str, Any]] = [{"a": long}, {"a": "\0\x1b\u2028"}]
    import json

    text = "\ufeff" + "\r\n".join(json.dumps(row) for row in rows) + "\r\n\r\n"
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8", newline="")
    assert [row for _, row in read_jsonl(tmp_path / "rows.jsonl")] == rows
