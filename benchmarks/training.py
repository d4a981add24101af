"""One optimiser step of preference training against TRL's DPOTrainer: time, tokens, counted FLOPs and peak memory.

    python benchmarks/training.py                               # the CPU proxies; an hour and a half on two cores
    python benchmarks/training.py --shapes euro --rounds 3      # shorter
    python benchmarks/training.py --reward --shapes euro        # a reward model against TRL's RewardTrainer
    python benchmarks/training.py --flops                       # counted FLOPs alone: no noise, a minute
    python benchmarks/training.py --unmodified --shapes 128k --rows --sides "TRL, default" "TRL, hand-tuned" croco   # 45 minutes
    python benchmarks/training.py --shapes eurollm-9b --mix euro chat long --device cuda --dtype bfloat16 --tokens-per-pack 8192

On a GPU each side is made anew from 18 GB of weights to be counted, and again to measure its memory: `--sides` saves time.

All sides take the same pairs of random token ids (prompt and answer lengths log-normal), the same random weights, LoRA on all
projections, 8 pairs a step. In every round the sides run in a new random order; ratios are taken within a round, and the table
gives their median with the lowest and highest. CPU seconds count all threads of this process, and the system's work for it (most
of that is memory it hands out), and are what a loaded machine disturbs least. "Of ceiling" is the share of a large matrix
product's speed, measured beside the step, that a step's counted operations come to. TRL's log-probs are computed as on a GPU
(answer positions only), which on a CPU it does not do by itself; with `--unmodified` they are computed as it ships: at every
position, prompts and padding too. Of a reward model TRL's default is as it ships, 8 pairs at a time, recomputed; hand-tuned is a
pair at a time, nothing recomputed.
"""

from __future__ import annotations

import argparse
import functools
import gc
import os
import random
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.counting import Seconds, ceiling, flops, seconds
from benchmarks.results import RESULTS, write
from benchmarks.training_data import LENGTHS, SHAPES, made_pairs, save_model
from benchmarks.training_memory import by_length, megabytes, settings
from benchmarks.training_sides import Side, reward_sides, sides
from croco.show.progress import Progress, Task
from croco.show.tables import MISSING, Table
from croco.training.data import Example

PAIRS = 8
TIMED = ("TRL, default", "TRL, hand-tuned", "croco", "croco, reference in the step")
"""The others are counted and their memory is measured."""
SHARES = 3  # steps beside which the ceiling is measured


def timed(
    made: Mapping[str, Side], examples: Sequence[Example], rounds: int, device: str, task: Task
) -> dict[str, list[Seconds]]:
    """Each side's step in each round; a round before them warms up."""
    order, draw = list(made), random.Random(0)
    taken: dict[str, list[Seconds]] = {name: [] for name in made}
    for number in range(rounds + 1):
        places = list(range(PAIRS * number, PAIRS * (number + 1)))
        draw.shuffle(order)
        for name in order:
            work = functools.partial(made[name].step, [examples[i] for i in places], places)
            took = seconds(work, device)
            if number:
                taken[name].append(took)
            task.advance(1)
    return taken


def shares(
    made: Mapping[str, Side], examples: Sequence[Example], counted: Mapping[str, int], arguments: argparse.Namespace
) -> dict[str, float]:
    """The share of the ceiling of our sides, on the first step's pairs, whose operations are `counted`: medians of a few."""
    dtype, first = getattr(torch, arguments.dtype), list(range(PAIRS))
    found: dict[str, list[float]] = {name: [] for name in made if name.startswith("croco")}
    for _ in range(SHARES):
        for name in found:
            most = ceiling(arguments.device, dtype)
            took = seconds(functools.partial(made[name].step, examples[:PAIRS], first), arguments.device)
            found[name].append(counted[name] / took.wall / most)
    return {name: statistics.median(values) for name, values in found.items()}


def measured(shape: str, mix: str, folder: Path, arguments: argparse.Namespace, progress: Progress) -> Table:
    """The table of one model shape and one mix of lengths."""
    examples = made_pairs(PAIRS * (arguments.rounds + 1), SHAPES[shape]["vocab_size"], mix)
    how = (folder, arguments.dtype, arguments.tokens_per_pack)
    if arguments.reward:
        makers = reward_sides(*how, examples, folder.parent)
    else:
        makers = sides(*how, arguments.unmodified, examples, folder.parent)
    if arguments.sides:
        makers = {name: makers[name] for name in arguments.sides}
    first, counted, memory = list(range(PAIRS)), {}, {}
    with progress.task(f"{shape}, {mix}: counted and measured", len(makers), "sides") as task:
        for name, maker in makers.items():
            counted[name] = flops(functools.partial(maker().step, examples[:PAIRS], first))
            _free()
            if not arguments.flops and not arguments.reward:
                memory[name] = megabytes(name, folder, arguments, "--pairs", str(PAIRS), "--mix", mix)
            task.advance(1)
    columns = {"": list(makers)} | _counts(counted)
    if not arguments.flops:
        made = _on_one_base({name: maker for name, maker in makers.items() if name in TIMED})
        with progress.task(f"{shape}, {mix}: timed", len(made) * (arguments.rounds + 1), "steps") as task:
            taken = timed(made, examples, arguments.rounds, arguments.device, task)
        share = shares(made, examples, counted, arguments)
        del made
        _free()
        columns |= _times(taken, list(makers), examples)
        columns["of ceiling"] = [f"{share[name]:.0%}" if name in share else MISSING for name in makers]
        if memory:
            columns["peak MB"] = [f"{memory[name]:,.0f}" for name in makers]
    rows = list(zip(*columns.values(), strict=True))
    return Table(_title(shape, mix, examples, arguments), list(columns), rows, _note(arguments))


def _on_one_base(makers: Mapping[str, Callable[[], Side]]) -> dict[str, Side]:
    """The sides, all with the frozen weights of the first, so that a device holds these once."""
    made: dict[str, Side] = {}
    frozen: dict[str, torch.Tensor] = {}
    for name, maker in makers.items():
        made[name] = side = maker()
        for key, parameter in side.model.named_parameters():
            if not parameter.requires_grad:
                parameter.data = frozen.setdefault(key, parameter.data)
        _free()
    return made


def _free() -> None:
    """Of a side that is no more, so that the next one, or another process, finds the device's memory."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _counts(counted: Mapping[str, int]) -> dict[str, list[Any]]:
    base = counted.get("TRL, default", next(iter(counted.values())))
    return {
        "GFLOP": [f"{count / 1e9:,.0f}" for count in counted.values()],
        "of default": [f"{count / base:.3f}" for count in counted.values()],
    }


def _times(
    taken: Mapping[str, list[Seconds]], names: Sequence[str], examples: Sequence[Example]
) -> dict[str, list[Any]]:
    """Seconds, speed, and ratios to TRL's two settings; a dash where a side was not timed."""
    rounds = len(next(iter(taken.values())))
    tokens = [sum(e.size(shared=False) for e in examples[PAIRS * n : PAIRS * (n + 1)]) for n in range(1, rounds + 1)]

    def per_second(name: str, done: Sequence[int]) -> float:
        return statistics.median(n / took.wall for n, took in zip(done, taken[name], strict=True))

    def ratio(other: str, which: str, name: str) -> str:
        if other not in taken:
            return MISSING
        both = zip(taken[other], taken[name], strict=True)
        ratios = [getattr(a, which) / getattr(b, which) for a, b in both]
        return f"{statistics.median(ratios):.2f}x [{min(ratios):.2f}, {max(ratios):.2f}]"

    shown = {
        "CPU s": lambda name: f"{statistics.median(took.cpu for took in taken[name]):.2f}",
        "of it system": lambda name: f"{statistics.median(took.system for took in taken[name]):.2f}",
        "pairs/s": lambda name: f"{per_second(name, [PAIRS] * rounds):.2f}",
        "tokens/s": lambda name: f"{per_second(name, tokens):,.0f}",
    }
    for which, word in (("cpu", "CPU"), ("wall", "wall")):
        for side in ("default", "hand-tuned"):
            shown[f"{word}, {side}"] = functools.partial(ratio, f"TRL, {side}", which)
    return {head: [of(name) if name in taken else MISSING for name in names] for head, of in shown.items()}


def _title(shape: str, mix: str, examples: Sequence[Example], arguments: argparse.Namespace) -> str:
    parts = zip(*((len(e.prompt), *map(len, e.answers)) for e in examples), strict=True)
    prompt, chosen, rejected = (statistics.mean(lengths) for lengths in parts)
    return (
        f"{shape}, {arguments.dtype}: prompts of {prompt:.0f} tokens, answers of {chosen:.0f} and {rejected:.0f} "
        f"(mix {mix}; means)"
        + (", TRL unmodified" if arguments.unmodified else "")
        + (", a reward model" * arguments.reward)
    )


def _note(arguments: argparse.Namespace) -> str:
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"
    return (
        f"A step of {PAIRS} pairs on {device}, {torch.get_num_threads()} threads, packs of {arguments.tokens_per_pack} "
        f"tokens; medians of {arguments.rounds} "
        "rounds, ratios with the lowest and highest round. Tokens are those of prompt and answer of both sides of a pair. "
        + ("" if arguments.reward else "Peak is memory above the loaded model.")
    )


def tables(arguments: argparse.Namespace) -> Iterator[tuple[str, Table]]:
    """For each shape, with its name: a table for each mix of lengths, and one of memory."""
    # In plain lines: a bar would draw itself beside what is timed.
    progress = Progress(Console(force_terminal=False, highlight=False))
    for shape in arguments.shapes:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            save_model(folder, shape, arguments.dtype)
            for mix in arguments.mix:
                yield shape, measured(shape, mix, folder, arguments, progress)
            if arguments.rows and not arguments.flops and not arguments.reward:
                yield shape, by_length(shape, folder, arguments)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[settings()]
    )
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=["euro", "128k"])
    parser.add_argument("--mix", nargs="+", choices=sorted(LENGTHS), default=["euro"])
    parser.add_argument("--reward", action="store_true", help="of a reward model, against TRL's RewardTrainer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sides", nargs="+", help="only these")
    parser.add_argument("--rows", nargs="*", type=int, default=[512, 2048, 4096], help="tokens; none: no such table")
    parser.add_argument("--flops", action="store_true", help="only count")
    parser.add_argument("--out", type=Path, help="default: one file for each shape under benchmarks/results")
    return parser


def main() -> None:
    arguments = parser().parse_args()
    warnings.filterwarnings("ignore")
    os.environ["WANDB_MODE"] = "disabled"
    there = "cuda" if torch.cuda.is_available() else "cpu"
    if arguments.device != there:
        raise SystemExit(f"--device {arguments.device}: models are loaded on {there} on this machine")
    torch.set_num_threads(arguments.threads)
    made: dict[Path, list[Table]] = {}
    for shape, table in tables(arguments):
        name = f"training_{shape}{'_unmodified' * arguments.unmodified}{'_reward' * arguments.reward}.md"
        out = arguments.out or RESULTS / name
        made.setdefault(out, []).append(table)
        write(out, *made[out])  # what has been measured is kept, whatever comes


if __name__ == "__main__":
    main()
