"""The LightningModule: a policy with LoRA, and its frozen reference, the same weights with the adapter switched off.

Departures from the paper:
1. Dropout. The paper sets LoRA dropout 0.05, but its trainer switches dropout off in preference training and leaves it on in
   supervised fine-tuning. So does this module: `model.lora.dropout` acts when the method trains on single answers.
2. The reference's log-probs are computed once, before training, instead of in every step. The numbers are the same.
3. An optimiser step weights examples equally however they fall into micro-batches.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from croco.config import Config
from croco.engines import factory
from croco.engines.checkpoints import load
from croco.errors import UserError
from croco.maths.logps import answer_logps
from croco.training.data import Example, Plan, packs

ROLES = ("chosen", "rejected")
Forward = Callable[[Any, Sequence[Example]], tuple[Tensor, Tensor]]
"""Summed log-probs and token counts of every answer, as `forward` returns them."""
START_TOLERANCE = 1e-4  # how far a DPO loss may be from ln 2 before the first update


def build_model(config: Config, dropout: float) -> Any:
    """The base with a fresh adapter; frozen weights in `model.dtype`, adapters in float32.

    Raises:
        UserError: the checkpoint has none of `model.lora.targets`.
    """
    from transformers import AutoModelForCausalLM

    torch.manual_seed(config.seed)
    base, _ = load(AutoModelForCausalLM, factory.policy(config.model))
    lora = config.model.lora
    settings = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=dropout,
        target_modules=list(lora.targets),
        bias="none",
        task_type="CAUSAL_LM",
    )
    try:
        model = get_peft_model(base, settings, autocast_adapter_dtype=True)
    except ValueError as error:
        raise UserError(f"model.lora.targets: {str(error).splitlines()[0]}") from None
    if dropout == 0:
        for module in model.modules():  # the base's own too, as the authors' trainer does
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    model.train()  # transformers loads in evaluation mode, in which neither dropout nor checkpointing would act
    if config.trainer.gradient_checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


def forward(model: Any, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Summed log-probs and token counts of every answer, both of shape (answers per example, examples)."""
    sequences = [(e.prompt, answer) for e in examples for answer in e.answers]
    longest = max(len(p) + len(a) for p, a in sequences)
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    answer = torch.zeros_like(ids, dtype=torch.bool)
    for row, (p, a) in enumerate(sequences):
        ids[row, : len(p) + len(a)] = torch.tensor(p + a)
        mask[row, : len(p) + len(a)] = 1
        answer[row, len(p) : len(p) + len(a)] = True
    ids, mask, answer = ids.to(model.device), mask.to(model.device), answer.to(model.device)
    logps = answer_logps(model(input_ids=ids, attention_mask=mask, use_cache=False).logits, ids, answer)
    width = len(examples[0].answers)
    return logps.sum(1).view(-1, width).T, answer.sum(1).view(-1, width).T.to(logps.dtype)


@torch.no_grad()
def reference_logps(
    model: Any, examples: Sequence[Example], budget: int, done: Callable[[int], None], forward: Forward = forward
) -> Tensor:
    """Summed log-probs of every answer with the adapter off, shape (answers per example, examples), float32 on the CPU."""
    out = torch.empty(len(examples[0].answers), len(examples))
    was_training = model.training
    model.eval()
    with model.disable_adapter():
        for group in packs(range(len(examples)), examples, budget):
            out[:, group] = forward(model, [examples[i] for i in group])[0].cpu()
            done(len(group))
    model.train(was_training)
    return out


class Policy(lightning.LightningModule):
    """Manual optimisation: a batch is one optimiser step, taken in packs of at most `tokens_per_pack` tokens."""

    def __init__(
        self,
        model: Any,
        loss: Callable[..., Tensor],
        loss_settings: Mapping[str, Any],
        examples: Sequence[Example],
        reference: Tensor | None,
        plan: Plan,
        config: Config,
        record: Callable[[int, dict[str, float]], None],
        forward: Forward = forward,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.strict_loading = False  # checkpoints hold the adapter only
        self.model = model
        self.loss, self.loss_settings = loss, dict(loss_settings)
        self.needs = [p.name for p in inspect.signature(loss).parameters.values() if p.kind is not p.KEYWORD_ONLY]
        self.examples, self.reference = examples, reference
        self.plan, self.method, self.pack_tokens = plan, config.method, config.trainer.tokens_per_pack
        self.seed, self.record, self.sums = config.seed, record, forward

    def configure_optimizers(self) -> Any:
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=self.method.learning_rate, weight_decay=self.method.weight_decay)
        shape = schedule(self.method.schedule, self.plan.steps, self.method.warmup_ratio)
        return {"optimizer": optimiser, "lr_scheduler": torch.optim.lr_scheduler.LambdaLR(optimiser, shape)}

    def training_step(self, batch: list[int], batch_index: int) -> None:
        step = self.global_step
        torch.manual_seed(self.seed * 1_000_003 + step)  # dropout is the same after a resume
        optimiser: Any = self.optimizers()
        scheduler: Any = self.lr_schedulers()
        optimiser.zero_grad(set_to_none=True)
        totals: dict[str, float] = {}
        groups = packs(batch, self.examples, self.pack_tokens)
        for group in groups:
            values, measured = self._losses(group)
            self.manual_backward(values.sum() / len(batch))
            for name, value in measured.items():
                totals[name] = totals.get(name, 0.0) + value / len(batch)
        self._check_start(step, totals["loss"])
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.method.max_grad_norm)
        rate = scheduler.get_last_lr()[0]
        optimiser.step()
        scheduler.step()
        self.record(step, {**totals, "grad_norm": float(norm), "learning_rate": float(rate)})

    def _losses(self, group: list[int]) -> tuple[Tensor, dict[str, float]]:
        """One loss per example of a pack, and sums over the pack of what is recorded."""
        sums, tokens = self.sums(self.model, [self.examples[i] for i in group])
        known: dict[str, Tensor] = {}
        for role, total, count in zip(ROLES, sums, tokens, strict=False):
            known |= {role: total, f"{role}_tokens": count}
        if self.reference is not None:
            for role, value in zip(ROLES, self.reference[:, group].to(sums.device), strict=False):
                known[f"reference_{role}"] = value
        values = self.loss(*(known[name] for name in self.needs), **self.loss_settings)
        return values, measure(values, known)

    def _check_start(self, step: int, loss: float) -> None:
        """Policy and reference are the same model before the first update, so a DPO loss is ln 2."""
        if step == 0 and self.loss.__name__ == "dpo" and abs(loss - math.log(2)) > START_TOLERANCE:
            raise UserError(
                f"training: the DPO loss starts at {loss:.6f} instead of ln 2 = {math.log(2):.6f}: policy and reference differ "
                "before the first update (is dropout on, or a stale reference in the artifact's folder?)"
            )

    def state_dict(self, *arguments: Any, **keywords: Any) -> dict[str, Any]:  # type: ignore[override]
        trainable = {name for name, p in self.named_parameters() if p.requires_grad}
        return {name: value for name, value in super().state_dict(*arguments, **keywords).items() if name in trainable}


def measure(values: Tensor, known: Mapping[str, Tensor]) -> dict[str, float]:
    """Sums over a pack: loss, log-probs per token, and against the reference margin, accuracy and drift (nats)."""
    with torch.no_grad():
        out = {"loss": float(values.sum())}
        for role in ROLES:
            if role in known:
                per_token = known[role] / known[f"{role}_tokens"]
                out |= {
                    f"{role}_logp_per_token": float(per_token.sum()),
                    f"{role}_tokens": float(known[f"{role}_tokens"].sum()),
                }
            if f"reference_{role}" in known:
                out[f"{role}_against_reference"] = float((known[role] - known[f"reference_{role}"]).sum())
        if "reference_rejected" in known:
            margin = (known["chosen"] - known["reference_chosen"]) - (known["rejected"] - known["reference_rejected"])
            out |= {"margin": float(margin.sum()), "accuracy": float((margin > 0).float().sum())}
    return out


def schedule(kind: str, steps: int, warmup_ratio: float) -> Callable[[int], float]:
    """Factor of the peak learning rate at a step: a linear rise over the warm-up, then `kind` down to 0 (or constant)."""
    warmup = math.ceil(warmup_ratio * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[kind]

    return factor
