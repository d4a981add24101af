"""Pairs in other tools' formats: their rows, and the tools themselves where they are installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from croco import export
from croco.exchange.formats import FORMATS
from tests.support.tables import World


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    world = World(tmp_path)
    for p in range(4):
        world.pool(f"p{p}", "da", [1.0, 3.0, 2.0]).pool(f"p{p}", "en", [0.0, 2.0])
    world.build()
    return tmp_path / "pairs.parquet"


def _export(pairs: Path, style: str, to: Path) -> list[dict[str, Any]]:
    import datasets

    assert export.main([str(pairs), "--format", style, "--to", str(to)]) == 0
    kind = "json" if to.suffix == ".jsonl" else "parquet"
    return list(datasets.load_dataset(kind, data_files=str(to), split="train", cache_dir=str(to.parent / "cache")))


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("style", sorted(FORMATS))
def test_every_format_loads_with_datasets(pairs: Path, tmp_path: Path, style: str, suffix: str) -> None:
    rows = _export(pairs, style, tmp_path / f"out{suffix}")
    assert len(rows) == 8
    assert rows[0] == json.loads(json.dumps(FORMATS[style].row(next(iter(_rows(pairs))))))


def _rows(pairs: Path) -> Any:
    from croco.exchange.formats import read

    return read(pairs)


def test_llamafactory_rows_and_settings(pairs: Path, tmp_path: Path) -> None:
    """The schema of its data/README: sharegpt, ranking, human and gpt turns."""
    row = _export(pairs, "llamafactory", tmp_path / "croco.jsonl")[0]
    assert row["conversations"] == [{"from": "human", "value": "question p0 in da"}]
    assert row["chosen"] == {"from": "gpt", "value": "p0 da 1"}
    assert row["rejected"] == {"from": "gpt", "value": "p0 da 0"}
    assert json.loads((tmp_path / "dataset_info.json").read_text()) == {
        "croco": {
            "file_name": "croco.jsonl",
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
        }
    }


def test_axolotl_rows_and_settings(pairs: Path, tmp_path: Path) -> None:
    row = _export(pairs, "axolotl", tmp_path / "croco.jsonl")[0]
    assert row["messages"] == [{"role": "user", "content": "question p0 in da"}]
    assert row["chosen"] == {"role": "assistant", "content": "p0 da 1"}
    settings = yaml.safe_load((tmp_path / "croco.axolotl.yaml").read_text())
    (data,) = settings["datasets"]
    assert (settings["rl"], data["type"], data["field_messages"]) == ("dpo", "chat_template.default", "messages")
    assert {data["field_messages"], data["field_chosen"], data["field_rejected"]} <= set(row)


def test_bad_requests_end_with_one_line(tmp_path: Path, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([str(tmp_path / "none"), "--to", str(tmp_path / "x.jsonl")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert export.main([str(pairs), "--to", str(tmp_path / "x.csv")]) == 2
    assert ".jsonl or a .parquet" in capsys.readouterr().err


def _trainer_arguments(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "dataset_num_proc": None,
    }


@pytest.mark.slow
def test_trl_takes_a_dpo_step_on_the_sealed_table_itself(pairs: Path, tmp_path: Path, policy: Path) -> None:
    """The first loss is ln 2: the policy is its own reference."""
    import datasets
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    data = datasets.load_dataset("parquet", data_files=str(pairs), split="train", cache_dir=str(tmp_path / "cache"))
    trainer = DPOTrainer(
        AutoModelForCausalLM.from_pretrained(policy),
        args=DPOConfig(**_trainer_arguments(tmp_path / "dpo")),
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(policy),
    )
    assert trainer.train().training_loss == pytest.approx(0.6931, abs=1e-3)


@pytest.mark.slow
def test_trl_takes_an_sft_step(pairs: Path, tmp_path: Path, policy: Path) -> None:
    import datasets
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = _export(pairs, "trl_sft", tmp_path / "sft.jsonl")
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(policy),
        args=SFTConfig(**_trainer_arguments(tmp_path / "sft")),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(policy),
    )
    assert 0 < trainer.train().training_loss < 20
