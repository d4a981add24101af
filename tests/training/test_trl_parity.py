"""The independent oracle: TRL's DPOTrainer (and its SimPO and ORPO formulas) on the same batch, and along a trajectory."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.trl_side import TRL
from croco.config import Config
from croco.language import text
from croco.maths import losses
from croco.training.data import Example, Plan
from croco.training.encoding import encode
from croco.training.model import build_model
from croco.training.packed import choose
from croco.training.policy import Policy
from tests.training.test_packed import random_examples
from tests.training.test_training import config_of, fit

trl = pytest.importorskip("trl")

REAL = Path(__file__).parents[3] / "shared" / "real"


def started(config: Config, std: float = 0.05) -> tuple[Any, dict[str, torch.Tensor]]:
    """A policy whose adapter is away from zero, and the adapter."""
    model = build_model(config, 0.0)
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=std)
    return model, {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def ours(model: Any, examples: list[Example], config: Config) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """(loss per pair, what the loss was computed from), over packed rows with the fused adapter."""
    forward = choose(model, config.trainer)
    with torch.no_grad(), model.disable_adapter():
        reference = forward(model, examples).sums(2)
    plan = SimpleNamespace(steps=1)
    settings = {k: v for k, v in config.method.loss.items() if k != "_target_"}
    loss = getattr(losses, config.method.loss["_target_"].rpartition(".")[2])
    policy = Policy(model, loss, settings, examples, plan, config, forward=forward)  # type: ignore[arg-type]
    known = policy.known(examples, reference)
    return loss(*(known[name] for name in policy.needs), **settings), known


SAME = {
    "dpo": {"loss_type": ["sigmoid"]},
    "ipo": {"loss_type": ["ipo"]},
    "hinge": {"loss_type": ["hinge"]},
    "robust": {"loss_type": ["robust"], "label_smoothing": 0.1},
    "ln_dpo": {"loss_type": ["sigmoid_norm"], "beta": 5.0},
}


@pytest.mark.parametrize("method", sorted(SAME))
def test_loss_and_gradients_are_trls(method: str, policy: Path, tmp_path: Path) -> None:
    config = config_of(policy, f"method={method}", "method.batch_size=3")
    model, adapter = started(config)
    examples = random_examples()
    values, _ = ours(model, examples, config)
    values.mean().backward()
    other = TRL(config, adapter, tmp_path, micro_batch=3, **SAME[method])
    theirs = other.loss(examples)
    theirs.backward()
    assert values.mean().item() == pytest.approx(theirs.item(), rel=1e-5)
    gradients = dict(other.model.named_parameters())
    scale = max(float(p.grad.abs().max()) for p in gradients.values() if p.grad is not None)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert torch.allclose(parameter.grad, gradients[name].grad, atol=1e-5 * scale, rtol=1e-4), name


def test_log_probs_and_rewards_are_trls(policy: Path, tmp_path: Path) -> None:
    """beta = 1 makes TRL's mean reward margin the margin in nats; log-probs through its model's own fused head."""
    config = config_of(policy, "method.batch_size=3", "method.loss.beta=1.0")
    model, adapter = started(config)
    examples = random_examples()
    _, known = ours(model, examples, config)
    other = TRL(config, adapter, tmp_path, micro_batch=3, beta=1.0)
    batch = other.batch(examples)
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    with torch.no_grad():
        out = other.model(
            **{name: batch[name] for name in ("input_ids", "attention_mask")},
            labels=labels,
            fused_lm_head=True,
            use_cache=False,
        )
    theirs = out.log_probs.sum(1)
    assert torch.allclose(torch.cat([known["chosen"], known["rejected"]]).float(), theirs, rtol=1e-5)
    other.loss(examples)
    margin = (known["chosen"] - known["reference_chosen"]) - (known["rejected"] - known["reference_rejected"])
    logged = other.trainer._metrics["train"]["rewards/margins"][-1]
    assert margin.mean().item() == pytest.approx(logged, rel=1e-4)
    assert other.trainer._metrics["train"]["rewards/accuracies"][-1] == pytest.approx(
        float((margin > 0).double().mean())
    )


def test_simpo_and_orpo_are_trls_formulas() -> None:
    """Their losses take per-token means; ORPO's comes without its likelihood term and with the other sign."""
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

    torch.manual_seed(0)
    chosen, rejected = -30 * torch.rand(5) - 1, -30 * torch.rand(5) - 1
    lengths = torch.tensor([3.0, 7.0, 20.0, 11.0, 40.0]), torch.tensor([9.0, 2.0, 25.0, 11.0, 4.0])
    means = chosen / lengths[0], rejected / lengths[1]
    here = SimpleNamespace(device="cpu")
    simpo = SimpleNamespace(
        alpha=0.0, loss_type="simpo", simpo_gamma=1.0, beta=2.0, label_smoothing=0.0, accelerator=here
    )
    expected = CPOTrainer.cpo_loss(simpo, *means)[0]
    assert torch.allclose(losses.simpo(chosen, rejected, *lengths, beta=2.0, gamma=1.0), expected, rtol=1e-5)
    term = ORPOTrainer.odds_ratio_loss(SimpleNamespace(beta=0.1, accelerator=here), *means)[0]
    assert torch.allclose(losses.orpo(chosen, rejected, *lengths, weight=0.1), -means[0] - term, rtol=1e-4)


def pairs_of(config: Config, count: int) -> list[Example]:
    """Real preferences where they are at hand, else made-up ones."""
    source = REAL / "preferences" / "mifeval_verified_pairs_en.jsonl"
    if not source.is_file():
        return [example for _ in range(count // 3) for example in random_examples()]
    tokenizer = text.load_tokenizer(config.model.path, None, config.model.chat_template)
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    wanted = [([{"role": "user", "content": r["prompt"]}], (r["chosen"], r["rejected"])) for r in rows]
    return encode(tokenizer, wanted, config.model.max_length)[0][:count]


@pytest.mark.slow
def test_twelve_steps_follow_trls(tmp_path: Path, policy: Path) -> None:
    """24 real pairs, 2 a step, the learning rate of each step the same: losses stay together to 1e-4."""
    config = config_of(policy, "method.batch_size=2", "method.learning_rate=1e-3", "model.max_length=200")
    examples = pairs_of(config, 24)
    assert len(examples) == 24
    _, rows = fit(config, examples, tmp_path / "ours")
    other = TRL(config, {n: p for n, p in build_model(config, 0.0).named_parameters() if p.requires_grad}, tmp_path, 2)
    plan = Plan(24, 2, 1, config.seed)
    assert plan.steps == len(rows) == 12
    theirs = []
    for step, row in enumerate(rows):
        places = plan.batch(step)
        theirs.append(other.step([examples[i] for i in places], places, row["learning_rate"]))
    assert [row["loss"] for row in rows] == pytest.approx(theirs, abs=1e-4)
    assert max(theirs) - min(theirs) > 0.01, "the losses must move for this to say anything"
