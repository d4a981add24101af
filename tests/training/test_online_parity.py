"""With two samples per prompt our chain's selector and loss are TRL's online DPO, on the same samples and rewards."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from croco.maths import losses, pairing
from croco.training.data import Example
from croco.training.forward import padded
from tests.training.test_packed import random_examples
from tests.training.test_training import config_of
from tests.training.test_trl_parity import started

trl = pytest.importorskip("trl")
LONGEST = 12


def trl_loss(model: torch.nn.Module, examples: list[Example], rewards: np.ndarray, beta: float) -> float:
    """`OnlineDPOTrainer.training_step` itself, with its sampling replaced by our samples: all first ones, then all second."""
    from trl.experimental.online_dpo import OnlineDPOTrainer

    prompts = [e.prompt for e in examples] * 2
    answers = [e.answers[k][:LONGEST] for k in range(2) for e in examples]
    width = max(map(len, prompts))
    prompt_ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])  # it pads prompts on the left
    prompt_mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    answer_ids = torch.tensor([a + [2] * (LONGEST - len(a)) for a in answers])
    answer_mask = torch.tensor([[1] * len(a) + [0] * (LONGEST - len(a)) for a in answers])
    arguments = SimpleNamespace(
        use_vllm=False,
        missing_eos_penalty=None,
        loss_type="sigmoid",
        torch_empty_cache_steps=None,
        n_gpu=1,
        optim="adamw_torch",
    )
    accelerator = SimpleNamespace(gather_for_metrics=lambda value: value, backward=lambda loss, **keywords: None)
    trainer = SimpleNamespace(
        args=arguments,
        accelerator=accelerator,
        model=model,
        ref_model=None,
        beta=beta,
        max_length=512,
        eos_token_ids=[1],
        reward_funcs=[None],
        state=SimpleNamespace(global_step=1),
        processing_class=SimpleNamespace(batch_decode=lambda ids, **keywords: [""] * len(ids)),
        _generate=lambda *a: (prompt_ids, prompt_mask, answer_ids, answer_mask, None),
        _calculate_rewards_from_functions=lambda **keywords: torch.tensor(rewards.T.reshape(-1)),
        stats=defaultdict(list),
    )
    trainer._forward = lambda *a: OnlineDPOTrainer._forward(trainer, *a)
    trainer.args.gradient_accumulation_steps = 1
    loss = OnlineDPOTrainer.training_step(trainer, model, {"prompt": ["p"] * len(examples)})
    return float(loss)


def test_two_samples_give_trls_online_loss(policy: Path) -> None:
    """Rewards without ties: of equals TRL takes the first as chosen, we drop the pair."""
    config = config_of(policy, "method=online_dpo", "model.lora.r=4", "trainer.fused_lora=false")
    model, _ = started(config)
    examples = [Example(e.prompt, tuple(a[:LONGEST] for a in e.answers)) for e in random_examples()]
    rewards = np.random.default_rng(0).normal(size=(len(examples), 2))  # (prompts, samples)
    beta = config.method.loss["beta"]
    expected = trl_loss(model, examples, rewards, beta)
    rule = pairing.Rule(chosen=np.inf, rejected=-np.inf)
    found = pairing.select(rewards.reshape(-1), np.repeat(np.arange(len(examples)), 2), rule)
    ordered = [
        Example(e.prompt, (e.answers[c % 2], e.answers[r % 2]))
        for e, c, r in zip(examples, found.chosen, found.rejected, strict=True)
    ]
    with torch.no_grad():
        policy_sums = padded(model, ordered).sums(2)
        with model.disable_adapter():
            reference_sums = padded(model, ordered).sums(2)
    ours = losses.dpo(*policy_sums, *reference_sums, beta=beta).mean().item()
    assert ours == pytest.approx(expected, abs=1e-5)
    assert abs(ours - np.log(2)) > 1e-3
