"""TRL's DPOTrainer on our examples: its own collator, loss and optimiser settings, driven step by step."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from croco.config import Config
from croco.training.data import Example

os.environ.setdefault("TQDM_DISABLE", "1")


def trainer(config: Config, arguments: Any) -> Any:
    """A DPOTrainer on the configured model with the configured LoRA."""
    from datasets import Dataset, disable_progress_bars
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOTrainer

    logging.getLogger("trl").setLevel(logging.ERROR)
    disable_progress_bars()
    lora = config.model.lora
    # The steps bring their own examples.
    some = Dataset.from_dict({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]})
    return DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(config.model.path, dtype=getattr(torch, config.model.dtype)),
        args=arguments,
        train_dataset=some,
        processing_class=AutoTokenizer.from_pretrained(config.model.path),
        peft_config=LoraConfig(
            r=lora.r, lora_alpha=lora.alpha, target_modules=list(lora.targets), bias="none", task_type="CAUSAL_LM"
        ),
    )


def _arguments(config: Config, folder: Path, micro_batch: int, checkpointing: bool) -> dict[str, Any]:
    """What TRL's trainers are told alike: the same batches and rate, nothing shown, sent or kept."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": 1,
        "max_length": None,
        "bf16": config.model.dtype == "bfloat16",
        "use_cpu": not torch.cuda.is_available(),
        "report_to": "none",
        "gradient_checkpointing": checkpointing,
        "learning_rate": config.method.learning_rate,
        "disable_tqdm": True,
        "logging_strategy": "no",
        "save_strategy": "no",
    }


class TRL:
    """One optimiser step at a time, in micro-batches."""

    def __init__(
        self,
        config: Config,
        adapter: Mapping[str, Tensor],
        folder: Path,
        micro_batch: int = 1,
        checkpointing: bool = True,
        reference: Tensor | None = None,
        **settings: Any,
    ) -> None:
        """What the arguments are:

        adapter: the LoRA weights to start from, by parameter name.
        reference: summed log-probs (2, examples) in place of the reference's forward pass, as `precompute_ref_log_probs`.
        settings: of trl.DPOConfig.
        """
        from trl import DPOConfig

        arguments = DPOConfig(**_arguments(config, folder, micro_batch, checkpointing), **settings)
        self._begin(trainer(config, arguments), config, micro_batch, checkpointing, reference)
        self.model.load_state_dict(dict(adapter), strict=False)
        self.trainer.precompute_ref_logps = reference is not None

    def _begin(
        self, made: Any, config: Config, micro_batch: int, checkpointing: bool, reference: Tensor | None = None
    ) -> None:
        """What stands around the trainer: its model, ready to be trained, and the optimiser."""
        self.trainer, self.model = made, made.model
        self.model.train()
        if checkpointing:  # the trainer does so when its loop starts, which is not used here
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.micro_batch, self.reference = micro_batch, reference
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=config.method.learning_rate, weight_decay=config.method.weight_decay
        )
        self.max_norm = config.method.max_grad_norm

    def batch(self, examples: Sequence[Example], places: Sequence[int] = ()) -> dict[str, Any]:
        rows = [{"prompt_ids": e.prompt, "chosen_ids": e.answers[0], "rejected_ids": e.answers[1]} for e in examples]
        if self.reference is not None:
            for row, place in zip(rows, places, strict=True):
                row["ref_chosen_logps"], row["ref_rejected_logps"] = self.reference[:, place].float().tolist()  # type: ignore[assignment]
        batch = self.trainer.data_collator(rows)
        return {k: v.to(self.model.device) if isinstance(v, Tensor) else v for k, v in batch.items()}

    def loss(self, examples: Sequence[Example]) -> Tensor:
        """TRL's own loss of one batch, with its graph."""
        loss: Tensor = self.trainer.compute_loss(self.model, self.batch(examples))
        return loss

    def backward(self, examples: Sequence[Example], places: Sequence[int]) -> float:
        """Gradients of the mean loss over all examples, a micro-batch at a time; returns that loss."""
        total = 0.0
        steps = range(0, len(examples), self.micro_batch)
        self.trainer.current_gradient_accumulation_steps = len(steps)
        for start in steps:
            part = slice(start, start + self.micro_batch)
            batch = self.batch(examples[part], places[part])
            total += float(self.trainer.training_step(self.model, batch, None))
        return total

    def step(self, examples: Sequence[Example], places: Sequence[int], learning_rate: float | None = None) -> float:
        """One optimiser step; returns the loss before it."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.backward(examples, places)
        torch.nn.utils.clip_grad_norm_(self.parameters, self.max_norm)
        if learning_rate is not None:
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate
        self.optimiser.step()
        return loss


class TRLReward(TRL):
    """The same of TRL's RewardTrainer."""

    def __init__(self, config: Config, folder: Path, micro_batch: int = 8, checkpointing: bool = True) -> None:
        """With the configuration that `reward_model.configured` makes; TRL's default is 8 preferences at a time, recomputed."""
        from datasets import Dataset, disable_progress_bars
        from peft import LoraConfig
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        from trl import RewardConfig, RewardTrainer

        logging.getLogger("trl").setLevel(logging.ERROR)
        disable_progress_bars()
        arguments = RewardConfig(
            **_arguments(config, folder, micro_batch, checkpointing),
            center_rewards_coefficient=config.method.loss["centring"],
        )
        dtype, lora = getattr(torch, config.model.dtype), config.model.lora
        made = RewardTrainer(
            model=AutoModelForSequenceClassification.from_pretrained(config.model.path, num_labels=1, dtype=dtype),
            args=arguments,
            train_dataset=Dataset.from_dict({"chosen_ids": [[3]], "rejected_ids": [[4]]}),
            processing_class=AutoTokenizer.from_pretrained(config.model.path),
            peft_config=LoraConfig(
                r=lora.r,
                lora_alpha=lora.alpha,
                target_modules=list(lora.targets),
                bias="none",
                task_type="SEQ_CLS",
                modules_to_save=["score"],
            ),
        )
        self._begin(made, config, micro_batch, checkpointing)

    def batch(self, examples: Sequence[Example], places: Sequence[int] = ()) -> dict[str, Any]:
        rows = [{"chosen_ids": e.prompt + e.answers[0], "rejected_ids": e.prompt + e.answers[1]} for e in examples]
        return {key: value.to(self.model.device) for key, value in self.trainer.data_collator(rows).items()}
