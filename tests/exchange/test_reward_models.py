"""A reward model for others: what its card says, and what loads it."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from croco import export
from croco.artifacts.store import Artifact, Store
from croco.errors import UserError
from croco.exchange import hub, reward_models
from croco.show.tables import Table
from tests.jobs.test_chain import run
from tests.stages.test_reward_model import ROWS, own, written
from tests.support.builders import build_reward

SHOWN = {
    "en": {"measure": "preference, balanced over length,", "accuracy": 0.81, "low": 0.78},
    "da": {"measure": "corruption", "accuracy": 0.7, "low": 0.61},
}


def sealed(store: Store, stage: str, summary: dict[str, Any], **before: Artifact) -> Artifact:
    made = store.artifact(stage, 1, {}, before)
    made.begin()
    if stage == reward_models.STAGE:
        for number, name in enumerate(summary["models"]):
            build_reward(made.path / name, seed=number)
    made.seal(summary, 1.0)
    return made


def trained(folder: Path, models: list[str], base: str) -> Artifact:
    """What a run leaves that trained these on 90 preferences, and measured it in two languages."""
    training = {"tune": "full", "languages": ["en"], "loss": {"centring": 0.01}, "seed": 42}
    sources = [{"path": "me/likes", "language": "en", "weight": 2.0}, "/home/me/secret/mine.jsonl"]
    part = {"kind": "trained", "base": base, "preferences": sources, "training": training}
    said = part | {"revision": None, "max_length": 256, "dtype": "float32", "members": len(models)}
    store = Store(folder, {"run": {"reward": {"kind": "combination", "options": {"parts": {"own": said}}}}})
    likes = {"train": 90, "heldout": {"en": 10}, "left_out": {"equal sides": 3}, "longer_chosen": 0.4}
    preferences = sealed(store, "preferences", likes)
    model = sealed(store, reward_models.STAGE, {"models": models, "rows": 90, "steps": 7}, preferences=preferences)
    table = asdict(Table("Reward model: accuracy by length", ["language", "balanced"], [["en", 0.81]]))
    ranking = {"shown": SHOWN, "headline": "Reward model: preference accuracy 0.830.", "tables": [table]}
    sealed(store, reward_models.RANKING, ranking, reward_model=model)
    return model


def test_a_card_says_data_accuracies_and_licence(tmp_path: Path) -> None:
    """Of the base the licence that its own card states; of files of this machine no path."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\nA base.\n")
    model = trained(tmp_path / "runs", ["model"], str(base))
    assert export.main([str(model.path), "--format", "checkpoint", "--to", str(tmp_path / "out")]) == 0
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.language == ["en", "da"]
    assert card.data.datasets == ["me/likes"]
    assert card.data.base_model is None
    assert [(r.dataset_config, r.metric_value) for r in card.data.eval_results] == [("en", 0.81), ("da", 0.7)]
    for told in ("me/likes (language en, weight 2.0), mine.jsonl", "3 equal sides", "en 10", "0.830", "centring: 0.01"):
        assert told in card.text
    assert str(tmp_path) not in card.content
    assert "/home/me" not in card.content
    again = export.main([str(model.path), "--format", "checkpoint", "--to", str(tmp_path / "out")])
    assert again == 2, "what is there stays"


def test_what_is_exported_is_the_checkpoint_as_it_was_trained(tmp_path: Path) -> None:
    """The same logits through transformers' own class, as TRL's RewardTrainer loads it; a file of its own, no link."""
    model = trained(tmp_path / "runs", ["model"], "org/base")
    reward_models.write(model, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = torch.tensor([tokenizer.encode("a answer b")])
    both = [
        AutoModelForSequenceClassification.from_pretrained(path)(input_ids=ids).logits
        for path in (tmp_path / "out", model.path / "model")
    ]
    assert both[0].shape == (1, 1)
    assert torch.equal(*both)
    weights = tmp_path / "out" / "model.safetensors"
    assert not weights.samefile(model.path / "model" / "model.safetensors")
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.base_model == "org/base"
    assert card.data.license is None
    assert "which does not state it here" in card.text


def test_members_lie_side_by_side(tmp_path: Path) -> None:
    model = trained(tmp_path / "runs", ["model-0", "model-1"], "org/base")
    reward_models.write(model, tmp_path / "out")
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / "model-1").num_labels == 1
    assert "2 members of seeds of their own (`model-0`, `model-1`)" in (tmp_path / "out" / "README.md").read_text()


def test_what_is_no_reward_model_is_one_line(tmp_path: Path) -> None:
    model = trained(tmp_path / "runs", ["model"], "org/base")
    other = next((model.root / "preferences").iterdir())
    with pytest.raises(UserError, match="no reward model there"):
        reward_models.write(Store.open(other), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_lays_its_reward_model_out_and_trl_goes_on_with_it(policy: Path, reward: Path, tmp_path: Path) -> None:
    """Beside adapter and pairs, with accuracies in both languages; TRL's RewardTrainer takes a step from it, where installed."""
    file = written(tmp_path / "mine.jsonl", ROWS)
    said = run(policy, reward, tmp_path / "runs", *own(policy, file))
    (card,) = (tmp_path / "runs").glob("hub/*/reward/README.md")
    assert str(card) in said
    assert ModelCard.load(card).data.language == ["en", "da"]
    assert str(tmp_path) not in card.read_text(encoding="utf-8")
    parts = hub.Exported(card.parent.parent / "model", card.parent.parent / "dataset", card.parent)
    assert hub.export(Store(tmp_path / "runs").find("report", "")) == parts
    if importlib.util.find_spec("trl") is None:
        pytest.skip("TRL is not installed")
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    rows = [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in ROWS]
    settings = RewardConfig(
        str(tmp_path / "trl"), max_steps=1, report_to=[], use_cpu=True, bf16=False, save_strategy="no"
    )
    trainer = RewardTrainer(model=str(card.parent), args=settings, train_dataset=Dataset.from_list(rows))
    assert trainer.train().global_step == 1
