"""Mixtures: each prompt, with all its translations, gets its pairs from one source.

A prompt of `reference` pools the data set's answer with the policy's, and only the data set's may be chosen. Which prompt
is whose is a hash of its id: it depends on nothing else, so that adding prompts moves none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from croco.pairing.answers import Answers
from croco.pairing.choose import draw

REFERENCE = "reference"
POLICY = "on_policy"


def assign(answers: Answers, shares: Mapping[str, float], seed: int) -> tuple[Answers, NDArray[np.bool_]]:
    """(answers of each prompt's source, (N,) which of them may be chosen).

    Args:
        shares: by source, positive, with sum 1; every source is one of `answers.sources`, and so is the policy's when the
            data set's is.
    """
    names = sorted(shares)
    bounds = np.cumsum([shares[name] for name in names])
    bounds[-1] = 1.0
    draws = np.array([draw(seed, "source", prompt_id) for prompt_id in answers.prompt_ids])
    plan = np.searchsorted(bounds, draws, side="right")  # (prompts,) index into names
    source_of = np.array([answers.sources.index(name) for name in names])
    planned = source_of[plan][answers.prompt]  # (N,)
    keep = answers.source == planned
    if REFERENCE in names:
        gold = answers.sources.index(REFERENCE)
        keep |= (planned == gold) & (answers.source == answers.sources.index(POLICY))
        eligible = (planned != gold) | (answers.source == gold)
    else:
        eligible = np.ones(len(answers), bool)
    return answers.take(keep), eligible[keep]
