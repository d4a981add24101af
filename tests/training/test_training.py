"""Training: the same numbers however examples fall into packs, and after a kill."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from croco.config import CONF, Config, seeds, strict
from croco.errors import UserError
from croco.language import text
from croco.show.progress import Progress
from croco.stages.training import slice_of
from croco.training import launch, metrics
from croco.training.data import Example, Material, Plan, packs, share
from croco.training.encoding import encode
from croco.training.forward import padded
from croco.training.model import build_model
from croco.training.packed import choose
from croco.training.schedule import schedule
from tests.support.builders import build_adapter, build_policy

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "hvad", "hedder", "du"]


def config_of(policy: Path, *overrides: str) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = [f"model.path={policy}", "method.batch_size=4", "trainer.threads=1", *overrides]
        return strict(compose("config", overrides=settings))


@pytest.fixture
def examples(policy: Path) -> list[Example]:
    tokenizer = text.load_tokenizer(str(policy))
    rows = [
        (
            [{"role": "user", "content": f"{w}?"}],
            (" ".join(WORDS[: 2 + i % 5]), " ".join([*WORDS[i % 3 : 4 + i % 4], "no"])),
        )
        for i, w in enumerate(WORDS)
    ]
    return encode(tokenizer, rows, 64)[0]


def fit(config: Config, examples: list[Example], folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    folder.mkdir(parents=True, exist_ok=True)
    last = launch.train(config, Material(examples, ()), folder, folder.parent, Progress(), lambda values, step: None)
    return last, metrics.read(folder)


def test_sums_equal_one_sequence_at_a_time(policy: Path, examples: list[Example]) -> None:
    """Padding must not matter: each answer by itself, from the full log-softmax."""
    model = build_model(config_of(policy), 0.0)
    logps = padded(model, examples)
    sums, tokens = logps.sums(2), logps.tokens(2)
    for column, example in enumerate(examples):
        for row, answer in enumerate(example.answers):
            ids = torch.tensor([example.prompt + answer])
            logps = torch.log_softmax(model(input_ids=ids).logits[0, :-1].double(), -1)
            expected = sum(logps[len(example.prompt) - 1 + i, t].item() for i, t in enumerate(answer))
            assert sums[row, column].item() == pytest.approx(expected, abs=1e-4)
            assert tokens[row, column].item() == len(answer)


def test_dpo_starts_at_ln_2_and_learns(policy: Path, examples: list[Example], tmp_path: Path) -> None:
    config = config_of(policy, "method.epochs=6", "method.learning_rate=0.005")
    _, rows = fit(config, examples, tmp_path / "run")
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert rows[-1]["loss"] < 0.6
    assert rows[-1]["accuracy"] > 0.9


def test_the_result_does_not_depend_on_the_packs(policy: Path, examples: list[Example], tmp_path: Path) -> None:
    whole = fit(config_of(policy, "trainer.tokens_per_pack=100000"), examples, tmp_path / "a")[1]
    alone = fit(config_of(policy, "trainer.tokens_per_pack=1"), examples, tmp_path / "b")[1]
    for a, b in zip(whole, alone, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)


def test_a_reference_of_every_step_is_the_one_that_is_kept(
    policy: Path, examples: list[Example], tmp_path: Path
) -> None:
    """The same run; the folder of log-probs is there only where they are kept."""
    settings = ("method.epochs=2", "method.learning_rate=0.005", "trainer.watch_every=2")
    kept = fit(config_of(policy, *settings), examples, tmp_path / "kept" / "run")[1]
    fresh = fit(config_of(policy, *settings, "trainer.cache_reference=false"), examples, tmp_path / "fresh" / "run")[1]
    assert [row["loss"] for row in fresh] == pytest.approx([row["loss"] for row in kept], abs=1e-6)
    assert [row["margin"] for row in fresh] == pytest.approx([row["margin"] for row in kept], abs=1e-4)
    assert (tmp_path / "kept" / "reference").is_dir()
    assert not (tmp_path / "fresh" / "reference").exists()


@pytest.mark.parametrize(("method", "stop"), [("dpo", 2), ("dpo", 5), ("max_r", 4)])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    policy: Path, examples: list[Example], tmp_path: Path, method: str, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed behind step `stop`, between two checkpoints or at one; with dropout on (max_r) and off (dpo)."""
    config = config_of(
        policy, f"method={method}", "method.batch_size=4", "method.epochs=2", "trainer.checkpoint_every=2"
    )
    rows = examples if method == "dpo" else [Example(e.prompt, e.answers[:1]) for e in examples]
    _, expected = fit(config, rows, tmp_path / "whole")

    class Killed(Exception):
        pass

    seen = []

    def log(values: dict[str, float], step: int) -> None:
        seen.append(step)
        if step == stop:
            raise Killed

    folder = tmp_path / "killed"
    folder.mkdir()
    with pytest.raises(Killed):
        launch.train(config, Material(rows, ()), folder, tmp_path, Progress(), log)
    _, again = fit(config, rows, folder)
    assert [m["step"] for m in again] == [m["step"] for m in expected]
    assert [m["loss"] for m in again] == [m["loss"] for m in expected]
    a, b = (load_file(tmp_path / name / "adapter/adapter_model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("dropout", "acts"), [(0.0, False), (0.5, True)])
def test_dropout_acts_in_sft_and_not_in_dpo(policy: Path, examples: list[Example], dropout: float, acts: bool) -> None:
    """The paper's trainer switches it off for preferences (departure 1 of croco.training.policy): the loop builds the model
    with 0 for pairs and with `model.lora.dropout` for single answers; here, whether that reaches the forward pass."""
    model = build_model(config_of(policy), dropout)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # starts at 0, behind which dropout cannot be seen
            torch.nn.init.normal_(parameter)
    torch.manual_seed(0)
    first, second = (padded(model, examples[:2]).values for _ in range(2))
    assert torch.equal(first, second) is not acts


def test_adapters_are_float32_on_a_bfloat16_base(policy: Path) -> None:
    model = build_model(config_of(policy, "model.dtype=bfloat16"), 0.0)
    types = {p.requires_grad: p.dtype for p in model.parameters()}
    assert types == {True: torch.float32, False: torch.bfloat16}


def test_the_adapter_is_a_peft_folder_that_changes_the_model(
    policy: Path, examples: list[Example], tmp_path: Path
) -> None:
    from peft import PeftModel

    fit(config_of(policy, "method.learning_rate=0.01"), examples, tmp_path / "run")
    settings = json.loads((tmp_path / "run/adapter/adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"], settings["base_model_name_or_path"]) == (16, 32, str(policy))
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(policy), tmp_path / "run/adapter")
    ids = torch.tensor([examples[0].prompt])
    tuned = model(input_ids=ids).logits
    with model.disable_adapter():
        assert not torch.allclose(model(input_ids=ids).logits, tuned, atol=1e-4)


def test_wrong_targets_are_named(policy: Path) -> None:
    with pytest.raises(UserError, match=r"model\.lora\.targets"):
        build_model(config_of(policy, "model.lora.targets=[nowhere]"), 0.0)


def test_encode_counts_what_it_cuts_and_leaves_out(policy: Path) -> None:
    """Room for two tokens behind the prompt: both answers of the first row share their beginning, so that nothing is left to
    prefer; the second row's differ; the third row's prompt has no room at all."""
    tokenizer = text.load_tokenizer(str(policy))
    user = [{"role": "user", "content": "hvad?"}]
    room = len(text.prompt_ids(tokenizer, user)) + 2
    rows = [
        (user, ("the quick fox", "the quick dog")),
        (user, ("the quick fox", "over the lazy dog")),
        ([{"role": "user", "content": "x" * 99}], ("a", "b")),
    ]
    examples, counts = encode(tokenizer, rows, room)
    assert counts == {"answers cut": 4, "identical after the cut": 1, "prompt too long": 1}
    assert [len(a) for a in examples[0].answers] == [2, 2]
    with pytest.raises(UserError, match="no example is left"):
        encode(tokenizer, rows, 1)


def test_order_and_adapter_have_seeds_of_their_own(policy: Path, tmp_path: Path) -> None:
    """The first weights and the order are functions of their own seeds alone, each stands in the address, and what is not given
    is `seed`, with one address either way. An adapter that goes on draws nothing."""
    config = config_of(policy)

    def seeded(seed: int, data: int | None = None, adapter: int | None = None) -> Config:
        lora = replace(config.model.lora, seed=adapter)
        return replace(
            config, seed=seed, model=replace(config.model, lora=lora), method=replace(config.method, seed=data)
        )

    def weights(config: Config) -> torch.Tensor:
        return next(p for name, p in build_model(config, 0.0).named_parameters() if "lora_A" in name)

    assert [seeds.of_data(one) for one in (seeded(1), seeded(2, data=1), seeded(1, adapter=2))] == [1, 1, 1]
    assert torch.equal(weights(seeded(1, adapter=2)), weights(seeded(2, data=1)))
    assert not torch.equal(weights(seeded(1)), weights(seeded(2, data=1)))
    assert slice_of(seeded(1, adapter=2)) == slice_of(seeded(2, data=1)) != slice_of(seeded(1))
    assert slice_of(seeded(5, data=1, adapter=1)) == slice_of(seeded(1))
    assert slice_of(seeded(1, data=2)) != slice_of(seeded(1))
    config = replace(config, model=replace(config.model, adapter=str(build_adapter(policy, tmp_path))))
    assert slice_of(seeded(1, adapter=2)) == slice_of(seeded(1))


def test_plan_takes_every_example_once_an_epoch() -> None:
    plan = Plan(examples=10, batch_size=4, epochs=2, seed=1)
    taken = [i for step in range(plan.steps) for i in plan.batch(step)]
    assert plan.steps == 5
    assert sorted(taken[:10]) == sorted(taken[10:]) == list(range(10))
    assert taken[:10] != taken[10:]


@pytest.mark.parametrize(("examples", "batch_size", "epochs"), [(10, 4, 2.5), (3, 8, 3), (7, 7, 0.5), (1, 1, 1)])
def test_a_plan_is_its_epochs_one_behind_the_other(examples: int, batch_size: int, epochs: float) -> None:
    """Against all epochs' permutations written down: also where a batch spans more than one; tokens by walking through it."""
    plan, sizes = Plan(examples, batch_size, epochs, seed=3), [5 * i + 1 for i in range(examples)]
    every = [i for epoch in range(4) for i in np.random.default_rng([3, epoch]).permutation(examples).tolist()]
    whole = every[: math.ceil(examples * epochs)]
    taken = [plan.batch(step) for step in range(plan.steps)]
    assert taken == [whole[i : i + batch_size] for i in range(0, len(whole), batch_size)]
    assert plan.tokens(sizes) == sum(sizes[i] for i in whole)


def test_packs_of_many_are_full_and_hold_the_budget() -> None:
    """Best-fit decreasing: of sizes in this mixture more than 97 % of the room is used."""
    sizes = np.random.default_rng(0).integers(1, 60, 500).tolist()
    groups = packs(range(500), sizes, 100)
    assert sorted(i for g in groups for i in g) == list(range(500))
    assert max(sum(sizes[i] for i in g) for g in groups) <= 100
    assert sum(sizes) / (100 * len(groups)) > 0.97


def test_packs_by_hand() -> None:
    """7, 5, 4, 3, 1 in 10: 7 and 3, since 3 fits best there; 5 and 4, and 1 with them; 12 alone."""
    assert packs(range(6), [4, 12, 7, 3, 5, 1], 10) == [[1], [2, 3], [4, 0, 5]]


def test_packs_hold_the_budget_and_lose_nothing() -> None:
    sizes = [4, 10, 2, 5, 3]
    groups = packs(range(5), sizes, 8)
    assert sorted(i for g in groups for i in g) == list(range(5))
    assert all(len(g) == 1 or sum(sizes[i] for i in g) <= 8 for g in groups)


def test_shares_by_hand() -> None:
    """10 goes to the first, 5 and 4 to the second (5, then 9 < 10), 3 to the second (9), 2 to the first (10 < 12)."""
    assert share([0, 1, 2, 3, 4], [4, 10, 2, 5, 3], 2) == [[1, 2], [3, 0, 4]]
    assert share([7], [0] * 7 + [3], 2) == [[7], []]


def test_an_example_counts_its_prompt_once_where_it_is_shared() -> None:
    example = Example([1, 2, 3], ([4], [5, 6]))
    assert (example.size(shared=True), example.size(shared=False)) == (6, 9)


def test_schedule_by_hand() -> None:
    """20 steps, warm-up of 0.1: 2 steps at 1/3 and 2/3 of the peak, then a cosine that is 1 at step 2 and 1/2 halfway."""
    factor = schedule("cosine", 20, 0.1)
    assert [factor(s) for s in (0, 1, 2, 11)] == pytest.approx([1 / 3, 2 / 3, 1.0, 0.5])


def test_kept_steps_are_what_a_shorter_training_ends_with(
    policy: Path, examples: list[Example], tmp_path: Path
) -> None:
    """At a constant rate the first epoch's steps are the same however many epochs follow; a kept adapter survives a resume."""
    constant = (
        "method.schedule=constant",
        "method.warmup_ratio=0",
        "method.learning_rate=0.01",
        "trainer.checkpoint_every=1",
    )
    whole = config_of(policy, "method.epochs=2", "evals.checkpoints=[3]", *constant)
    fit(whole, examples, tmp_path / "long")
    fit(config_of(policy, "method.epochs=1", *constant), examples, tmp_path / "short")
    kept, last, short = (
        load_file(tmp_path / folder / "adapter_model.safetensors")
        for folder in ("long/steps/step-3", "long/adapter", "short/adapter")
    )
    assert kept.keys() == short.keys()
    assert all(torch.equal(kept[name], short[name]) for name in kept)
    assert any(not torch.equal(kept[name], last[name]) for name in kept)


@pytest.mark.parametrize("packing", [True, False])
def test_attention_dropout_is_off_in_preference_training(packing: bool, tmp_path: Path) -> None:
    """A checkpoint that names one starts at its reference; with dropout wanted (SFT) the base's own stays on."""
    path = build_policy(tmp_path, attention_dropout=0.5)
    config = config_of(path, f"trainer.packing={packing}")
    rows = [Example([5, 6, 7], ([8, 9, 10, 1], [11, 12, 1]))]
    for dropout, same in ((0.0, True), (0.05, False)):
        model = build_model(config, dropout)
        forward = choose(model, config.trainer)
        first, second = (forward(model, rows).values for _ in range(2))
        assert torch.equal(first, second) is same


@pytest.mark.parametrize("method", ["sft", "max_r", "dpo"])
def test_training_stops_before_it_learns_from_no_numbers(
    method: str, policy: Path, examples: list[Example], tmp_path: Path
) -> None:
    """Updates of 1e20 take the weights out of what float32 can multiply: the state behind the first step is not kept."""
    rows = examples if method == "dpo" else [Example(e.prompt, e.answers[:1]) for e in examples]
    config = config_of(
        policy, f"method={method}", "method.learning_rate=1e20", "method.batch_size=4", "trainer.checkpoint_every=1"
    )
    with pytest.raises(UserError, match=r"training: (behind step 1 the policy|the loss of step \d)"):
        fit(config, rows, tmp_path / "run")
    assert not (tmp_path / "run" / "adapter").exists()
    assert not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


def test_the_last_good_state_stays_when_a_later_step_breaks(
    policy: Path, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gradient that is no number in step 4: the checkpoint behind step 2 is there, whole, and no later one."""
    from croco.training.policy import Policy

    gradients = Policy._gradients

    def broken(self: Policy, batch: list[int], world: int) -> Any:
        totals = gradients(self, batch, world)
        if self.global_step == 3:
            next(p for p in self.parameters() if p.requires_grad).grad.fill_(float("nan"))
        return totals

    monkeypatch.setattr(Policy, "_gradients", broken)
    config = config_of(policy, "method.epochs=2", "trainer.checkpoint_every=2")
    with pytest.raises(UserError, match=r"the loss of step 4 is 0\.\d+ and its gradient's norm nan"):
        fit(config, examples, tmp_path / "run")
    kept = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=False)
    assert kept["global_step"] == 2
    assert all(bool(torch.isfinite(value).all()) for value in kept["state_dict"].values())
    assert len(metrics.read(tmp_path / "run")) == 3


def test_a_reference_without_numbers_is_not_kept(examples: list[Example], tmp_path: Path) -> None:
    path = build_policy(tmp_path / "policy")
    model = AutoModelForCausalLM.from_pretrained(path)
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    model.save_pretrained(path)
    with pytest.raises(UserError, match="the reference gives an answer no log-prob"):
        fit(config_of(path), examples, tmp_path / "run")
    assert not list((tmp_path / "reference").rglob("*.parquet"))
