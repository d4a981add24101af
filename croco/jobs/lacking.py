"""What a language has no data for, said before a run begins: it is not counted later as if it were wrong."""

from __future__ import annotations

from collections.abc import Iterator

from croco.config import Config, languages
from croco.config.evaluations import checked
from croco.language import fidelity


def notes(config: Config) -> Iterator[str]:
    """A line for each language that something of the run cannot deal with."""
    evals = config.evals
    for language in config.lang.languages:
        said = languages.settings(language)
        lacks = []
        if not fidelity.is_known(language):
            codes = ", ".join(said.identified_as) or "nothing"
            lacks.append(
                f"identification knows none of {codes} (answers in a wrong language are not told, nor counted)"
            )
        if language not in checked(evals.checks, [language]) and evals.checks is not None:
            lacks.append("there are no prompts with rules of our own (evals.checks.path brings others)")
        if evals.euroeval is not None and not evals.euroeval.datasets.get(language):
            lacks.append("EuroEval has no data set")
        if evals.reward_ranking is not None and evals.reward_ranking.path is None and said.m_rewardbench is None:
            lacks.append("M-RewardBench does not have it")
        if lacks:
            yield f"{language} ({said.english_name}): {'; '.join(lacks)}"
