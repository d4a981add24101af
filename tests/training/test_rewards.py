"""Training a reward model: TRL's RewardTrainer as the oracle, packed rows against padded ones, and what is left on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from croco.config import Config
from croco.language import text
from croco.maths import losses
from croco.prompts.preferences import Preference
from croco.show.progress import Progress
from croco.training import launch, metrics, rewards
from croco.training.data import Example, Material, Plan
from croco.training.encoding import Encodings
from croco.training.preferences import encode_preference, filling, of_preferences
from croco.training.reward_model import build, configured
from croco.training.rewards import RewardModel, choose
from tests.support.builders import build_policy
from tests.training.test_training import WORDS, config_of

FAMILIES = ["llama", "gemma3_text"]


def config_for(base: Path, *more: str) -> Config:
    """As the stage hands it to the trainer."""
    lora = "reward.training.lora.targets=[q_proj,v_proj]"
    settings = (
        f"reward.base={base}",
        "reward.training.frozen=[]",
        "reward.training.tune=lora",
        "reward.training.batch_size=4",
        lora,
        *more,
    )
    return configured(config_of(base, "reward=trained", *settings), 0)


@pytest.fixture
def examples(policy: Path) -> list[Example]:
    tokenizer = text.load_tokenizer(str(policy))
    found = []
    for i, word in enumerate(WORDS):
        sides = " ".join(WORDS[: 2 + i % 5]), " ".join([*WORDS[i % 3 : 4 + i % 4], "no"])
        found.append(encode_preference(tokenizer, [{"role": "user", "content": f"{word}?"}], *sides))
    return found


def module_of(config: Config, examples: list[Example], random_head: bool = True) -> RewardModel:
    model = build(config)
    if random_head:
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and ("score" in name or "lora_B" in name):
                torch.nn.init.normal_(parameter, std=0.3)
    settings = {k: v for k, v in config.method.loss.items() if k != "_target_"}
    plan: Any = Plan(len(examples), config.method.batch_size, 1, 0)
    forward = choose(model, config.trainer)
    return RewardModel(model, losses.bradley_terry, settings, examples, plan, config, forward=forward)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("path", ["trainer.share_prompts=true", "trainer.share_prompts=false"])
def test_packed_rewards_are_the_classs_own(family: str, path: str, tmp_path: Path) -> None:
    """Also where one conversation is the beginning of the other, which then ends in the shared part."""
    base = build_policy(tmp_path / "base", family)
    tokenizer = text.load_tokenizer(str(base))
    asked = [{"role": "user", "content": "the quick brown fox, 1 2 3 4 5 6 7?"}]
    pairs = [("fox " * 9, "dog"), ("no", "yes yes"), ("hvad", "hvad hedder du " * 5)]
    examples = [encode_preference(tokenizer, asked, *pair) for pair in pairs]
    examples.append(Example([0, *range(10, 20)], ([], [21, 22])))
    ours = module_of(config_for(base, path), examples)
    plain = module_of(config_for(base, "trainer.packing=false"), examples)
    assert "packed" in ours.logps.name
    assert plain.logps.name == "padded rewards"
    packed, padded = (m.logps(m.model, examples).values for m in (ours, plain))
    assert torch.allclose(packed, padded, atol=1e-5)
    assert packed.std() > 0.01


def trls(config: Config, state: dict[str, torch.Tensor], folder: Path, centring: float) -> Any:
    """TRL's trainer on the base as a plain sequence classifier, with the same weights."""
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    tokenizer = AutoTokenizer.from_pretrained(config.model.path)
    model = AutoModelForSequenceClassification.from_pretrained(config.model.path, num_labels=1)
    model.load_state_dict(state)
    arguments = trl.RewardConfig(
        output_dir=str(folder),
        bf16=False,
        use_cpu=True,
        report_to="none",
        gradient_checkpointing=False,
        center_rewards_coefficient=centring,
    )
    some = Dataset.from_dict({"chosen_ids": [[0, 5]], "rejected_ids": [[0, 6]]})
    return trl.RewardTrainer(model=model, args=arguments, train_dataset=some, processing_class=tokenizer)


def loss_of(trainer: Any, examples: list[Example]) -> torch.Tensor:
    rows = [
        {"chosen_ids": e.prompt + e.answers[0], "rejected_ids": e.prompt + e.answers[1], "margin": e.margin}
        for e in examples
    ]
    loss: torch.Tensor = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
    return loss


def test_loss_gradients_and_twelve_steps_are_trls(policy: Path, examples: list[Example], tmp_path: Path) -> None:
    """All weights, margins and centring; the same AdamW behind both. The second six steps see the pairs again."""
    config = config_for(policy, "reward.training.tune=full", "reward.training.loss.centring=0.05")
    examples = [replace(e, margin=0.1 * i) for i, e in enumerate(examples)]
    ours = module_of(config, examples)
    theirs = trls(config, ours.model.state_dict(), tmp_path, 0.05)
    optimisers = [torch.optim.AdamW(m.parameters(), lr=1e-3, weight_decay=0.0) for m in (ours.model, theirs.model)]
    seen = []
    for step in range(12):
        places = [(2 * step + i) % len(examples) for i in range(2)]
        for optimiser in optimisers:
            optimiser.zero_grad()
        values, _ = ours._losses(places)
        values.mean().backward()
        other = loss_of(theirs, [examples[i] for i in places])
        other.backward()
        assert values.mean().item() == pytest.approx(other.item(), abs=1e-5)
        gradients = dict(theirs.model.named_parameters())
        for name, parameter in ours.model.named_parameters():
            assert torch.allclose(parameter.grad, gradients[name].grad, atol=1e-5), (step, name)
        seen.append(other.item())
        for optimiser in optimisers:
            optimiser.step()
    assert max(seen) - min(seen) > 0.05, "the losses must move for this to say anything"


def trained(config: Config, examples: list[Example], folder: Path) -> list[dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    material = Material(examples, examples[:4])
    launch.train(config, material, folder, folder.parent, Progress(), lambda values, step: None)
    return metrics.read(folder)


@pytest.mark.parametrize("tune", ["lora", "full", "head"])
def test_it_starts_at_ln_2_learns_and_leaves_a_checkpoint_that_scores_the_same(
    tune: str, policy: Path, examples: list[Example], tmp_path: Path
) -> None:
    rates = (
        "reward.training.learning_rate=1e-2",
        "reward.training.head_learning_rate=5e-2",
        "reward.training.epochs=4",
    )
    config = config_for(policy, f"reward.training.tune={tune}", "reward.training.loss.centring=0.0", *rates)
    rows = trained(config, examples, tmp_path / "run")
    assert rows[0]["loss"] == pytest.approx(0.6931472, abs=1e-6)
    assert rows[-1]["loss"] < 0.6
    saved = tmp_path / "run" / "model"
    model, report = AutoModelForSequenceClassification.from_pretrained(saved, output_loading_info=True)
    assert not report["missing_keys"]
    assert model.num_labels == 1
    tokenizer = AutoTokenizer.from_pretrained(saved)
    assert tokenizer.pad_token_id == model.config.pad_token_id == filling(tokenizer)
    first = examples[0]
    rewards = [model(torch.tensor([first.prompt + answer])).logits.item() for answer in first.answers]
    pairs = [Example(first.prompt, first.answers)]
    loss = losses.bradley_terry(
        *(torch.tensor([r]) for r in rewards), torch.zeros(1), torch.zeros(1), centring=0.0, label_smoothing=0.0
    )
    assert loss.item() < 0.69
    if tune == "lora":
        from peft import PeftModel

        base = AutoModelForSequenceClassification.from_pretrained(policy, num_labels=1)
        base.config.pad_token_id = model.config.pad_token_id
        adapted = PeftModel.from_pretrained(base, str(tmp_path / "run" / "adapter"))
        ids = torch.tensor([pairs[0].prompt + pairs[0].answers[0]])
        assert adapted(ids).logits.item() == pytest.approx(rewards[0], abs=1e-5)


def test_a_look_at_held_out_preferences_reads_them_once_where_the_head_alone_is_trained(
    policy: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rewards by features are those of the whole model, at whatever places, and another look runs no layer."""
    module = module_of(config_for(policy, "reward.training.tune=head"), examples)
    heldout = examples[1:4]
    with torch.no_grad():
        known = module.known(heldout)
        module.features, module.watched = module._features(examples), {}
        assert module.model.training
        once = module.referred(heldout[:2], None, [0, 1])
        assert once is not None
        assert once[0].tolist() == pytest.approx(known["chosen"][:2].tolist(), abs=1e-5)
        module.referred(heldout[2:], None, [2])
        monkeypatch.setattr(rewards, "_states", lambda *_: pytest.fail("reads again"))
        again = module.known(heldout, module.referred(heldout, None, [0, 1, 2]))
    for role in ("chosen", "rejected"):
        assert again[role].tolist() == pytest.approx(known[role].tolist(), abs=1e-5)


@pytest.mark.slow
def test_killed_and_resumed_is_the_run_that_was_not(policy: Path, examples: list[Example], tmp_path: Path) -> None:
    config = config_for(policy, "trainer.checkpoint_every=1", "reward.training.epochs=2")
    whole = trained(config, examples, tmp_path / "whole")

    class Killed(Exception):
        pass

    def note(values: dict[str, float], step: int) -> None:
        if step == 3:
            raise Killed

    folder = tmp_path / "killed"
    folder.mkdir()
    with pytest.raises(Killed):
        launch.train(config, Material(examples, examples[:4]), folder, tmp_path, Progress(), note)
    resumed = trained(config, examples, folder)
    assert [r["loss"] for r in resumed] == pytest.approx([r["loss"] for r in whole], abs=1e-6)


@pytest.mark.slow
def test_two_processes_with_spread_weights_make_the_steps_of_one(
    policy: Path, examples: list[Example], tmp_path: Path
) -> None:
    one = trained(config_for(policy), examples, tmp_path / "one")
    for tune in ("lora", "full"):
        config = config_for(policy, "trainer.devices=2", "trainer.strategy=fsdp", f"reward.training.tune={tune}")
        two = trained(config, examples, tmp_path / tune)
        if tune == "lora":
            assert [r["loss"] for r in two] == pytest.approx([r["loss"] for r in one], abs=1e-5)
        assert (tmp_path / tune / "model" / "config.json").is_file()


def test_what_cannot_be_read_at_its_end_is_left_out_and_counted(policy: Path, tmp_path: Path) -> None:
    """Alike, too long, and two that stay, as the single function encodes them; the second time from the disk, without rows."""
    tokenizer = text.load_tokenizer(str(policy))
    asked = [{"role": "user", "content": "a"}]
    sides = [("b", "b"), ("b", "c"), ("b", "fox " * 99), ("c d", "b")]
    rows = [Preference(f"p{n}", "en", asked, *both, "train") for n, both in enumerate(sides)]
    encodings, quiet = Encodings(tmp_path, {"rows": "preferences"}, {}), Progress(Console(quiet=True))
    for which in (rows, []):
        source = replace(of_preferences(tokenizer, rows, 100), rows=which)
        found, _ = encodings.of(source, quiet, "reward_model")
        examples, counts = found.examples()
        assert list(examples) == [encode_preference(tokenizer, asked, *sides[n]) for n in (1, 3)]
        assert found.kept(np.array([0, 1, 3])).tolist() == [1, 3]
        assert counts == {"identical as tokens": 1, "conversation too long": 1}
    examples.margins, examples.tied = np.array([0.5, 1.5]), np.array([True, False])
    several = examples[np.array([0, 0])] + examples[np.array([1])]
    assert [(e.margin, e.tied) for e in several] == [(0.5, True), (0.5, True), (1.5, False)]


def test_rows_are_filled_with_a_token_no_conversation_ends_with(policy: Path) -> None:
    """A pad token that also ends the turn would move the reward: the class would read one token earlier than vLLM."""
    tokenizer = text.load_tokenizer(str(policy))
    assert tokenizer.decode(filling(tokenizer)) == "<pad>"
    tokenizer.pad_token = "<|end|>"
    assert filling(tokenizer) == tokenizer.bos_token_id


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["lora", "full", "head"])
def test_two_processes_equal_one(tune: str, policy: Path, examples: list[Example], tmp_path: Path) -> None:
    """Data parallel on the CPU (gloo), in batches whose shares are unequal: the same losses, gradients and checkpoint."""
    own = (f"reward.training.tune={tune}", "reward.training.batch_size=5", "reward.training.epochs=2")
    few = ("trainer.tokens_per_pack=64", "trainer.watch_every=2")
    expected = trained(config_for(policy, *own, *few), examples, tmp_path / "one")
    two = config_for(policy, *own, *few, "trainer.strategy=ddp", "trainer.devices=2")
    rows = trained(two, examples, tmp_path / "two")
    assert len(rows) == len(expected) > 4
    for row, other in zip(rows, expected, strict=True):
        for name in ("loss", "margin", "accuracy", "grad_norm", "learning_rate"):
            assert row[name] == pytest.approx(other[name], rel=1e-4, abs=1e-6), (row["step"], name)
    a, b = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    assert a.keys() == b.keys()
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)
    assert a["score.weight"].abs().max() > 0, "the head has moved"
