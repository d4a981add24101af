"""Training sees the ids that were sampled, online as offline, unless texts are asked for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from croco.artifacts import records
from croco.artifacts.records import Pair
from croco.language import text
from croco.maths import losses
from croco.training.data import Example
from croco.training.encoding import encode
from croco.training.forward import padded
from croco.training.model import build_model
from croco.training.rows import rows
from croco.training.start import Start, begin
from tests.jobs.test_arms import REAL, ROUNDS
from tests.jobs.test_chain import run
from tests.support.builders import build_policy, build_tokenizer
from tests.training.test_training import config_of

USER = [{"role": "user", "content": "hvad hedder du?"}]
PAIR = {"prompt_id": "p", "language": "da", "prompt": USER, "source": "on_policy"}


def pairs_of(**columns: Any) -> Any:
    """A pairs artifact with one row."""
    row = {**PAIR, **columns}
    for side in ("chosen", "rejected"):
        row[side] = [{"role": "assistant", "content": row[side]}]
    table = pa.Table.from_pylist([row], schema=records.schema(Pair))
    found = {"pairs": table, "alone": table.slice(1)}
    return SimpleNamespace(
        table=lambda name, columns: found[name].select(columns),
        batches=lambda name, columns, rows: found[name].select(columns).to_batches(rows),
    )


def loose(tokenizer: Any, word: str) -> list[int]:
    return [tokenizer.convert_tokens_to_ids(letter) for letter in word]


def test_sampled_ids_reach_training_as_they_are_and_texts_are_encoded_and_closed(policy: Path) -> None:
    """`fox` sampled as f-o-x and cut off: as generated, three ids without an end; as text, the canonical ids and an end."""
    tokenizer = text.load_tokenizer(str(policy))
    end, ids = text.end_of_turn(tokenizer), loose(tokenizer, "fox")
    assert tokenizer.encode("fox", add_special_tokens=False) != ids
    pairs = pairs_of(
        chosen="fox", rejected="dog", chosen_token_ids=ids, rejected_token_ids=[*loose(tokenizer, "dog"), end]
    )

    def examples(*overrides: str) -> list[Example]:
        config = config_of(policy, *overrides)
        return encode(tokenizer, [(r.messages, r.answers) for r in rows(config, pairs, pairs, tokenizer)], 64)[0]

    assert examples()[0].answers == (ids, [*loose(tokenizer, "dog"), end])
    expected = tuple(text.answer_ids(tokenizer, said) for said in ("fox", "dog"))
    assert examples("method.tokens=text")[0].answers == expected
    assert expected[0][-1] == end
    assert examples("method=max_r")[0].answers == (ids,)


def test_ids_of_another_tokenizer_are_not_trained_on(policy: Path, tmp_path: Path) -> None:
    """The other model's vocabulary is the same but for one token; with the very same, its ids are the policy's, too."""
    other = build_policy(tmp_path)
    tokenizer = text.load_tokenizer(str(policy))
    ids = {"chosen_token_ids": loose(tokenizer, "fox"), "rejected_token_ids": loose(tokenizer, "dog")}
    pairs = pairs_of(chosen="fox", rejected="dog", **ids, source="off_policy")
    config = config_of(policy, "source=off_policy", f"source.model={other}")
    assert [len(a) for a in rows(config, pairs, pairs, tokenizer)[0].answers] == [3, 3]
    renamed = build_tokenizer(other)
    renamed.add_tokens(["fox!"])
    renamed.save_pretrained(other)
    assert rows(config, pairs, pairs, tokenizer)[0].answers == ("fox", "dog")


def test_online_and_offline_give_the_same_loss_on_the_same_answers(policy: Path, reward: Path, tmp_path: Path) -> None:
    """Each online step's loss is that of an offline step on the round's generations, looked up by sample, from the adapter of the
    round before."""
    small = ("prompts.train=2", "method.batch_size=2", "trainer.watch_every=null", "sampling.temperature=3.0")
    run(policy, reward, tmp_path, "method=online_dpo", *ROUNDS, *REAL, *small)
    config = config_of(policy, "method.batch_size=2")
    manifests = {p.parent: json.loads(p.read_text()) for p in tmp_path.glob("training/*/manifest.json")}
    ordered = sorted(manifests, key=lambda folder: manifests[folder]["summary"]["steps"])
    recorded = [json.loads(line) for line in (ordered[-1] / "metrics.jsonl").read_text().splitlines()]
    assert len(ordered) == len(recorded) == 2
    moved = 0
    for number, folder in enumerate(ordered):
        (address,) = [a for name, a in manifests[folder]["upstream"].items() if name.startswith("pairs")]
        (pairs,) = (tmp_path / "pairs").glob(f"*{address}")
        found = pq.read_table(pairs / "pairs.parquet").to_pylist()
        upstream = json.loads((pairs / "manifest.json").read_text())["upstream"]
        sampled = {
            (row["prompt_id"], row["language"], row["sample"]): row["token_ids"]
            for name, made in upstream.items()
            if name.startswith("generations")
            for folder_of in (tmp_path / "generations").glob(f"*{made}")
            for row in pq.read_table(folder_of / "generations.parquet").to_pylist()
        }
        tokenizer = text.load_tokenizer(str(policy))
        examples = []
        for pair in found:
            answers = tuple(
                sampled[pair["prompt_id"], pair[f"{s}_language"], pair[f"{s}_sample"]] for s in ("chosen", "rejected")
            )
            examples.append(Example(text.prompt_ids(tokenizer, pair["prompt"]), answers))
            moved += answers[0] != text.answer_ids(tokenizer, pair["chosen"][0]["content"])
        model = build_model(config, 0.0)
        begin(model, Start(adapter=ordered[number - 1] / "adapter" if number else None))
        with torch.no_grad():
            own = padded(model, examples).sums(2)
            with model.disable_adapter():
                reference = padded(model, examples).sums(2)
        expected = float(losses.dpo(*own, *reference, beta=0.1).mean())
        assert recorded[number]["loss"] == pytest.approx(expected, abs=1e-5)
    assert moved  # texts would have been other ids
    assert recorded[0]["loss"] == pytest.approx(math.log(2), abs=1e-6) != pytest.approx(recorded[1]["loss"], abs=1e-6)
