"""The claims' verdicts in words, from docs/study.json: what does not hold is said first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmarks.study import claims

Json = Mapping[str, Any]
RANK = {"does not hold": 0, "not shown": 1, "not measured": 2, "holds": 3}
PLURAL = {"does not hold": "do not hold", "holds": "hold"}


def lines(study: Json) -> str:
    """One line a claim: its verdict, what it says, what was seen; what does not hold comes first."""
    told = []
    for claim in sorted(_all(study), key=lambda claim: RANK[claim["verdict"]]):
        seen = claim["seen"] if "seen" in claim else _seen(claim)
        told.append(f"* **{claim['verdict'].capitalize()}**: {claim['says']} ({claim['key']}). {seen}".rstrip())
    return "\n".join(told)


def counted(study: Json) -> str:
    """All verdicts in half a sentence, those that do not hold first."""
    found = Counter(claim["verdict"] for claim in _all(study))
    return ", ".join(f"{found[verdict]} {PLURAL.get(verdict, verdict)}" for verdict in RANK if found[verdict])


def _all(study: Json) -> list[Json]:
    return [*study["claims"], _claim_a(study), _claim_p(study), _claim_g(study)]


def _seen(claim: Json) -> str:
    return " ".join(
        f"{one['second']} against {one['first']}, {one['tasks']} tasks: {effect(one)}, p {p_value(one['p_holm'])}"
        + (f" (of a difference of {one['margin']:+g})" if one["margin"] else "")
        + (
            f", as expected in {len(one['languages_with'])} of {len(one['all_languages'])} languages"
            if not one["margin"]
            else ""
        )
        + "."
        for one in claim["contrasts"]
    )


def _claim_a(study: Json) -> Json:
    """Above chance in every language: the lowest interval's lower end is above one half."""
    found = study["ranking"]
    says = "A reward model from English preferences ranks answers in the other languages"
    if not found:
        return {"key": "a", "says": says, "verdict": "not measured", "seen": ""}
    others = {language: of for language, of in found.items() if "to_english" in of}
    lowest = min(others.values(), key=lambda of: of["low"])
    verdict = "holds" if lowest["low"] > 0.5 else "does not hold" if lowest["high"] < 0.5 else "not shown"
    worse = [language for language, of in others.items() if of["to_english"]["high"] < 0]
    seen = (
        f"Accuracy on the policy's own answers: English {found['en']['mean']:.3f}, the others "
        f"{min(of['mean'] for of in others.values()):.3f} to {max(of['mean'] for of in others.values()):.3f} (chance is 0.5); "
        f"below English on the same prompts in {len(worse)} of {len(others)} languages."
    )
    return {"key": "a", "says": says, "verdict": verdict, "seen": seen}


def _claim_p(study: Json) -> Json:
    """The mean over the languages other than English is higher with parallel texts: its interval lies above 0."""
    says = "Parallel texts in the reward model's backbone make it rank better outside English"
    if not study.get("parallel"):
        return {"key": "a, parallel", "says": says, "verdict": "not measured", "seen": ""}
    of = study["parallel"]["others"]
    verdict = "holds" if of["low"] > 0 else "does not hold" if of["high"] < 0 else "not shown"
    seen = (
        f"Accuracy with parallel texts less without, mean of the other languages: {of['mean']:+.3f} [{of['low']:+.3f}, "
        f"{of['high']:+.3f}]; in English {study['parallel']['en']['mean']:+.3f}."
    )
    return {"key": "a, parallel", "says": says, "verdict": verdict, "seen": seen}


def _claim_g(study: Json) -> Json:
    says = "Raw pooling over languages contrasts languages rather than answers"
    raw, standardised = (study["pooling"].get(name) for name in claims.LANGUAGES_OF_G)
    if not raw or not standardised:
        return {"key": "g", "says": says, "verdict": "not measured", "seen": ""}
    apart = raw["low"] > standardised["high"]
    opposite = raw["high"] < standardised["low"]
    return {
        "key": "g",
        "says": says,
        "verdict": "holds" if apart else "does not hold" if opposite else "not shown",
        "seen": f"Distance between the languages of chosen and of rejected answers: {distance(raw)} raw, "
        f"{distance(standardised)} with rewards standardised within each language.",
    }


def distance(of: Json) -> str:
    """Between the languages of chosen and of rejected, with its interval."""
    return f"{of['distance']:.3f} [{of['low']:.3f}, {of['high']:.3f}]"


def effect(of: Json) -> str:
    """A difference with its interval."""
    return f"{of['difference']:+.3f} [{of['low']:+.3f}, {of['high']:+.3f}]"


def p_value(value: float) -> str:
    """Of three digits."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
