"""The claims, written down before the study was run: what is compared, which sign is expected, and when a claim holds.

A contrast is one paired comparison over seeds and prompts, the mean over languages. A claim holds where all of its contrasts
differ in the expected direction with p < 0.05, Holm-adjusted over all contrasts of all claims. A margin turns "no worse" into
something that can be shown: the difference must be on the expected side of it.
"""

from __future__ import annotations

from dataclasses import dataclass

BASE = "base"
OPEN, STRUCTURED = "open", "structured"
LEVEL = 0.05
MARGIN = 0.01
"""Of quality in [0, 1]: what counts as no difference worth having. The demo's effect is about 0.07."""


@dataclass(frozen=True)
class Contrast:
    """`second` minus `first`, expected above `margin` (`sign` 1) or below it (-1)."""

    first: str
    second: str
    tasks: str
    metric: str = "quality"
    sign: int = 1
    margin: float = 0.0


@dataclass(frozen=True)
class Claim:
    key: str
    says: str
    contrasts: tuple[Contrast, ...]


CLAIMS = (
    Claim(
        "b",
        "Mono and multi pairs improve the policy",
        (Contrast(BASE, "mono", OPEN), Contrast(BASE, "multi", OPEN)),
    ),
    Claim(
        "c",
        "SFT forgets what the preferences do not touch, also at DPO's rate, and DPO does not",
        (
            Contrast(BASE, "sft", STRUCTURED, sign=-1),
            Contrast(BASE, "sft_dpo_rate", STRUCTURED, sign=-1),
            Contrast(BASE, "mono", STRUCTURED, margin=-MARGIN),
        ),
    ),
    Claim(
        "d",
        "On-policy data matter: pairs of another policy's answers, or of the data set's, do worse",
        (Contrast("off_policy", "mono", OPEN), Contrast("reference", "mono", OPEN)),
    ),
    Claim(
        "e",
        "Online does not beat offline at equal steps and answers a prompt",
        (
            Contrast("offline_2", "online_2", OPEN, sign=-1, margin=MARGIN),
            Contrast("offline_2", "iterative_2", OPEN, sign=-1, margin=MARGIN),
        ),
    ),
    Claim("f16", "mean - 2 sd beats the minimum of 16 answers", (Contrast("min_k16", "mono", OPEN),)),
    Claim("f64", "mean - 2 sd beats the minimum of 64 answers", (Contrast("min_k64", "mono_k64", OPEN),)),
)
"""(a), about the reward, and (g), about the pairs, compare no policies: pools.py measures them before any training."""
LANGUAGES_OF_G = ("multi", "multi_z")
"""Raw pooling contrasts languages: the distance between the languages of chosen and rejected is higher without standardising."""
