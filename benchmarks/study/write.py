"""docs/study.md and its figures from docs/study.json: a pure function of it, so that a test can hold every number to the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.study import arms, claims, figures, real
from benchmarks.study.claims import OPEN, STRUCTURED
from croco.show.tables import Table, markdown

Json = Mapping[str, Any]
CORE = ("mono", "multi", "max_r", "sft", "sft_dpo_rate", "off_policy", "reference", "online_2", "offline_2")
"""The arms of the first figure, as far as they are there."""
REAL = """SmolLM2-135M-Instruct, `croco run -m experiments=real seed=42,43,44` (a reward of rules: instructions followed, right
language, no repetition, ended; mono pairs; prompts on topics that training has not seen). Means over the languages, 95 %
intervals over seeds and prompts; p by the same bootstrap."""
RANK = {"does not hold": 0, "not shown": 1, "not measured": 2, "holds": 3}
"""What does not hold is said first."""


def drawings(study: Json) -> dict[str, str]:
    """File name -> SVG."""
    core = [name for name in CORE if name in study["arms"]]
    every = [name for name in study["arms"] if not _is_point(name)]
    made = {
        "study_core.svg": figures.of_arms(study, core),
        "study_arms.svg": figures.of_arms(study, every),
        "study_points.svg": figures.of_points(study),
        "study_steps.svg": figures.of_steps(study),
    }
    return {name: drawing for name, drawing in made.items() if drawing is not None}


def _is_point(name: str) -> bool:
    return any(arm.name == name for arm in arms.POINT_PAIRS)


def page(study: Json) -> str:
    """docs/study.md."""
    drawn = drawings(study)
    parts = [
        HEAD.format(
            languages=", ".join(study["languages"]),
            heldout=_prompts(study, OPEN),
            structured=_prompts(study, STRUCTURED),
        ),
        "## What holds",
        *_verdicts(study),
        "![Quality of each arm against the base policy, on open and on structured tasks](study_core.svg)",
        "## The comparisons behind the claims",
        markdown(_contrasts(study)),
        *_ranking(study),
        *_pooling(study),
        "## Every arm",
        "![All arms](study_arms.svg)",
        markdown(_arms(study)),
        *_beyond(study, drawn),
        *_real(study),
        "## Cost and limits",
        *_limits(study),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


HEAD = """# The paper's claims on the embedded world

<!-- Written by `make study` from docs/study.json; edit benchmarks/study/write.py. -->

The embedded world (croco/tiny/README.md) has small models in {languages} and a grader that knows the truth, so that
what the method does can be measured without a judge, by anyone, on two cores: `make study`. In each language policies answer
{heldout} held-out open prompts, of whose kind the preferences are, and {structured} of structured tasks, which no preference is
about. The claims and how each is tested were written down before (benchmarks/study/claims.py). Intervals are 95 %, by a bootstrap
over seeds and prompts; p-values are Holm-adjusted over all comparisons of all claims. What this world says of models a thousand
times larger is a question, not an answer; the second table of this kind is `make real`, on SmolLM2."""


def _prompts(study: Json, tasks: str) -> int:
    (first, *_) = study["arms"]["mono"][tasks]["languages"].values()
    return int(first["prompts"])


def _verdicts(study: Json) -> Iterator[str]:
    rows = [*study["claims"], _claim_a(study), _claim_g(study)]
    lines = []
    for claim in sorted(rows, key=lambda claim: RANK[claim["verdict"]]):
        seen = claim["seen"] if "seen" in claim else _seen(claim)
        lines.append(f"* **{claim['verdict'].capitalize()}**: {claim['says']} ({claim['key']}). {seen}".rstrip())
    yield "\n".join(lines)


def _seen(claim: Json) -> str:
    return " ".join(
        f"{one['second']} against {one['first']}, {one['tasks']} tasks: {_effect(one)}, p {_p(one['p_holm'])}"
        + (f" (of a difference of {one['margin']:+g})" if one["margin"] else "")
        + (
            f", as expected in {len(one['languages_with'])} of {len(_languages(one))} languages"
            if not one["margin"]
            else ""
        )
        + "."
        for one in claim["contrasts"]
    )


def _languages(one: Json) -> Sequence[str]:
    return one["all_languages"]


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
        "seen": f"Distance between the languages of chosen and of rejected answers: {_distance(raw)} raw, "
        f"{_distance(standardised)} with rewards standardised within each language.",
    }


def _distance(of: Json) -> str:
    return f"{of['distance']:.3f} [{of['low']:.3f}, {of['high']:.3f}]"


def _effect(effect: Json) -> str:
    return f"{effect['difference']:+.3f} [{effect['low']:+.3f}, {effect['high']:+.3f}]"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _contrasts(study: Json) -> Table:
    rows = [
        (
            claim["key"],
            f"{one['second']} − {one['first']}",
            one["tasks"],
            ("above " if one["sign"] > 0 else "below ") + f"{one['margin']:g}",
            _effect(one),
            _p(one["p_holm"]),
            " ".join(one["languages_with"]) or "–",
            " ".join(one["languages_against"]) or "–",
            one["seeds"],
        )
        for claim in study["claims"]
        for one in claim["contrasts"]
    ]
    columns = ("claim", "difference", "tasks", "expected", "found", "p", "languages with", "languages against", "seeds")
    note = "Languages with and against: those that differ from the margin on either side, Holm-adjusted over the languages."
    return Table("", columns, rows, note)


def _ranking(study: Json) -> Iterator[str]:
    if not study["ranking"]:
        return
    rows = [
        (
            language,
            of["prompts"],
            f"{of['mean']:.3f} [{of['low']:.3f}, {of['high']:.3f}]",
            "–" if "to_english" not in of else _difference(of["to_english"]),
        )
        for language, of in study["ranking"].items()
    ]
    yield "## (a) How the reward ranks"
    yield markdown(
        Table(
            "",
            ("language", "prompts", "accuracy", "minus English, same prompts"),
            rows,
            "Of two of the policy's answers to a prompt whose gold differs, how often the better one has the higher reward.",
        )
    )


def _difference(of: Json) -> str:
    return f"{of['mean']:+.3f} [{of['low']:+.3f}, {of['high']:+.3f}]"


def _pooling(study: Json) -> Iterator[str]:
    if not study["pooling"]:
        return
    languages = study["languages"]
    rows = [
        (
            name,
            _distance(of),
            f"{of['different']:.0%}",
            *(f"{of['chosen'].get(lang, 0):.0%} / {of['rejected'].get(lang, 0):.0%}" for lang in languages),
        )
        for name, of in study["pooling"].items()
    ]
    yield "## (g) Languages of chosen and rejected"
    yield markdown(
        Table(
            "",
            ("arm", "distance", "languages differ", *languages),
            rows,
            "Per language: share of the chosen / of the rejected answers. Distance: half their summed absolute difference.",
        )
    )


def _arms(study: Json) -> Table:
    rows = [
        (
            name,
            of["about"],
            len(of["seeds"]),
            _effect(of[OPEN]),
            _effect(of[STRUCTURED]),
            f"{of['right_language']['difference']:+.3f}",
            f"{of['tokens']['difference']:+.2f}",
        )
        for name, of in study["arms"].items()
        if not _is_point(name)
    ]
    columns = ("arm", "what it is", "seeds", "open", "structured", "right language", "tokens")
    note = "Against base, means over languages; right language (a share) and tokens on open tasks."
    return Table("", columns, rows, note)


def _beyond(study: Json, drawn: Json) -> Iterator[str]:
    yield "## Beyond the claims"
    yield "Explored, not claimed: intervals are not adjusted."
    rows = [
        (f"{one['second']} − {one['first']}", _effect(one[OPEN]), _effect(one[STRUCTURED])) for one in study["explored"]
    ]
    yield markdown(Table("", ("difference", "open", "structured"), rows))
    if "study_steps.svg" in drawn:
        yield "![Reward and quality over training at three betas](study_steps.svg)"
    if "study_points.svg" in drawn:
        yield "![Gain by the points that are paired](study_points.svg)"


def _real(study: Json) -> Iterator[str]:
    if not study["real"]:
        return
    yield "## On a real model"
    yield REAL
    languages = study["real"]["languages"]
    several = len(next(iter(study["real"]["metrics"].values()))) > 1
    rows = [
        (
            real.METRICS[metric] + (f", {arm}" if several else ""),
            f"{of['macro']['first']:.3f}",
            f"{of['macro']['second']:.3f}",
            _effect(of["macro"]),
            _p(of["macro"]["p"]),
            *(f"{of[language]['difference']:+.3f}" for language in languages),
            of["macro"]["seeds"],
        )
        for metric, of_arms in study["real"]["metrics"].items()
        for arm, of in of_arms.items()
    ]
    yield markdown(Table("", ("measure", "base", "tuned", "difference", "p", *languages, "seeds"), rows))


def _limits(study: Json) -> Iterator[str]:
    seconds = sum(of["training_seconds"] * len(of["seeds"]) for of in study["arms"].values())
    jobs = sum(len(of["seeds"]) for of in study["arms"].values())
    yield (
        f"{jobs} jobs, {seconds / 60:.0f} minutes of training in all, on a CPU ({study['machine']['processor']}, torch "
        f"{study['machine']['torch']}). One world, one base policy and one reward model: intervals hold the spread of seeds and "
        "prompts, not that of other worlds. The reward model was built together with this world."
    )
    if study["missing"]:
        yield f"Not run: {', '.join(study['missing'])}."
    if study["fewer_seeds"]:
        told = ", ".join(f"{name} {count}" for name, count in study["fewer_seeds"].items())
        yield f"Fewer seeds than planned: {told}."
    yield (
        "mean − 2 sd against the minimum of 4 answers, claimed beforehand, cannot be told apart: no answer of four lies further "
        "than √3 sd from their mean, so that both rules take the same pairs, and such a run is refused. Multi arms were given "
        "seven epochs when two seeds had shown that one is a seventh of mono's steps."
    )
    yield (
        "Not studied: a reward model on a backbone without parallel data, label noise in it, and languages by their share of "
        "pretraining."
    )


CORE_MARKS = ("<!-- core -->", "<!-- end of core -->")


def with_core(readme: str, study: Json) -> str:
    """The README with its first figure and table between the marks."""
    before, _, rest = readme.partition(CORE_MARKS[0])
    after = rest.partition(CORE_MARKS[1])[2]
    return f"{before}{CORE_MARKS[0]}\n{_core(study)}\n{CORE_MARKS[1]}{after}"


def _core(study: Json) -> str:
    parts = [
        "![Quality of each arm against the base policy, on open and on structured tasks](docs/study_core.svg)",
        f"{_count(study)} of the paper's claims hold on the embedded world; [the study](docs/study.md) says which, which do not, "
        "and how each was tested.",
    ]
    if study["real"]:
        arm, of = next(iter(study["real"]["metrics"]["language"].items()))
        rows = [
            (
                real.METRICS[metric],
                f"{found['macro']['first']:.3f}",
                f"{found['macro']['second']:.3f}",
                _effect(found["macro"]),
            )
            for metric in REAL_SHOWN
            for found in [study["real"]["metrics"][metric][arm]]
        ]
        languages = ", ".join(study["real"]["languages"])
        parts += [
            f"A real model, SmolLM2-135M-Instruct, on held-out topics ({languages}; {of['macro']['seeds']} seeds; `make real`):",
            markdown(Table("", ("", "base", "tuned", "difference, 95 % interval"), rows)),
        ]
    return "\n\n".join(parts)


REAL_SHOWN = ("language", "instruction_strict", "ended", "repetition")


def _count(study: Json) -> str:
    verdicts = [claim["verdict"] for claim in (*study["claims"], _claim_a(study), _claim_g(study))]
    return f"{sum(verdict == 'holds' for verdict in verdicts)} of {len(verdicts)}"
