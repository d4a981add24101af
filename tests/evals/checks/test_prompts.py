"""Prompts of our own are translations of one another; files in IFEval's format are read or refused by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from croco.errors import UserError
from croco.evals.checks import following, prompts

LANGUAGES = ("da", "nl", "en", "fr", "de", "it", "es")


def instructions(prompt: Any) -> list[dict[str, Any]]:
    return json.loads(prompt.meta)["instructions"]


def test_versions_of_a_prompt_are_the_same_draw() -> None:
    versions = {language: list(prompts.own(language, 2 * len(prompts.KINDS), 0)) for language in LANGUAGES}
    for parallel in zip(*versions.values(), strict=True):
        assert len({p.prompt_id for p in parallel}) == 1
        assert len({p.messages[0]["content"] for p in parallel}) == len(LANGUAGES)
        assert len({tuple(i["id"] for i in instructions(p)) for p in parallel}) == 1
    for prompt in versions["da"]:
        assert "{" not in prompt.messages[0]["content"]
        for instruction in instructions(prompt):
            assert following.problem(instruction["id"], instruction["arguments"]) is None


def test_every_kind_has_its_turn_and_words_come_from_the_language() -> None:
    once = list(prompts.own("es", len(prompts.KINDS), 3))
    assert {kind.id for kind in prompts.KINDS.values()} == {i["id"] for p in once for i in instructions(p)}
    for prompt in once:
        for instruction in instructions(prompt):
            for word in instruction["arguments"].get("keywords", []):
                assert word in prompts.texts_of("es")["keywords"]
                assert f'"{word}"' in prompt.messages[0]["content"]


def test_a_longer_set_starts_with_a_shorter_one_and_seeds_differ() -> None:
    assert list(prompts.own("nl", 30, 0))[:7] == list(prompts.own("nl", 7, 0))
    assert list(prompts.own("nl", 7, 0)) != list(prompts.own("nl", 7, 1))


def test_no_prompt_contradicts_itself() -> None:
    for prompt in prompts.own("en", 200, 1):
        kinds = [i["id"] for i in instructions(prompt)]
        assert 1 <= len(kinds) == len(set(kinds)) <= 1 + prompts.MOST_EXTRA
        assert len({"change_case:capital_letters", "change_case:lowercase_letters"} & set(kinds)) < 2
        if "detectable_format:json_format" in kinds:
            assert not {"startend:end_checker", "punctuation:no_comma", "startend:quotation"} & set(kinds)


def test_templates_are_parallel() -> None:
    """A list with one entry more would shift every draw after it."""
    english = prompts.texts_of("en")
    for language in LANGUAGES:
        texts = prompts.texts_of(language)
        assert {key: len(value) for key, value in texts.items()} == {key: len(value) for key, value in english.items()}
        assert list(texts["languages"]) == list(english["languages"])
        assert set(texts["instructions"]) == set(prompts.KINDS)


def test_a_language_without_templates() -> None:
    with pytest.raises(UserError, match="none in 'sv'"):
        list(prompts.own("sv", 1, 0))


def row(**changed: Any) -> dict[str, Any]:
    whole = {
        "key": 7,
        "prompt": "Say hi without commas in two bullets.",
        "instruction_id_list": ["detectable_format:number_bullet_lists", "punctuation:no_comma"],
        "kwargs": [{"num_bullets": 2, "relation": None}, {}],
    }
    return {key: value for key, value in (whole | changed).items() if value is not None}


def written(folder: Path, *rows: dict[str, Any], name: str = "input_data.jsonl") -> Path:
    file = folder / name
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return file


def test_ifeval_format(tmp_path: Path) -> None:
    """Null arguments are absent, a file without languages is English, a folder's files are named by theirs."""
    (read,) = prompts.read(written(tmp_path, row()), ["en", "da"])
    assert (read.prompt_id, read.language) == ("ifeval-7", "en")
    assert [i["arguments"] for i in instructions(read)] == [{"num_bullets": 2}, {}]
    folder = tmp_path / "several"
    folder.mkdir()
    written(folder, row(kwargs=[{"num_bullets": 2}]), name="da.jsonl")
    written(folder, row(lang="de"), name="all.jsonl")
    assert {(p.prompt_id, p.language) for p in prompts.read(folder, ["da", "de"])} == {
        ("ifeval-7", "da"),
        ("ifeval-7", "de"),
    }
    assert list(prompts.read(folder, ["fr"])) == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {"instruction_id_list": ["detectable_format:number_bullet_lists", "made:up"]},
            "unknown instruction 'made:up'",
        ),
        ({"kwargs": [{"num_bullets": 2}, {}, {}]}, "2 instructions, but 3 kwargs"),
        ({"kwargs": [{}, {}]}, "takes ['num_bullets'], not []"),
        ({"prompt": None}, "no `prompt`"),
        ({"key": None}, "no `key`"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    file = written(tmp_path, row(key=1), row(**{"key": 2} | changed))
    with pytest.raises(UserError) as error:
        list(prompts.read(file, ["en"]))
    assert str(error.value).startswith(f"{file}:2: ")
    assert says in str(error.value)


def test_bad_rows_are_counted_and_the_others_stay(tmp_path: Path) -> None:
    """Of four rows two are left out, each with its place; the language goes on."""
    refused: list[str] = []
    file = written(tmp_path, row(key=1), row(key=2, prompt=None), row(key=1), row(key=3))
    assert [p.prompt_id for p in prompts.read(file, ["en"], refused)] == ["ifeval-1", "ifeval-3"]
    assert [line.split(": ")[0] for line in refused] == [f"{file}:2", f"{file}:3"]


def test_m_ifevals_files(tmp_path: Path) -> None:
    """The language is the instructions', numbers from Parquet are whole, and the same key elsewhere is another prompt."""
    spanish = {"instruction_id_list": ["es:length_constraints:number_words"]}
    spanish["kwargs"] = [{"relation": "al menos", "num_words": 350.0, "keywords": None}]
    (read,) = prompts.read(written(tmp_path, row(**spanish), name="anything.jsonl"), ["es"])
    assert (read.prompt_id, read.language) == ("ifeval-es-7", "es")
    assert instructions(read)[0]["arguments"] == {"relation": "al menos", "num_words": 350}
    (named,) = prompts.read(written(tmp_path, row(), name="fr_input_data.jsonl"), ["fr"])
    assert named.language == "fr"


def test_a_key_twice(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r":2: the key ifeval-7 was there before, at .*:1"):
        list(prompts.read(written(tmp_path, row(), row()), ["en"]))
