"""What a run does before its first step, by its number of pairs: nothing of it may grow faster than they do.

    python benchmarks/training_plan.py                      # 20 thousand, 140 thousand and 1.4 million pairs, half an hour
    python benchmarks/training_plan.py --pairs 2000

Plan and packs: sizes are log-normal, 1,000 tokens a pair on average, in packs of 8,192. Data: prompts of some 240 tokens, encoded
by the embedded policy's tokenizer (`--tokenizer` takes another checkpoint's), and two answers of some 240, which come as the ids
that were sampled, or as text (`--text`). CPU seconds are those of all threads together.
"""

from __future__ import annotations

import argparse
import functools
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.our_side import config_of
from benchmarks.results import RESULTS, write
from croco.artifacts import records
from croco.artifacts.records import Pair
from croco.artifacts.store import Artifact
from croco.language.text import load_tokenizer, prompt_ids
from croco.show.progress import Progress
from croco.show.tables import Table
from croco.tiny import MODELS, world
from croco.training import rows as source
from croco.training.data import Example, Plan, packs
from croco.training.encoding import Encoded, Encodings, of_rows
from croco.training.reference import ReferenceCache

BUDGET, BATCH = 8192, 64
STEPS = 200  # whose plans are timed
TOKENS = 240  # of a prompt and of an answer, about
AT_ONCE = 4096  # pairs that are made and written together


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    gc.collect()  # of what came before
    start = time.process_time()
    made = work()
    return time.process_time() - start, made


def row(pairs: int) -> tuple[Any, ...]:
    sizes = np.minimum(np.random.default_rng(0).lognormal(6.8, 0.45, pairs).astype(int) + 1, BUDGET)
    plan = Plan(pairs, BATCH, 1, 0)
    order, _ = cpu(lambda: plan.batch(0))
    steps = range(1, min(STEPS, plan.steps))
    planned, _ = cpu(lambda: [plan.batch(step) for step in steps])
    counted, _ = cpu(lambda: plan.tokens(sizes))
    packed, groups = cpu(lambda: packs(range(pairs), sizes, BUDGET))
    return (
        f"{pairs:,}",
        f"{1e3 * order:.1f}",
        f"{1e3 * planned / len(steps):.3f}",
        f"{counted:.3f}",
        f"{packed:.2f}",
        f"{1e6 * packed / pairs:.2f}",
        f"{sizes.sum() / BUDGET / len(groups):.1%}",
    )


COLUMNS = ("pairs", "order, ms", "a step, ms", "tokens, s", "packs, s", "packs, us a pair", "packs full")


def table(pairs: Sequence[int]) -> Table:
    row(20_000)  # what runs for the first time meets the garbage of what was imported
    note = "The order is that of an epoch, made once; the packs are the reference's, all pairs together."
    return Table("What a run plans, by its number of pairs", COLUMNS, [row(count) for count in pairs], note)


def synthetic(folder: Path, tokenizer: Any, pairs: int, as_text: bool) -> Artifact:
    """A pairs artifact of so many rows, each with a prompt of its own."""
    draw = np.random.default_rng(0)
    said = [p["text"]["da"] for p in world.prompts("open", "train", 200, 0)]
    each = len(prompt_ids(tokenizer, [{"role": "user", "content": " ".join(said)}])) / len(said)
    words = [" ".join(draw.choice(said, max(1, round(TOKENS / each)))) for _ in range(AT_ONCE)]
    artifact = Artifact(folder, "pairs", "0" * 16, 1, {}, {})
    artifact.path.mkdir(parents=True)
    schema = records.schema(Pair)
    with pq.ParquetWriter(artifact.path / "pairs.parquet", schema, compression=records.compression(schema)) as out:
        for begin in range(0, pairs, AT_ONCE):
            count = min(AT_ONCE, pairs - begin)
            out.write_table(_pairs(schema, draw, words[:count], begin, len(tokenizer), as_text))
    return artifact


def _pairs(schema: pa.Schema, draw: Any, words: Sequence[str], begin: int, vocabulary: int, as_text: bool) -> pa.Table:
    count = len(words)
    plain: dict[str, Any] = {
        "prompt_id": [f"p{begin + i}" for i in range(count)],
        "language": ["da"] * count,
        "source": ["on_policy"] * count,
        "prompt": [[{"role": "user", "content": f"{begin + i} {said}"}] for i, said in enumerate(words)],
    }
    for side, step in (("chosen", 1), ("rejected", 2)):
        plain[side] = [[{"role": "assistant", "content": words[i - step]}] for i in range(count)]
        if not as_text:
            lengths = draw.integers(TOKENS // 2, TOKENS * 3 // 2, count)
            ends = np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
            plain[f"{side}_token_ids"] = pa.ListArray.from_arrays(ends, draw.integers(5, vocabulary, ends[-1]))
    columns = [plain[f.name] if f.name in plain else pa.nulls(count, f.type) for f in schema]
    return pa.table(
        [pa.array(c, f.type) if isinstance(c, list) else c for c, f in zip(columns, schema, strict=True)], schema
    )


def started(pairs: int, checkpoint: Path, as_text: bool) -> tuple[Any, ...]:
    """A first start and one that finds what the first has left."""
    progress = Progress(Console(quiet=True))
    tokenizer = load_tokenizer(str(checkpoint))
    config = config_of(checkpoint, "float32")
    with tempfile.TemporaryDirectory() as at:
        root = Path(at)
        artifact = synthetic(root, tokenizer, pairs, as_text)

        def encoded() -> Encoded:
            exact = source.exact(config, artifact, tokenizer)
            rows = source.each(config, artifact, artifact, exact)
            count = len(source.prompt_ids(config, artifact, artifact))
            return Encodings(root, {}, {}).of(of_rows(tokenizer, rows, count, 2, 8192), progress, "benchmark")[0]

        begun = time.monotonic()
        first, made = cpu(encoded)
        wall = time.monotonic() - begun
        examples, _ = made.examples()
        cache = ReferenceCache(root, {})
        cache.of(examples, _zeros)
        del made, examples
        again, size = cpu(lambda: _resumed(encoded, cache))
    tokens, kept = size
    return (
        f"{pairs:,}",
        f"{tokens / pairs:,.0f}",
        f"{first:.1f}",
        f"{wall:.1f}",
        f"{1e3 * first / pairs:.3f}",
        f"{again:.1f}",
        f"{1e3 * again / pairs:.3f}",
        f"{kept / tokens:.2f}",
    )


def _zeros(examples: Sequence[Example]) -> Iterator[tuple[Example, list[torch.Tensor]]]:
    for example in examples:
        yield example, [torch.zeros(len(answer)) for answer in example.answers]


def _resumed(encoded: Callable[[], Encoded], cache: ReferenceCache) -> tuple[int, int]:
    """All that stands before the first step but the model: data, sizes, plan, and the reference's sums from their cache."""
    examples, _ = encoded().examples()
    sizes = examples.sizes(True)
    Plan(len(examples), BATCH, 1, 0).batch(0)
    known = cache.read(examples)
    assert cache.sums(examples, known).shape == (2, len(examples))
    return int(sizes.sum()), sum(a.nbytes for a in (examples.ids, examples.starts, examples.lengths))


STARTED = (
    "pairs",
    "tokens a pair",
    "first start, CPU s",
    "wall s",
    "ms a pair",
    "on resume, CPU s",
    "ms a pair",
    "bytes a token",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", nargs="+", type=int, default=[20_000, 140_000, 1_400_000])
    parser.add_argument("--tokenizer", type=Path, default=MODELS / "policy")
    parser.add_argument("--text", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS / "training_plan.md")
    arguments = parser.parse_args()
    note = (
        "Encoding on a first start; on resume all that stands before the first step but loading the model: data, sizes, plan "
        "and the reference's log-probs from their cache. CPU seconds of all threads."
    )
    begun = functools.partial(started, checkpoint=arguments.tokenizer, as_text=arguments.text)
    rows = [begun(count) for count in arguments.pairs]
    write(
        arguments.out,
        table(arguments.pairs),
        Table("From start to first step, by its number of pairs", STARTED, rows, note),
    )


if __name__ == "__main__":
    main()
