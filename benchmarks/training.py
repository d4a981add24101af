"""One optimiser step of preference training against TRL's DPOTrainer: time, tokens, counted FLOPs and peak memory.

    python benchmarks/training.py                               # the CPU proxies; about half an hour on two cores
    python benchmarks/training.py --shapes euro --rounds 3      # shorter
    python benchmarks/training.py --flops                       # counted FLOPs alone: no noise, a minute
    python benchmarks/training.py --unmodified --shapes 128k --sides "TRL, default" "TRL, hand-tuned" croco   # 45 minutes
    python benchmarks/training.py --shapes eurollm-9b --device cuda --dtype bfloat16   # a GPU with 80 GB or more

All sides take the same pairs of random token ids (prompt and answer lengths log-normal), the same random weights, LoRA on all
projections, 8 pairs a step. In every round the sides run in a new random order; ratios are taken within a round, and the table
gives their median with the lowest and highest. CPU seconds count all threads of this process and are what a loaded machine
disturbs least. TRL's log-probs are computed as on a GPU (answer positions only), which on a CPU it does not do by itself; with
`--unmodified` they are computed as it ships: at every position, prompts and padding too.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.counting import flops, peak
from benchmarks.results import RESULTS, write
from benchmarks.training_data import LENGTHS, SHAPES, made_pairs, save_model
from benchmarks.trl_side import TRL
from croco.config import Config
from croco.maths import losses
from croco.tables import Table
from croco.training.data import Example, packs
from croco.training.model import build_model
from croco.training.packed import choose
from croco.training.policy import Policy

PAIRS = 8
TIMED = ("TRL, default", "TRL, hand-tuned", "croco", "croco, reference in the step")
"""The others are counted and their memory is measured; `--sides` times what it names."""


class Side(Protocol):
    """One way to make a step."""

    def step(self, examples: Sequence[Example], places: Sequence[int]) -> float: ...


def config_of(folder: Path, dtype: str, *more: str) -> Config:
    from hydra import compose, initialize_config_dir

    from croco.config import CONF, strict

    settings = [f"model.path={folder}", f"model.dtype={dtype}", *more]
    with initialize_config_dir(str(CONF), version_base=None):
        return strict(compose("config", overrides=settings))


class Ours:
    """The LightningModule's own packs, losses and backward passes, without Lightning's loop around them."""

    def __init__(
        self,
        config: Config,
        adapter: dict[str, Tensor],
        examples: list[Example],
        reference: Tensor | None,
        packing: bool = True,
    ) -> None:
        self.model = build_model(config, 0.0)
        self.model.load_state_dict(adapter, strict=False)
        forward = choose(self.model, packing)
        plan: Any = SimpleNamespace(steps=1)
        settings = {k: v for k, v in config.method.loss.items() if k != "_target_"}
        self.policy = Policy(self.model, losses.dpo, settings, examples, plan, config, forward=forward)
        self.policy.reference, self.online = reference, reference is None
        self.examples, self.config = examples, config
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=config.method.learning_rate)

    def step(self, examples: Sequence[Example], places: Sequence[int]) -> float:
        self.optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), dtype=torch.float64)
        for group in packs(places, self.policy.sizes, self.config.trainer.tokens_per_pack):
            if self.online:
                self._refer(group)
            values, measured = self.policy._losses(group)
            (values.sum() / len(places)).backward()
            total = total + measured["loss"].cpu() / len(places)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        return float(total)

    @torch.no_grad()
    def _refer(self, group: list[int]) -> None:
        if self.policy.reference is None:
            self.policy.reference = torch.zeros(2, len(self.examples), dtype=torch.float64)
        with self.model.disable_adapter():
            sums = self.policy.logps(self.model, [self.examples[i] for i in group]).sums(2)
        self.policy.reference[:, group] = sums.cpu()


def as_on_a_gpu() -> None:
    """Let TRL's fused head look at answer positions only."""
    import trl.trainer.utils as utils

    utils._use_triton = lambda device: True


def sides(
    folder: Path, arguments: argparse.Namespace, examples: list[Example], scratch: Path
) -> dict[str, Callable[[], Side]]:
    """Name -> how to make it; made one by one where memory is measured."""
    if not arguments.unmodified:
        as_on_a_gpu()
    dtype, pack = arguments.dtype, f"trainer.tokens_per_pack={arguments.tokens_per_pack}"
    config = config_of(folder, dtype, pack)
    start = build_model(config, 0.0)
    torch.manual_seed(5)
    adapter = {n: torch.randn(p.shape, device=p.device) * 0.02 for n, p in start.named_parameters() if p.requires_grad}
    del start
    reference = torch.full((2, len(examples)), -1000.0, dtype=torch.float64)  # any numbers cost the same
    plain = config_of(folder, dtype, pack, "trainer.fused_lora=false")
    pairwise = config_of(folder, dtype, "trainer.tokens_per_pack=1")  # a pair is never cut: one in each pack
    again = config_of(folder, dtype, "trainer.tokens_per_pack=1", "trainer.gradient_checkpointing=true")
    return {
        "TRL, default": lambda: TRL(config, adapter, scratch),
        "TRL, hand-tuned": lambda: TRL(config, adapter, scratch, checkpointing=False, reference=reference),
        "TRL, micro-batch 8": lambda: TRL(config, adapter, scratch, micro_batch=8),
        "croco": lambda: Ours(config, adapter, examples, reference),
        "croco, a pair at a time": lambda: Ours(pairwise, adapter, examples, reference),
        "croco, a pair at a time, recomputed": lambda: Ours(again, adapter, examples, reference),
        "croco, reference in the step": lambda: Ours(config, adapter, examples, None),
        "croco, PEFT's LoRA layers": lambda: Ours(plain, adapter, examples, reference),
        "croco, padded rows": lambda: Ours(config, adapter, examples, reference, packing=False),
    }


def timed(
    made: dict[str, Side], examples: list[Example], rounds: int, device: str
) -> dict[str, list[tuple[float, float]]]:
    """(wall, CPU) seconds of each side's step in each round; the first round warms up."""
    order, draw = list(made), random.Random(0)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in made}
    for number in range(rounds + 1):
        places = list(range(PAIRS * number, PAIRS * (number + 1)))
        draw.shuffle(order)
        for name in order:
            wall, cpu = time.perf_counter(), time.process_time()
            made[name].step([examples[i] for i in places], places)
            if device == "cuda":
                torch.cuda.synchronize()
            if number:
                seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return seconds


def measured(shape: str, mix: str, arguments: argparse.Namespace) -> Table:
    """The table of one model shape and one mix of lengths."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        save_model(folder, shape, arguments.dtype)
        examples = made_pairs(PAIRS * (arguments.rounds + 1), SHAPES[shape]["vocab_size"], mix)
        makers = sides(folder, arguments, examples, Path(scratch))
        if arguments.sides:
            makers = {name: makers[name] for name in arguments.sides}
        first = list(range(PAIRS))
        counted, memory, seconds = {}, {}, {}
        for name, maker in makers.items():
            side = maker()
            counted[name] = flops(functools.partial(side.step, [examples[i] for i in first], first))
            del side
        if not arguments.flops:
            memory = {name: _memory(name, folder, mix, arguments) for name in makers}
            made = {name: maker() for name, maker in makers.items() if name in (arguments.sides or TIMED)}
            seconds = timed(made, examples, arguments.rounds, arguments.device)
        return _table(shape, mix, examples, counted, memory, seconds, arguments)


def _memory(side: str, folder: Path, mix: str, arguments: argparse.Namespace) -> float:
    """In a process of its own, in which nothing has been allocated before."""
    command = [sys.executable, __file__, "--memory", side, "--folder", str(folder), "--mix", mix]
    for name in ("device", "dtype", "threads", "tokens_per_pack"):
        command += ["--" + name.replace("_", "-"), str(getattr(arguments, name))]
    command += ["--unmodified"] * arguments.unmodified
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def only_memory(arguments: argparse.Namespace) -> None:
    vocabulary = json.loads((arguments.folder / "config.json").read_text())["vocab_size"]
    examples = made_pairs(PAIRS, vocabulary, arguments.mix[0])
    side = sides(arguments.folder, arguments, examples, arguments.folder)[arguments.memory]()
    print(peak(arguments.device, lambda: side.step(examples, list(range(PAIRS)))))


def _table(
    shape: str,
    mix: str,
    examples: list[Example],
    counted: dict[str, int],
    memory: dict[str, float],
    seconds: dict[str, list[tuple[float, float]]],
    arguments: argparse.Namespace,
) -> Table:
    base = counted.get("TRL, default", next(iter(counted.values())))
    columns = ["", "GFLOP", "of default"]
    rows: list[list[Any]] = [[name, f"{count / 1e9:,.0f}", f"{count / base:.3f}"] for name, count in counted.items()]
    if seconds:
        columns += ["CPU s", "pairs/s", "tokens/s", "CPU, default", "CPU, hand-tuned", "wall, default", "peak MB"]
        tokens = [
            sum(e.size(shared=False) for e in examples[PAIRS * n : PAIRS * (n + 1)])
            for n in range(1, arguments.rounds + 1)
        ]
        for row in rows:
            name = row[0]
            row += _times(seconds, name, tokens) if name in seconds else ["–"] * 6
            row.append(f"{memory[name]:,.0f}")
    parts = zip(*((len(e.prompt), *map(len, e.answers)) for e in examples), strict=True)
    prompt, chosen, rejected = (statistics.mean(lengths) for lengths in parts)
    title = (
        f"{shape}, {arguments.dtype}: prompts of {prompt:.0f} tokens, answers of {chosen:.0f} and {rejected:.0f} "
        f"(mix {mix}; means)" + (", TRL unmodified" if arguments.unmodified else "")
    )
    note = (
        f"A step of {PAIRS} pairs on {arguments.device}, {torch.get_num_threads()} threads, packs of {arguments.tokens_per_pack} "
        f"tokens; medians of {arguments.rounds} "
        "rounds, ratios with the lowest and highest round. Tokens are those of prompt and answer of both sides of a pair. "
        "Peak is memory above the loaded model."
    )
    return Table(title, columns, rows, note)


def _times(seconds: dict[str, list[tuple[float, float]]], name: str, tokens: Sequence[int]) -> list[str]:
    """CPU seconds, pairs and tokens per second, and the ratios to TRL's two settings."""
    own = seconds[name]
    default, tuned = seconds.get("TRL, default"), seconds.get("TRL, hand-tuned")
    return [
        f"{statistics.median(c for _, c in own):.2f}",
        f"{PAIRS / statistics.median(w for w, _ in own):.2f}",
        f"{statistics.median(t / w for t, (w, _) in zip(tokens, own, strict=True)):,.0f}",
        _ratio(default, own, 1),
        _ratio(tuned, own, 1),
        _ratio(default, own, 0),
    ]


def _ratio(other: list[tuple[float, float]] | None, own: list[tuple[float, float]], which: int) -> str:
    if other is None:
        return "–"
    ratios = [a[which] / b[which] for a, b in zip(other, own, strict=True)]
    return f"{statistics.median(ratios):.2f}x [{min(ratios):.2f}, {max(ratios):.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=["euro", "128k"])
    parser.add_argument("--mix", nargs="+", choices=sorted(LENGTHS), default=["euro"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sides", nargs="+", help="only these")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens-per-pack", type=int, default=1536)
    parser.add_argument("--unmodified", action="store_true", help="TRL as it ships for this device")
    parser.add_argument("--flops", action="store_true", help="only count")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/training.md, training_unmodified.md")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ["WANDB_MODE"] = "disabled"
    there = "cuda" if torch.cuda.is_available() else "cpu"
    if arguments.device != there:
        raise SystemExit(f"--device {arguments.device}: models are loaded on {there} on this machine")
    torch.set_num_threads(arguments.threads)
    if arguments.memory:
        only_memory(arguments)
        return
    out = arguments.out or RESULTS / ("training_unmodified.md" if arguments.unmodified else "training.md")
    write(out, *(measured(shape, mix, arguments) for shape in arguments.shapes for mix in arguments.mix))


if __name__ == "__main__":
    main()
