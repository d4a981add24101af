"""The parts of the GPU benchmark. Each writes rows as it measures them, and none needs another."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.counting import ceiling
from benchmarks.gpu_bench import ROOT, Bench, reported
from benchmarks.gpu_engine import engine
from benchmarks.gpu_step import step
from benchmarks.training_data import made_pairs
from croco.training.data import Example


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
        with tempfile.TemporaryDirectory() as scratch, reported(bench, "Families", family):
            folder = Path(scratch)
            torch.manual_seed(1)
            shape = {**sizes, **count, **ends, **own, **({"head_dim": 16} if bench.dry else {})}
            AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **shape)).save_pretrained(folder)
            save_tokenizer(folder)
            plain = ("trainer.packing=false", "trainer.fused_norms=false", "trainer.fused_lora=false")
            with _on_cpu():
                expected = _logps(config_of(folder, "float32", *plain), examples)
            for way, settings in ways.items():
                with reported(bench, "Families", family, way):
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
    with reported(bench, "Failed", parser.parse_args().part):
        work(bench)


if __name__ == "__main__":
    main()
