"""Models of real shapes and random weights, made where they are used: nothing of 18 GB is written and read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.training_data import configuration, save_tokenizer


class Made:
    """Stands for `from_pretrained`: the architecture on the device, with weights that all who ask share."""

    def __init__(self, config: Any, device: str) -> None:
        self.config, self.device = config, device
        self.weights: dict[str, torch.Tensor] = {}

    def __call__(self, path: Any, *_: Any, output_loading_info: bool = False, **keywords: Any) -> Any:
        dtype = keywords.get("dtype") or torch.float32
        config = type(self.config).from_dict(self.config.to_dict())
        config._attn_implementation = keywords.get("attn_implementation") or "sdpa"
        torch.set_default_dtype(getattr(torch, dtype) if isinstance(dtype, str) else dtype)
        try:
            with torch.device("meta"):
                model: Any = getattr(transformers, self.config.architectures[0])(config)
            model = model.to_empty(device=self.device)
        finally:
            torch.set_default_dtype(torch.float32)
        self._fill(model)
        with torch.device(self.device):  # tables of frequencies are no weights
            model.model.rotary_emb = type(model.model.rotary_emb)(config)
        model.tie_weights()
        model.config.name_or_path = str(path)
        report: dict[str, list[str]] = {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
        return (model, report) if output_loading_info else model

    def _fill(self, model: Any) -> None:
        draw = torch.Generator(device=self.device).manual_seed(0)
        for name, parameter in model.named_parameters():
            if name not in self.weights:
                value = parameter.data
                self.weights[name] = value.fill_(1.0) if "norm" in name else value.normal_(0, 0.02, generator=draw)
            parameter.data = self.weights[name]


@contextlib.contextmanager
def on_device(shape: str, folder: Path, device: str) -> Iterator[Made]:
    """Within it every causal model is one of this shape; `folder` gets its configuration and a word tokenizer."""
    config = configuration(shape)
    config.save_pretrained(folder)
    save_tokenizer(folder)
    made = Made(config, device)
    before = transformers.AutoModelForCausalLM.from_pretrained
    transformers.AutoModelForCausalLM.from_pretrained = made  # type: ignore[method-assign, assignment]
    try:
        yield made
    finally:
        transformers.AutoModelForCausalLM.from_pretrained = before  # type: ignore[method-assign]
