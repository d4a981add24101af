"""The parts of the GPU benchmark. Each writes rows as it measures them, and none needs another."""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.counting import ceiling, flops
from benchmarks.on_device import on_device
from benchmarks.training_data import made_pairs
from croco.training.data import Example

ROOT = Path(__file__).parent.parent
PAIRS = 16  # of a step, so that TRL's largest micro-batch is full
BATCHES = 2
Row = dict[str, Any]


class Bench:
    """What a part is told, and where its rows go."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.dry, self.lines, self.sides = arguments.dry, arguments.lines, arguments.sides
        self.device = "cpu" if self.dry else "cuda"
        self.until = time.monotonic() + arguments.seconds

    def row(self, table: str, **cells: Any) -> None:
        print(f"[{table}]", cells, flush=True)
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"table": table, "cells": cells}) + "\n")

    def has(self, seconds: float) -> bool:
        return self.dry or self.until - time.monotonic() > seconds

    def wait(self) -> None:
        if not self.dry:
            torch.cuda.synchronize()

    def took(self, work: Callable[[], object]) -> float:
        """Seconds of wall-clock time, with what the device still had to do."""
        self.wait()
        start = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - start

    def free(self) -> None:
        gc.collect()
        if not self.dry:
            torch.cuda.empty_cache()

    def peak(self, work: Callable[[], object]) -> tuple[float, float]:
        """Seconds, and GB beside what was held before."""
        if self.dry:
            return self.took(work), 0.0
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        seconds = self.took(work)
        return seconds, (torch.cuda.max_memory_allocated() - before) / 1e9


def card(bench: Bench) -> None:
    """What the device reaches by itself."""
    import transformers

    dtype = torch.float32 if bench.dry else torch.bfloat16
    size = 2**20 if bench.dry else 2**31
    one, other = (torch.empty(size, dtype=torch.uint8, device=bench.device) for _ in range(2))
    other.copy_(one)
    seconds = min(bench.took(lambda: other.copy_(one)) for _ in range(5))
    bench.row(
        "The card",
        card="cpu" if bench.dry else torch.cuda.get_device_name(),
        memory="" if bench.dry else f"{torch.cuda.get_device_properties(0).total_memory / 1e9:.0f} GB",
        torch=torch.__version__,
        transformers=transformers.__version__,
        **{"product of 8,192": f"{ceiling(bench.device, dtype) / 1e12:.3g} TFLOP/s"},
        **{"copy, read and written": f"{2 * size / seconds / 1e12:.3g} TB/s"},
    )


def attention(bench: Bench) -> None:
    """Every way to attend against float32, values and gradients."""
    from croco.models import devices
    from croco.training.attention import Heads, by_kernel, by_segment, kernel_fits

    devices.begin()
    device = torch.device(bench.device)
    sizes = (16, 24) if bench.dry else (64, 80, 96, 128, 192, 256)
    tokens = 90 if bench.dry else 2048
    for size in sizes:
        heads = Heads(8, 2, size, (None, tokens // 8))
        for dtype in (torch.bfloat16, torch.float16):
            ways = {"segments": by_segment} | ({} if bench.dry else {"kernel": by_kernel})
            said = {name: kernel_fits(device, dtype, heads, tokens, way) or "equal" for name, way in ways.items()}
            bench.row("Attention against float32", head=size, type=str(dtype).removeprefix("torch."), **said)
    heads = Heads(8, 2, 64, (None, tokens // 8))
    said = {"segments": kernel_fits(device, torch.float32, heads, tokens, by_segment) or "equal"}
    bench.row("Attention against float32", head=64, type="float32", **said)


FAMILIES: dict[str, dict[str, int]] = {
    "llama": {"head_dim": 128},
    "cohere2": {"head_dim": 128, "sliding_window": 128},
    "qwen3": {"head_dim": 128},
    "gemma3_text": {"head_dim": 256, "sliding_window": 128},
}
WAYS = {  # name: settings
    "packed": ["trainer.compile=false"],
    "compiled": ["trainer.compile=true"],
    "padded": ["trainer.packing=false"],
}


def families(bench: Bench) -> None:
    """Log-probs and gradients of small models, half precision on the card against float32 on the CPU; the loss at step 0."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from benchmarks.our_side import config_of
    from benchmarks.training_data import save_tokenizer

    sizes = {"hidden_size": 64 if bench.dry else 512, "intermediate_size": 128 if bench.dry else 1536}
    count = {"num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 3000}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "max_position_embeddings": 4096}
    examples = made_pairs(2 if bench.dry else 6, 3000, "euro")
    ways = {"packed": WAYS["packed"]} if bench.dry else WAYS  # compiling takes a minute on a CPU
    for family, own in FAMILIES.items():
        with tempfile.TemporaryDirectory() as scratch, _reported(bench, "Families", family):
            folder = Path(scratch)
            torch.manual_seed(1)
            shape = {**sizes, **count, **ends, **own, **({"head_dim": 16} if bench.dry else {})}
            AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **shape)).save_pretrained(folder)
            save_tokenizer(folder)
            plain = ("trainer.packing=false", "trainer.fused_norms=false", "trainer.fused_lora=false")
            with _on_cpu():
                expected = _logps(config_of(folder, "float32", *plain), examples)
            for way, settings in ways.items():
                with _reported(bench, "Families", family, way):
                    found = _logps(config_of(folder, "bfloat16", *settings), examples)
                    apart = found["logps"] - expected["logps"]
                    gradient = (found["gradient"] - expected["gradient"]).norm() / expected["gradient"].norm()
                    bench.row(
                        "Families",
                        model=family,
                        way=found["name"],
                        **{
                            "nats a token, mean": f"{float(apart.mean()):+.5f}",
                            "most": f"{float(apart.abs().max()):.3f}",
                        },
                        **{"gradient off": f"{float(gradient):.2%}"},
                        **{"loss at step 0 - ln 2": f"{found['loss'] - math.log(2):+.1e}"},
                    )
            bench.free()


def _logps(config: Any, examples: list[Example]) -> dict[str, Any]:
    """Log-probs of all answer tokens, the gradient of their mean, and the first loss."""
    from benchmarks.our_side import Ours
    from benchmarks.training_sides import away_from_zero

    side = Ours(config, {}, examples, None)
    with torch.no_grad():
        reference = side.policy.referred(examples, None, ())
        known = side.policy.known(examples, reference)
        loss = float(side.policy.loss(*(known[name] for name in side.policy.needs), beta=0.1).mean())
    away_from_zero(side.model)
    values = side.policy.logps(side.model, examples).values
    values.mean().backward()
    gradient = torch.cat([p.grad.flatten().float().cpu() for p in side.parameters])
    return {
        "name": side.policy.logps.name,
        "logps": values.detach().float().cpu(),
        "gradient": gradient,
        "loss": loss,
    }


@contextlib.contextmanager
def _on_cpu() -> Iterator[None]:
    """Models are loaded on the CPU within it."""
    there = torch.cuda.is_available
    torch.cuda.is_available = lambda: False
    try:
        yield
    finally:
        torch.cuda.is_available = there


@contextlib.contextmanager
def _reported(bench: Bench, table: str, *what: str) -> Iterator[None]:
    """What goes wrong within it becomes a row, with its traceback on the screen."""
    try:
        yield
    except Exception as error:
        import traceback

        traceback.print_exc()
        bench.free()
        line = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"[:200]
        bench.row(table, **dict(zip(("model", "way", "more"), what, strict=False)), error=line)


RUNS = {
    "offline, float32": ["model.dtype=float32", "lang.languages=[en,da]", "prompts.train=48", "prompts.heldout=16"],
    "offline, bfloat16": ["model.dtype=bfloat16", "lang.languages=[en,da]", "prompts.train=48", "prompts.heldout=16"],
    "online, bfloat16": [
        *("model.dtype=bfloat16", "method=online_dpo", "pairing=best_worst", "sampling.samples=4"),
        *("lang=da", "debug=smoke"),
    ],
    "SFT, bfloat16": ["model.dtype=bfloat16", "method=sft", "lang=da", "debug=smoke"],
    "offline, layers compiled": ["model.dtype=bfloat16", "trainer.compile=true", "lang=da", "debug=smoke"],
}


def world(bench: Bench) -> None:
    """The embedded world from nothing to the report, each run a process, side by side: does it run, and what does it hold."""
    trainer = "trainer=cpu" if bench.dry else "trainer=gpu"
    runs = dict(list(RUNS.items())[3:4]) if bench.dry else RUNS
    with tempfile.TemporaryDirectory() as scratch:
        started = {}
        for number, (name, settings) in enumerate(runs.items()):
            folder = Path(scratch) / str(number)
            command = [
                sys.executable,
                "-m",
                "croco.run",
                trainer,
                "logger=none",
                f"paths.artifacts={folder}",
                *settings,
            ]
            log = (bench.lines.parent / f"world_{number}.log").open("w+", encoding="utf-8")
            environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
            work = subprocess.Popen(command, cwd=scratch, env=environment, stdout=log, stderr=subprocess.STDOUT)
            started[name] = (work, folder, log, time.monotonic())
        for name, (work, folder, log, begun) in started.items():
            try:
                code: Any = work.wait(max(5.0, bench.until - time.monotonic()))
            except subprocess.TimeoutExpired:
                work.kill()
                code = "no end"
            log.seek(0)
            said = [line for line in log.read().splitlines() if line.strip()]
            print("\n".join(said[-60:] if code else said[-12:]), flush=True)
            bench.row(
                "The embedded world",
                run=name,
                **{"exit code": code, "seconds, until looked at": f"{time.monotonic() - begun:.0f}"},
                **{"last line": "" if code == 0 or not said else said[-1][:160]},
            )
            for manifest in sorted(folder.rglob("manifest.json")):
                held = json.loads(manifest.read_text(encoding="utf-8")).get("memory", {})
                if "device_peak" in held and name == "offline, float32":
                    where = manifest.parent.parent.name
                    bench.row("Device memory by stage", run=name, stage=where, MB=f"{held['device_peak'] / 1e6:,.0f}")


def step(bench: Bench, shape: str, most: float) -> None:
    """A training step, ours and TRL's: every side is warmed up on the very batches it is timed on, and is given the reference."""
    from benchmarks.our_side import Ours, config_of
    from benchmarks.training_sides import as_on_a_gpu, begun

    as_on_a_gpu()
    dtype = "float32" if bench.dry else "bfloat16"
    pairs = 2 if bench.dry else PAIRS
    with tempfile.TemporaryDirectory() as scratch, on_device(shape, Path(scratch), bench.device) as made:
        folder = Path(scratch)
        examples = made_pairs(pairs * BATCHES, made.config.vocab_size, "euro")
        known = torch.full((2, len(examples)), -1000.0, dtype=torch.float64)
        top = ceiling(bench.device, getattr(torch, dtype))

        def ours(*settings: str) -> Callable[[], Any]:
            config = config_of(folder, dtype, *(f"trainer.{setting}" for setting in settings))
            return lambda: begun(Ours(config, {}, examples, known))

        def trl(**settings: Any) -> Callable[[], Any]:
            from benchmarks.trl_side import TRL

            return lambda: begun(TRL(config_of(folder, dtype), {}, folder, reference=known, **settings))

        sides = {
            "croco, layers not compiled": ours("compile=false"),
            "croco": ours("compile=true"),
            "TRL, micro-batch 4": trl(micro_batch=4, checkpointing=False),
            "TRL, micro-batch 8": trl(micro_batch=8, checkpointing=False),
            "TRL, micro-batch 8, Liger": trl(micro_batch=8, checkpointing=False, use_liger_kernel=True),
            "TRL, micro-batch 4, Liger": trl(micro_batch=4, checkpointing=False, use_liger_kernel=True),
            "TRL, micro-batch 2": trl(micro_batch=2, checkpointing=False),
            "TRL, micro-batch 16, Liger": trl(micro_batch=16, checkpointing=False, use_liger_kernel=True),
            "croco, packs of 4,096": ours("compile=true", "tokens_per_pack=4096"),
            "croco, packs of 16,384": ours("compile=true", "tokens_per_pack=16384"),
            "TRL, micro-batch 1": trl(micro_batch=1, checkpointing=False),
            "TRL, micro-batch 16": trl(micro_batch=16, checkpointing=False),
            "croco, recomputed": ours("compile=true", "gradient_checkpointing=true"),
            "TRL, default": trl(micro_batch=1, checkpointing=True),
        }
        if bench.dry:
            sides = {name: sides[name] for name in ("croco, layers not compiled", "TRL, micro-batch 2")}
        sides = {name: side for name, side in sides.items() if not bench.sides or name in bench.sides}
        counted: list[int] = []
        best: dict[str, float] = {}
        until = time.monotonic() + most
        for name, make in sides.items():
            if not bench.dry and (time.monotonic() > until or not bench.has(15)):
                bench.row(f"A training step: {shape}", side=name, error="no time left")
                continue
            with _reported(bench, f"A training step: {shape}", name):
                _side(bench, shape, name, make, examples, counted, best, top)
            bench.free()


def _side(
    bench: Bench,
    shape: str,
    name: str,
    make: Callable[[], Any],
    examples: list[Example],
    counted: list[int],
    best: dict[str, float],
    top: float,
) -> None:
    """One side's row. The sides not compiled count the operations that the compiled ones do, too."""
    side, pairs = make(), len(examples) // BATCHES
    batches = [list(range(pairs * n, pairs * (n + 1))) for n in range(BATCHES)]

    def work(places: Sequence[int]) -> Callable[[], float]:
        return lambda: side.step([examples[i] for i in places], places)

    cold, peaks = zip(*(bench.peak(work(places)) for places in batches), strict=True)
    times = [[bench.took(work(places)) for _ in range(1 if bench.dry else 3)] for places in batches]
    each = [min(some) for some in times]
    if name == "croco, layers not compiled":
        counted[:] = [flops(work(places)) + _attention_flops(side, examples, places) for places in batches]
    share = (
        [count / took / top for count, took in zip(counted, each, strict=True)] if "croco" in name and counted else []
    )
    tokens = [sum(e.size(shared=False) for e in examples[pairs * n : pairs * (n + 1)]) for n in range(BATCHES)]
    best[name] = statistics.mean(each) / pairs
    fastest = {side: took for side, took in best.items() if side.startswith("TRL")}
    bench.row(
        f"A training step: {shape}",
        side=name,
        **{"ms a pair": f"{1e3 * best[name]:.1f}", "cold": f"{1e3 * statistics.mean(cold) / pairs:.0f}"},
        **{"tokens/s": f"{statistics.mean(n / t for n, t in zip(tokens, each, strict=True)):,.0f}"},
        **{"of ceiling": f"{statistics.mean(share):.1%}" if share else ""},
        **{"GB above weights": f"{max(peaks):.1f}"},
        more=getattr(side, "how", ""),
        **{"of the fastest TRL": f"{min(fastest.values()) / best[name]:.2f}x" if fastest else ""},
    )
    if name in ("croco", "croco, layers not compiled") and not bench.dry:
        with _reported(bench, f"Where the time goes: {shape}", name):
            profiled(bench, shape, name, work(batches[0]), each[0])


def _attention_flops(side: Any, examples: list[Example], places: Sequence[int]) -> int:
    """Of the kernel, which the counter does not know: two products over the pairs of tokens that see one another, and 2.5 times
    that for the backward pass. The call per segment is counted as it is."""
    from croco.training.packed import lay_out

    if side.model.device.type != "cuda":
        return 0
    text = side.model.get_base_model().config.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    seen = 0
    for start, stop, prompt_start, prompt_stop in lay_out([examples[i] for i in places]).segments:
        own = stop - start
        seen += own * (own + 1) // 2 + own * (prompt_stop - prompt_start)
    return int(3.5 * 4 * size * text.num_attention_heads * text.num_hidden_layers * seen)


KINDS = {  # what a kernel's name tells; the first that fits, since an attention kernel is made of cutlass's parts
    "attention": ("flash", "fmha", "attention"),
    "matrix products": ("gemm", "nvjet", "cutlass", "cublas", "splitk"),
    "element by element, fused": ("triton",),
    "copies": ("memcpy",),
}


def profiled(bench: Bench, shape: str, name: str, work: Callable[[], object], wall: float) -> None:
    """Kernel time of a step by kind."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        bench.took(work)
    device = torch.autograd.DeviceType.CUDA
    events = [e for e in seen.key_averages() if e.device_type == device and e.self_device_time_total > 0]
    kernels = [e for e in events if not e.key.startswith("Optimizer.")]  # a mark around kernels that are there, too
    total = sum(e.self_device_time_total for e in kernels)
    kinds: dict[str, float] = dict.fromkeys([*KINDS, "other"], 0.0)
    for event in kernels:
        kind = next((k for k, marks in KINDS.items() if any(m in event.key.lower() for m in marks)), "other")
        kinds[kind] += event.self_device_time_total
    bench.row(
        f"Where the time goes: {shape}",
        side=name,
        **{
            "step, ms": f"{1e3 * wall:.0f}",
            "kernels, ms": f"{total / 1e3:.0f}",
            "launches": sum(e.count for e in kernels),
        },
        **{kind: f"{taken / total:.0%}" for kind, taken in kinds.items()},
    )
    for event in sorted(kernels, key=lambda e: -e.self_device_time_total)[:25]:
        print(f"    {event.self_device_time_total / 1e3:9.2f} ms x{event.count:6d} {event.key[:150]}", flush=True)


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
            with _reported(bench, "The transformers engine", f"64 x {prompts}"):
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


PARTS: dict[str, tuple[Callable[[Bench], None], float]] = {
    "card": (card, 30),
    "attention": (attention, 60),
    "families": (families, 120),
    "world": (world, 150),
    "step": (functools.partial(step, shape="eurollm-9b", most=110), 170),
    "aya": (functools.partial(step, shape="aya-3b", most=60), 110),
    "engine": (engine, 70),
}
"""What it does, and seconds that it may take."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--lines", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--sides", nargs="*", default=[])
    bench = Bench(parser.parse_args())
    work = PARTS[parser.parse_args().part][0]
    if bench.dry and isinstance(work, functools.partial):
        work = functools.partial(step, shape="nano-aya" if work.keywords["shape"] == "aya-3b" else "nano", most=60)
    with _reported(bench, "Failed", parser.parse_args().part):
        work(bench)


if __name__ == "__main__":
    main()
