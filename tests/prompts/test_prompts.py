"""Prompts: what is read, what is kept apart, what is refused."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir
from rich.console import Console

from croco import tracking
from croco.artifacts.records import Prompt
from croco.artifacts.store import Store
from croco.config import CONF, PromptsConfig, strict
from croco.errors import UserError
from croco.jobs.chain import Chain
from croco.prompts import parsing, reading, sampling
from croco.show.progress import Progress
from croco.stages import prompts as stage
from tests.support.builders import build_tokenizer


def config(path: Path, **settings: object) -> PromptsConfig:
    defaults = {
        "source": "jsonl",
        "path": str(path),
        "name": None,
        "hub_split": "train",
        "revision": None,
        "language": None,
        "turns": "all",
        "deduplicate": False,
        "check_language": False,
        "train": 100,
        "heldout": 2,
        "max_tokens": None,
        "seed": 0,
        "system": "keep",
    }
    return PromptsConfig(**{**defaults, **settings})  # type: ignore[arg-type]


def parsed(settings: PromptsConfig) -> tuple[list[Prompt], dict[str, int]]:
    dropped: Counter[str] = Counter()
    return list(parsing.parse(settings, reading.read(settings), dropped)), dict(dropped)


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_translations_share_the_split_whatever_is_missing(tmp_path: Path) -> None:
    """One file per language, one row missing in Danish: ids join, not row numbers."""
    write(tmp_path / "en.jsonl", [{"id": f"q{i}", "prompt": f"question {i}"} for i in range(20)])
    write(tmp_path / "da.jsonl", [{"id": f"q{i}", "prompt": f"spørgsmål {i}"} for i in range(20) if i != 3])
    settings = config(tmp_path, heldout=4)
    rows = sampling.draw(settings, parsed(settings)[0])
    split = {(p.prompt_id, p.language): p.split for p in rows}
    assert sum(s == "heldout" for (_, lang), s in split.items() if lang == "en") == 4
    for (prompt_id, language), where in split.items():
        assert split[prompt_id, "en"] == where, (prompt_id, language)
    text = {(p.prompt_id, p.language): p.messages[0]["content"] for p in rows}
    assert text["q4", "da"] == "spørgsmål 4"


def test_the_same_text_twice_is_two_prompts_and_the_same_id_twice_is_one(tmp_path: Path) -> None:
    rows = [{"id": 1, "prompt": "a"}, {"id": 2, "prompt": "a"}, {"id": 2, "prompt": "b"}]
    found, dropped = parsed(config(write(tmp_path / "x.jsonl", rows), language="en"))
    assert [p.prompt_id for p in found] == ["1", "2"]
    assert dropped == {"duplicate": 1}


def test_messages_end_with_the_users_turn(tmp_path: Path) -> None:
    conversation = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
    ]
    rows = [{"messages": conversation, "language": "en"}, {"prompt": "  ", "language": "en"}]
    found, dropped = parsed(config(write(tmp_path / "x.jsonl", rows)))
    assert [m["role"] for m in found[0].messages] == ["system", "user"]
    assert dropped == {"no text": 1}


def test_without_ids_languages_are_never_joined(tmp_path: Path) -> None:
    rows = [{"prompt": "ja", "language": "de"}, {"prompt": "ja", "language": "da"}]
    found, _ = parsed(config(write(tmp_path / "x.jsonl", rows)))
    assert found[0].prompt_id != found[1].prompt_id


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "hi"}, "no language"),
        ({"prompt": "hi", "language": 3}, "`language` must be text"),
        ({"text": "hi", "language": "en"}, "needs `prompt` or `messages`, this row has language, text"),
        ({"prompt": ["hi"], "language": "en"}, "`prompt` must be text, this is list"),
        ({"messages": "hi", "language": "en"}, "`messages` must be a list of {role, content}"),
        ({"messages": [{"content": "hi"}], "language": "en"}, "`messages` must be a list of {role, content}"),
        ({"messages": [{"role": "human", "content": "hi"}], "language": "en"}, "role 'human'"),
        ({"messages": [{"role": "user", "content": [1]}], "language": "en"}, "`content` must be text"),
        ({"prompt": "hi", "language": "en", "id": [1]}, "an id must be text or a whole number"),
        ({"prompt": "hi", "language": "en", "reference": 1}, "`reference` must be text"),
    ],
)
def test_bad_rows_name_their_line(tmp_path: Path, row: dict[str, object], says: str) -> None:
    file = write(tmp_path / "x.jsonl", [{"prompt": "ok", "language": "en"}, row])
    with pytest.raises(UserError, match=rf"x\.jsonl:2: .*{re.escape(says)}"):
        parsed(config(file))


def test_fewer_prompts_than_asked_for_keep_a_fifth_at_most(tmp_path: Path) -> None:
    rows = [{"id": i, "prompt": str(i), "language": "en"} for i in range(10)]
    settings = config(write(tmp_path / "x.jsonl", rows), heldout=200)
    kept = sampling.draw(settings, parsed(settings)[0])
    assert sum(p.split == "heldout" for p in kept) == 2
    assert len(kept) == 10


def test_bad_parquet_names_file_and_row(tmp_path: Path) -> None:
    rows = pa.table({"prompt": ["ok", "hi"], "language": ["en", None]})
    pq.write_table(rows, tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"x\.parquet, row 2: no language"):
        parsed(config(tmp_path / "x.parquet", source="parquet"))
    (tmp_path / "y.parquet").write_text("no parquet at all")
    with pytest.raises(UserError, match=r"y\.parquet: cannot be read as Parquet after row 0"):
        parsed(config(tmp_path / "y.parquet", source="parquet", language="en"))


CONVERSATION = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "hello"},
    {"role": "user", "content": "and now?"},
    {"role": "assistant", "content": "bye"},
]


@pytest.mark.parametrize(
    ("turns", "asked", "answer"), [("all", CONVERSATION[:4], "bye"), ("first", CONVERSATION[1:2], "hello")]
)
def test_turns_and_the_answer_that_follows_them(
    tmp_path: Path, turns: str, asked: list[dict[str, str]], answer: str
) -> None:
    file = write(tmp_path / "x.jsonl", [{"messages": CONVERSATION}])
    (prompt,), _ = parsed(config(file, language="en", turns=turns))
    assert prompt.messages == asked
    assert prompt.reference == answer


def test_tool_calls_duplicates_and_other_languages_leave_and_are_counted(tmp_path: Path) -> None:
    """Shaped as Dolci-Instruct-SFT's rows, which have the two fields of tool calls in every turn, mostly null."""

    def row(number: int, content: str, role: str = "user", **more: object) -> dict[str, object]:
        turn = {"role": role, "content": content, "function_calls": None, "functions": None, **more}
        return {"id": f"r{number}", "messages": [turn, {"role": "assistant", "content": "yes"}], "source": "x"}

    english = "Please write a short story about a dog and a cat."
    rows = [
        row(1, english),
        row(2, f"  {english.replace(' dog', chr(10) + 'dog')} "),
        row(3, "What is the weather like?", functions='[{"name": "weather"}]'),
        row(4, "42 degrees", role="environment"),
        row(5, "Skriv en kort historie om en hund og en kat, som bliver venner."),
        row(6, "ok"),
        row(7, ""),
    ]
    file = write(tmp_path / "x.jsonl", rows)
    settings, dropped = config(file, language="en", deduplicate=True, check_language=True), Counter()
    found = sampling.draw(
        settings, parsing.parse(settings, reading.read(settings), dropped), parsing.fits(settings, dropped)
    )
    assert sorted(p.prompt_id for p in found) == ["r1", "r6"]
    assert dropped == {"duplicate": 1, "tool call": 2, "in another language": 1, "no text": 1}


def test_the_draw_is_the_same_in_any_order_and_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the whole list sorted by hash, of which the first 7 are held out and the last 40 trained on."""
    ids = [f"q{i}" for i in range(500)]
    prompts = [Prompt(i, language, [{"role": "user", "content": i}], "") for language in ("en", "da") for i in ids]
    settings = config(Path("x"), train=40, heldout=7, seed=3)
    order = sorted(ids, key=lambda i: hashlib.sha256(f"3/{i}".encode()).digest())
    expected = {**dict.fromkeys(order[-40:], "train"), **dict.fromkeys(order[:7], "heldout")}
    monkeypatch.setattr(sampling, "ROOM", 10)
    for seed in range(3):
        random.Random(seed).shuffle(prompts)
        drawn = sampling.draw(settings, prompts)
        assert {(p.prompt_id, p.language): p.split for p in drawn} == {
            (i, language): split for i, split in expected.items() for language in ("en", "da")
        }


@pytest.mark.parametrize(("heldout", "train"), [(7, 40), (20, 200), (5, 4)])
def test_prompts_are_asked_about_in_the_order_of_the_draw(
    monkeypatch: pytest.MonkeyPatch, heldout: int, train: int
) -> None:
    """Every third prompt of 500 does not fit: the draw is that among the 333 others, and where 47 are drawn, few are asked about.
    Of 20 held out and 200 there are enough; 5 of 9 are more than a fifth, so that all have to be asked about."""
    ids = [f"q{i}" for i in range(500)]
    prompts = [Prompt(i, "en", [{"role": "user", "content": i}], "") for i in ids]
    settings = config(Path("x"), train=train, heldout=heldout, seed=3)
    asked = []

    def fits(prompt: Prompt) -> bool:
        asked.append(prompt.prompt_id)
        return int(prompt.prompt_id[1:]) % 3 != 0

    monkeypatch.setattr(sampling, "ROOM", 100)
    expected = sampling.draw(settings, [p for p in prompts if int(p.prompt_id[1:]) % 3])
    assert len(expected) == heldout + train
    for seed in range(3):
        random.Random(seed).shuffle(prompts)
        asked.clear()
        drawn = sampling.draw(settings, prompts, fits)
        assert {p.prompt_id: p.split for p in drawn} == {p.prompt_id: p.split for p in expected}
        assert len(asked) == len(set(asked))
        assert (len(asked) < 250) is (train == 40)


def test_fewer_prompts_that_fit_than_asked_for_keep_a_fifth_at_most() -> None:
    """Of 20 prompts 10 fit, 40 are asked for: 2 of the 10 are held out."""
    prompts = [Prompt(f"q{i}", "en", [{"role": "user", "content": "x"}], "") for i in range(20)]
    drawn = sampling.draw(config(Path("x"), train=33, heldout=7), prompts, lambda p: int(p.prompt_id[1:]) % 2 == 0)
    assert sorted(p.split for p in drawn) == ["heldout"] * 2 + ["train"] * 8


def hub(tmp_path: Path, **settings: object) -> PromptsConfig:
    """A data set in the layout of the hub, on this disk: `datasets` loads it as it does one from the hub."""
    folder = tmp_path / "set"
    folder.mkdir(exist_ok=True)
    write(folder / "train.jsonl", [{"id": "a", "messages": CONVERSATION}, {"id": "b", "messages": CONVERSATION}])
    return config(folder, source="hub", language="en", **settings)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.mark.usefixtures("hub_cache")
def test_a_data_set_in_the_layout_of_the_hub(tmp_path: Path) -> None:
    found, dropped = parsed(hub(tmp_path))
    assert [(p.prompt_id, p.language, len(p.messages), p.reference) for p in found] == [
        ("a", "en", 4, "bye"),
        ("b", "en", 4, "bye"),
    ]
    assert not dropped


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hub_split": "test"}, r"prompts\.hub_split: '.*set' has no split 'test' \(.*\['train'\]"),
        ({"name": "small"}, r"prompts\.name: '.*set' has no configuration 'small' \(.*'default'"),
        ({"path": "nobody/nothing"}, r"prompts\.path: cannot load 'nobody/nothing' from the hub \("),
    ],
)
def test_what_the_hub_has_not_is_one_line(tmp_path: Path, settings: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        parsed(replace(hub(tmp_path), **settings))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("hub_cache")
def test_a_data_set_without_prompts_names_its_columns(tmp_path: Path) -> None:
    settings = hub(tmp_path)
    write(Path(str(settings.path)) / "train.jsonl", [{"instruction": "hi", "output": "hello"}])
    with pytest.raises(UserError, match=r"set, row 1: a prompt needs .*, this row has instruction, output"):
        parsed(settings)


def test_a_gated_data_set_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The class and the words with which `datasets` refuses one."""
    import datasets

    def refuse(*_: object, **__: object) -> None:
        raise datasets.exceptions.DatasetNotFoundError(
            "Dataset 'a/b' is a gated dataset on the Hub. You must be authenticated to access it."
        )

    monkeypatch.setattr("croco.config.reach.missing", lambda: None)
    monkeypatch.setattr(datasets, "get_dataset_config_names", refuse)
    with pytest.raises(UserError, match=r"'a/b' is gated: accept its terms at https://huggingface\.co/datasets/a/b"):
        parsed(replace(config(Path("x"), source="hub"), path="a/b"))


@pytest.mark.usefixtures("hub_cache")
def test_the_stage_on_a_hub_set(tmp_path: Path) -> None:
    """Through the whole command's parts: a language the data has not is one line; another file in the set is another address."""
    settings = hub(tmp_path)
    rows = [{"id": f"q{i}", "messages": [{"role": "user", "content": f"question {i}"}]} for i in range(10)]
    write(Path(str(settings.path)) / "train.jsonl", rows)
    build_tokenizer(tmp_path / "policy")
    overrides = [
        "model=custom",
        f"model.path={tmp_path / 'policy'}",
        "engine=fake",
        "prompts.max_tokens=null",
        f"prompts.path={settings.path}",
        "evals=none",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        whole = strict(compose("config", overrides=[*overrides, "lang.languages=[en,da]"]))
    chain = Chain(whole, Store(tmp_path / "runs"), Progress(Console(file=io.StringIO())), tracking.silence())
    with pytest.raises(UserError, match=r"set: no prompt in 'da', only in en$"):
        chain.run([stage.STAGE])
    (made,) = (tmp_path / "runs" / "prompts").glob("*/manifest.json")
    assert json.loads(made.read_text())["summary"] == {
        "rows": 10,
        "train": 8,
        "heldout": 2,
        "dropped": {},
        "references": 0,
        "notes": ["8 to train on, prompts.train asks for 20,000", "2 held out, prompts.heldout asks for 200"],
        "roles": {"user": {"prompts": 10, "first": "q4", "language": "en"}},
    }
    before = stage.slice_of(whole)
    write(Path(str(settings.path)) / "train.jsonl", rows[:5])
    assert stage.slice_of(whole) != before


def test_rows_that_name_no_language_are_in_the_runs_only_one(tmp_path: Path) -> None:
    """The name of a file says it first; a folder's `train.jsonl` says nothing; without any of these it is asked for."""
    for name, found in (("x.jsonl", "da"), ("prompts_de.jsonl", "de")):
        settings = config(write(tmp_path / name, [{"prompt": "?"}]))
        (prompt,) = parsing.parse(settings, reading.read(settings), Counter(), "da")
        assert prompt.language == found
    folder = tmp_path / "some"
    folder.mkdir()
    write(folder / "train.jsonl", [{"prompt": "?"}])
    assert [p.language for p in parsed(config(folder, language="fr"))[0]] == ["fr"]
    with pytest.raises(
        UserError, match=r"no language: give a `language` column, one file per language, or prompts\.language"
    ):
        parsed(config(folder))
