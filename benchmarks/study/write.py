"""docs/study.md and its figures from docs/study.json: a pure function of it, so that a test can hold every number to the file."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.study import arms, figures, real, verdicts
from benchmarks.study.claims import OPEN, STRUCTURED
from benchmarks.study.verdicts import Json, distance, effect, p_value
from croco.show.tables import Table, markdown

CORE = ("mono", "multi", "max_r", "sft", "sft_dpo_rate", "off_policy", "reference", "online_2", "offline_2")
"""The arms of the first figure, as far as they are there."""
REAL = """SmolLM2-135M-Instruct, `make real-study` (a reward of rules: instructions followed, right language, no repetition,
ended; prompts on topics that training has not seen). Means over the languages, 95 % intervals over seeds and prompts; p by the
same bootstrap."""


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
        verdicts.lines(study),
        "![Quality of each arm against the base policy, on open and on structured tasks](study_core.svg)",
        "## The comparisons behind the claims",
        markdown(_contrasts(study)),
        *_ranking(study),
        *_pooling(study),
        "## Every arm",
        "![All arms](study_arms.svg)",
        markdown(_arms(study)),
        *_beyond(study, drawn),
        *_shares(study),
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
times larger is a question, not an answer; the second table of this kind is `make real-study`, on SmolLM2."""


def _prompts(study: Json, tasks: str) -> int:
    (first, *_) = study["arms"]["mono"][tasks]["languages"].values()
    return int(first["prompts"])


def _contrasts(study: Json) -> Table:
    rows = [
        (
            claim["key"],
            f"{one['second']} − {one['first']}",
            one["tasks"],
            ("above " if one["sign"] > 0 else "below ") + f"{one['margin']:g}",
            effect(one),
            p_value(one["p_holm"]),
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

    if study.get("parallel"):
        rows = [
            (name, of["prompts"], f"{of['with']:.3f}", f"{of['without']:.3f}", _difference(of))
            for name, of in study["parallel"].items()
            if "with" in of
        ]
        yield (
            "Two reward models trained alike on the same English preferences, one on a backbone that has read a tenth of its "
            "texts in two languages side by side, one on a backbone that has read none (`noise_0` and `apart`):"
        )
        yield markdown(Table("", ("language", "prompts", "with parallel texts", "without", "with less without"), rows))


def _difference(of: Json) -> str:
    return f"{of['mean']:+.3f} [{of['low']:+.3f}, {of['high']:+.3f}]"


def _pooling(study: Json) -> Iterator[str]:
    if not study["pooling"]:
        return
    languages = study["languages"]
    rows = [
        (
            name,
            distance(of),
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
            effect(of[OPEN]),
            effect(of[STRUCTURED]),
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
        (f"{one['second']} − {one['first']}", effect(one[OPEN]), effect(one[STRUCTURED])) for one in study["explored"]
    ]
    yield markdown(Table("", ("difference", "open", "structured"), rows))
    if "study_steps.svg" in drawn:
        yield "![Reward and quality over training at three betas](study_steps.svg)"
        yield markdown(_steps(study))
    if "study_points.svg" in drawn:
        yield "![Gain by the points that are paired](study_points.svg)"


def _steps(study: Json) -> Table:
    rows = [
        (study["arms"][name]["about"], name_of, *(f"{look[key]:.3f}" for look in of))
        for name, of in study["steps"].items()
        for key, name_of in (("proxy", "reward"), ("gold", "quality"))
    ]
    looks = next(iter(study["steps"].values()))
    note = "Of held-out answers to open tasks, means over languages and seeds. A reward that is up while quality falls is hacked."
    return Table("", ("arm", "", *(f"step {look['step']}" for look in looks)), rows, note)


def _real(study: Json) -> Iterator[str]:
    if not study["real"]:
        return
    yield "## On a real model"
    yield REAL
    languages = study["real"]["languages"]
    rows = [
        (
            real.METRICS[metric],
            arm.removeprefix("real_"),
            f"{of['macro']['first']:.3f}",
            f"{of['macro']['second']:.3f}",
            effect(of["macro"]),
            p_value(of["macro"]["p"]),
            *(f"{of[language]['difference']:+.3f}" for language in languages),
            of["macro"]["seeds"],
        )
        for metric, of_arms in study["real"]["metrics"].items()
        for arm, of in of_arms.items()
    ]
    yield markdown(Table("", ("measure", "arm", "base", "tuned", "difference", "p", *languages, "seeds"), rows))
    between = [
        (
            of["claim"],
            f"{of['second'].removeprefix('real_')} − {of['first'].removeprefix('real_')}",
            real.METRICS[of["metric"]],
            effect(of["macro"]),
            p_value(of["macro"]["p"]),
        )
        for of in study["real"]["contrasts"]
    ]
    if between:
        yield markdown(Table("", ("claim", "difference", "measure", "found", "p"), between))
    missing = [f"{arm.name} ({arm.about})" for arm in real.ARMS if arm.name not in study["real"]["metrics"]["language"]]
    if missing:
        yield f"Not run: {'; '.join(missing)}."


def _shares(study: Json) -> Iterator[str]:
    if not study.get("shares"):
        return
    found = study["arms"]["uneven"][OPEN]["languages"]
    even = study["arms"]["mono"][OPEN]["languages"]
    rows = [
        (
            language,
            f"{share:.0%}",
            f"{found[language]['before']:.3f}",
            effect(found[language]),
            f"{even[language]['before']:.3f}",
            effect(even[language]),
        )
        for language, share in sorted(study["shares"].items(), key=lambda item: -item[1])
    ]
    yield "## Languages by their share of pretraining"
    yield (
        "The same method on a policy that has read its languages in unequal shares (`uneven`), beside the shipped one, which has "
        "read a seventh in each; open tasks, each against its own base."
    )
    columns = ("language", "share", "base", "mono − base", "base, equal shares", "mono − base, equal shares")
    yield markdown(Table("", columns, rows))


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


CORE_MARKS = ("<!-- core -->", "<!-- end of core -->")


def with_core(readme: str, study: Json) -> str:
    """The README with its first figure and table between the marks."""
    before, _, rest = readme.partition(CORE_MARKS[0])
    after = rest.partition(CORE_MARKS[1])[2]
    return f"{before}{CORE_MARKS[0]}\n{_core(study)}\n{CORE_MARKS[1]}{after}"


def _core(study: Json) -> str:
    parts = [
        "![Quality of each arm against the base policy, on open and on structured tasks](docs/study_core.svg)",
        f"The paper's claims on the embedded world: {verdicts.counted(study)}; [the study](docs/study.md) says which, how "
        "large an effect was found, and how each was tested.",
    ]
    if study["real"]:
        arm, of = next(iter(study["real"]["metrics"]["language"].items()))
        rows = [
            (
                real.METRICS[metric],
                f"{found['macro']['first']:.3f}",
                f"{found['macro']['second']:.3f}",
                effect(found["macro"]),
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
