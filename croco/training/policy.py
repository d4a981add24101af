"""The LightningModule: a policy with LoRA, and its frozen reference, the same weights with the adapter switched off.

Departures from the paper:
1. Dropout. The paper sets LoRA dropout 0.05, but its trainer switches dropout off in preference training and leaves it on in
   supervised fine-tuning. So does this module: `model.lora.dropout` acts when the method trains on single answers.
2. The reference's log-probs are computed once, before training, instead of in every step. The numbers are the same
   (`trainer.cache_reference=false` computes them in every step).
3. An optimiser step weights examples equally however they fall into micro-batches and processes.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from croco.config import Config, seeds
from croco.errors import UserError
from croco.models.devices import release
from croco.training.data import Example, Plan, packs, share
from croco.training.forward import Forward, padded
from croco.training.schedule import schedule
from croco.training.start import Reference, Start, moments

log = logging.getLogger(__name__)

ROLES = ("chosen", "rejected")
FRESH = Start()
START_TOLERANCE = {
    torch.float32: 1e-3
}  # nats per square root of a token: how far rounding takes policy and reference apart
START_TOLERANCE_HALF = 0.05  # ... in half precision

STOPPED = (
    "what was kept before stands in the artifact's checkpoints; lower method.learning_rate, or look for what is no number in "
    "the checkpoint and its adapter"
)

Measured = dict[str, float]


class Policy(lightning.LightningModule):
    """Manual optimisation: a batch is one optimiser step, taken in packs of at most `tokens_per_pack` tokens."""

    def __init__(
        self,
        model: Any,
        loss: Callable[..., Tensor],
        loss_settings: Mapping[str, Any],
        examples: Sequence[Example],
        plan: Plan,
        config: Config,
        record: Callable[[int, Measured], None] = lambda step, values: None,
        forward: Forward = padded,
        watch: Callable[[Policy], Measured] | None = None,
        prepare: Callable[[Policy], Tensor | None] = lambda policy: None,
        start: Start = FRESH,
        tokens_per_pack: int | None = None,
    ) -> None:
        """What the arguments are:

        record: called behind every optimiser step, in the first process.
        watch: what is measured before the first step, every `trainer.watch_every` steps and at the end.
        prepare: gives the reference's summed log-probs, (answers per example, examples) float64, once the processes are up; None
            where there are none, or each step is to compute its own.
        tokens_per_pack: what the device was found to have room for; by default `trainer.tokens_per_pack`.
        """
        super().__init__()
        self.automatic_optimization = False
        self.strict_loading = False  # checkpoints hold the adapter only
        self.model, self.config = model, config
        self.loss, self.loss_settings = loss, dict(loss_settings)
        self.needs = [p.name for p in inspect.signature(loss).parameters.values() if p.kind is not p.KEYWORD_ONLY]
        self.examples, self.plan, self.method, self.hardware = examples, plan, config.method, config.trainer
        self.sizes = forward.sizes(examples)
        self.tokens_per_pack = tokens_per_pack or config.trainer.tokens_per_pack
        self.seed, self.record, self.logps = seeds.of_data(config), record, forward
        self.watch, self.prepare, self.start = watch, prepare, start
        self.reference: Tensor | None = None
        self.referee = Reference(start.reference)

    @property
    def sharded(self) -> bool:
        """Whether a layer's weights are spread over the processes, which then must take every forward pass together."""
        return self.hardware.strategy == "fsdp"

    def cpu(self) -> Policy:
        """Lightning moves a model to the host's memory when it has ended: all weights, for whom nobody asks there."""
        return self

    def configure_model(self) -> None:
        if not self.sharded:
            return
        from torch.distributed.fsdp import FSDPModule, fully_shard

        parts = self.sharded_modules()
        if isinstance(parts[0], FSDPModule):
            return
        for part in parts:
            # Said, since what stands under no other sharded module would stay whole behind a look without gradients: as it was
            # before the update that follows, for the next forward pass to use.
            fully_shard(part, mesh=self.device_mesh["data_parallel"], reshard_after_forward=True)  # type: ignore[index]

    def sharded_modules(self) -> list[Any]:
        """The layers: embeddings and output layer stay whole, as the chunked log-probs read the latter directly."""
        return list(self.model.get_base_model().get_decoder().layers)

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.AdamW(
            self.parameter_groups(), lr=self.method.learning_rate, weight_decay=self.method.weight_decay
        )
        optimiser.load_state_dict(moments(self.start, optimiser.state_dict()))
        behind, steps = self.start.step, self.start.step + self.plan.steps + self.start.later
        over_all = schedule(self.method.schedule, steps, self.method.warmup_ratio)

        def shape(step: int) -> float:
            return over_all(behind + step)

        return {"optimizer": optimiser, "lr_scheduler": torch.optim.lr_scheduler.LambdaLR(optimiser, shape)}

    def parameter_groups(self) -> list[Any]:
        """What is trained, as an optimiser takes it."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def save(self, folder: Path) -> None:
        """What was trained, below `folder`, written by the first process."""
        self.save_adapter(folder / "adapter")

    def save_adapter(self, folder: Path) -> None:
        """The adapter in PEFT's format, in one piece, written by the first process."""
        trained = {name: whole(p.detach()).cpu() for name, p in self.model.named_parameters() if p.requires_grad}
        if self.trainer.is_global_zero:
            self.model.save_pretrained(folder, safe_serialization=True, state_dict=trained)

    def on_fit_start(self) -> None:
        self.reference = self.prepare(self)

    def training_step(self, batch: list[int], batch_index: int) -> None:
        """One optimiser step on the examples of a batch; see Lightning."""
        step, world = self.start.step + self.global_step, self.trainer.world_size
        torch.manual_seed(self.seed * 1_000_003 + step * world + self.global_rank)  # dropout is the same after a resume
        optimiser: Any = self.optimizers()
        scheduler: Any = self.lr_schedulers()
        totals: dict[str, Tensor] | None = None
        while totals is None:
            optimiser.zero_grad(set_to_none=True)
            totals = self._gradients(batch, world)
        rate = scheduler.get_last_lr()[0]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.method.max_grad_norm)
        row = {**self._means(totals, len(batch)), "grad_norm": float(whole(norm)), "learning_rate": float(rate)}
        self._check_numbers(step, row)
        self._check_start(step, row)
        looks = self.sharded or self.trainer.is_global_zero  # the others have nothing to add
        if self.watch is not None and step == 0 and looks:  # what the verdict compares with
            row |= self.watch(self)
        optimiser.step()
        scheduler.step()
        if self.watch is not None and self._watches(step):
            self.check_sound(batch[0])
            row |= self.watch(self) if looks else {}
        if self.trainer.is_global_zero:
            self.record(step, row)

    def _gradients(self, batch: list[int], world: int) -> dict[str, Tensor] | None:
        """Leaves the step's gradients, and returns sums of what is recorded; None where the device has no room for a pack, which
        are half as large from then on."""
        totals: dict[str, Tensor] = {}
        groups = self._groups(batch)
        for number, group in enumerate(groups):
            try:
                with self._synchronised(number == len(groups) - 1):
                    # A process without work of its own takes part with an example that counts for nothing.
                    values, measured = self._losses(group or batch[:1])
                    self.manual_backward(values.sum() * (world / len(batch) if group else 0.0))
            except torch.OutOfMemoryError as error:
                full = int(self.sizes[group].sum())
                if world > 1 or len(group) < 2:  # other processes wait for this one's gradients
                    raise UserError(
                        f"training: no memory for a pack of {full:,} tokens ({len(group)} examples); lower "
                        f"{'trainer.tokens_per_pack' if len(group) > 1 else 'model.max_length'}, or set "
                        "trainer.gradient_checkpointing=true"
                    ) from error
                break
            for name, value in (measured if group else {}).items():
                totals[name] = totals[name] + value if name in totals else value
        else:
            return totals
        release()  # behind the handler, whose traceback would hold on to the pack's tensors
        self.tokens_per_pack = full // 2
        log.warning("trainer.tokens_per_pack: %d from now on, a pack of %d did not fit", self.tokens_per_pack, full)
        return None

    def _watches(self, step: int) -> bool:
        every = self.hardware.watch_every
        last = self.start.step + self.plan.steps + self.start.later
        return step + 1 == last or (every is not None and (step + 1) % every == 0)

    def _groups(self, batch: list[int]) -> list[list[int]]:
        """This process's packs, at least one; where weights are sharded, as many as the process with the most."""
        every = [
            packs(own, self.sizes, self.tokens_per_pack) for own in share(batch, self.sizes, self.trainer.world_size)
        ]
        own = every[self.global_rank]
        count = max(map(len, every)) if self.sharded else max(1, len(own))
        return [*own, *([[]] * (count - len(own)))]

    def _synchronised(self, now: bool) -> Any:
        """Gradients are exchanged between processes once a step, in the last backward pass."""
        block = getattr(self.trainer.strategy, "block_backward_sync", None)
        return contextlib.nullcontext() if now or self.sharded or block is None else block()

    def _losses(self, group: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """One loss per example of a pack, and sums over the pack of what is recorded."""
        examples = [self.examples[i] for i in group]
        known = self.known(examples, self.referred(examples, self.reference, group))
        values = self.loss(*(known[name] for name in self.needs), **self.loss_settings)
        return values, self.measured(values, known)

    def measured(self, values: Tensor, known: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What is recorded of a pack: sums over its examples."""
        return measure(values, known)

    def referred(self, examples: Sequence[Example], cached: Tensor | None, places: Sequence[int]) -> Tensor | None:
        """The reference's log-probs of examples, (answers per example, examples) float64: what is cached at their places, else
        computed now; None where the method has no reference."""
        if cached is not None:
            return cached[:, places]
        if self.method.trains_on != "pairs":
            return None
        with torch.no_grad(), self.referee.of(self.model):
            return self.logps(self.model, examples).sums(len(examples[0].answers))

    def known(self, examples: Sequence[Example], reference: Tensor | None) -> dict[str, Tensor]:
        """What losses may ask for, each (examples,) float64: see croco.maths.losses."""
        logps, width = self.logps(self.model, examples), len(examples[0].answers)
        known: dict[str, Tensor] = {}
        for role, total, count in zip(ROLES, logps.sums(width), logps.tokens(width), strict=False):
            known |= {role: total, f"{role}_tokens": count}
        if reference is not None:
            for role, value in zip(ROLES, reference.to(logps.values.device), strict=False):
                known[f"reference_{role}"] = value
        return known

    def _means(self, totals: Mapping[str, Tensor], count: int) -> Measured:
        """Per example, over all processes; the one place a step waits for the device."""
        names = sorted(totals) if totals else []
        stacked = torch.stack([totals[name] for name in names]) if names else torch.zeros(0, device=self.device)
        if self.trainer.world_size > 1:
            names, stacked = self._summed(names, stacked)
        return {name: value / count for name, value in zip(names, stacked.tolist(), strict=True)}

    def _summed(self, names: list[str], values: Tensor) -> tuple[list[str], Tensor]:
        import torch.distributed as dist

        gathered: list[Any] = [None] * self.trainer.world_size
        dist.all_gather_object(gathered, dict(zip(names, values.tolist(), strict=True)))
        every = sorted(set().union(*gathered))
        return every, torch.tensor([sum(part.get(name, 0.0) for part in gathered) for name in every])

    def _check_numbers(self, step: int, row: Measured) -> None:
        """Before the update, so that what was learnt so far stays."""
        if not (math.isfinite(row["loss"]) and math.isfinite(row["grad_norm"])):
            raise UserError(
                f"training: the loss of step {step + 1} is {row['loss']:g} and its gradient's norm {row['grad_norm']:g}; "
                f"{STOPPED}"
            )

    @torch.no_grad()
    def check_sound(self, index: int) -> None:
        """Before a state is kept: it gives an example a log-prob.

        Raises:
            UserError: none that is a number.
        """
        was_training = self.model.training
        self.model.eval()
        values = self.logps(self.model, [self.examples[index]]).values
        self.model.train(was_training)
        if not bool(torch.isfinite(values).all()):
            step = self.start.step + self.global_step
            raise UserError(f"training: behind step {step} the policy gives an answer no log-prob (NaN); {STOPPED}")

    def _check_start(self, step: int, row: Measured) -> None:
        """Policy and reference are the same model before the first update of a fresh adapter: a DPO loss starts at ln 2."""
        drift = row.get("chosen_against_reference", 0.0)
        tolerance = START_TOLERANCE.get(self.model.get_base_model().dtype, START_TOLERANCE_HALF)
        if step == 0 and abs(drift) > tolerance * max(1.0, row.get("chosen_tokens", 1.0)) ** 0.5:
            raise UserError(
                f"training: before the first update the chosen answers differ from the reference by {drift:.6f} nats, and should "
                "not (a DPO loss would not start at ln 2): is dropout on, or a reference of other weights in the cache?"
            )

    def state_dict(self, *arguments: Any, **keywords: Any) -> dict[str, Any]:  # type: ignore[override]
        trainable = {name for name, p in self.named_parameters() if p.requires_grad}
        return {name: value for name, value in super().state_dict(*arguments, **keywords).items() if name in trainable}


def whole(value: Tensor) -> Tensor:
    """A tensor that is spread over processes, in one piece."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def measure(values: Tensor, known: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sums over a pack: loss, log-probs per token, and against the reference margin, accuracy and drift (nats)."""
    with torch.no_grad():
        out = {"loss": values.detach().sum()}
        for role in ROLES:
            if role in known:
                out[f"{role}_logp_per_token"] = (known[role].detach() / known[f"{role}_tokens"]).sum()
                out[f"{role}_tokens"] = known[f"{role}_tokens"].sum()
            if f"reference_{role}" in known:
                out[f"{role}_against_reference"] = (known[role].detach() - known[f"reference_{role}"]).sum()
        if "reference_rejected" in known:
            margin = (known["chosen"] - known["reference_chosen"]) - (known["rejected"] - known["reference_rejected"])
            out |= {"margin": margin.sum(), "accuracy": (margin > 0).double().sum()}
    return out
