"""The transformers engine on a card, beside plain generate."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_bench import Bench, reported
from benchmarks.on_device import on_device


def engine(bench: Bench) -> None:
    """The transformers engine's rate beside plain `generate`."""
    from croco.engines.hf import HFGenerator
    from croco.language.text import load_tokenizer
    from croco.models.checkpoints import Checkpoint

    new, shape = (4, "nano") if bench.dry else (64, "llama-1.5b")
    with tempfile.TemporaryDirectory() as scratch, on_device(shape, Path(scratch), bench.device):
        template = Path(scratch) / "template.jinja"
        template.write_text("{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}", encoding="utf-8")
        tokenizer = load_tokenizer(scratch, None, str(template), False)
        dtype = "float32" if bench.dry else "bfloat16"
        checkpoint = Checkpoint(scratch, dtype=dtype, chat_template=str(template))
        for prompts in (1,) if bench.dry else (1, 4, 16):
            with reported(bench, "The transformers engine", f"64 x {prompts}"):
                _rates(bench, HFGenerator(checkpoint, tokenizer, 1.0, 1.0, new, prompts), prompts, new)


def _rates(bench: Bench, generator: Any, prompts: int, new: int) -> None:
    """One row: 64 answers to each of so many prompts."""
    from croco.engines.base import Request

    ids = [[3 + (7 * i + j) % 200 for j in range(100 + i)] for i in range(prompts)]
    requests = [Request(f"p{i}", "en", own, range(64), 1000 * i) for i, own in enumerate(ids)]
    first, again = (bench.took(lambda: list(generator.generate(requests))) for _ in range(2))
    tokens = sum(len(c.token_ids) for c in generator.generate(requests))
    plain = min(bench.took(lambda: _generate(generator.model, ids, new)) for _ in range(2))
    bench.row(
        "The transformers engine",
        answers=f"64 x {prompts}",
        **{"tokens/s": f"{tokens / again:,.0f}", "first time, s": f"{first:.1f}"},
        **{"ms a step": f"{1e3 * again / new:.1f}"},
        **{"generate, tokens/s": f"{64 * prompts * new / plain:,.0f}"},
        ratio=f"{(tokens / again) / (64 * prompts * new / plain):.2f}x",
    )


@torch.inference_mode()
def _generate(model: Any, ids: Sequence[Sequence[int]], new: int) -> Any:
    longest = max(map(len, ids))
    rows = torch.tensor([[0] * (longest - len(own)) + list(own) for own in ids], device=model.device)
    before = model.config._attn_implementation
    model.set_attn_implementation("sdpa")
    out = model.generate(
        input_ids=rows,
        attention_mask=(rows != 0).long(),
        do_sample=True,
        top_k=0,
        num_return_sequences=64,
        max_new_tokens=new,
        min_new_tokens=new,
        pad_token_id=0,
    )
    model.set_attn_implementation(before)
    return out
