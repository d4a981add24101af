"""Lists of choices: Hydra lays the files of a list over one another, and only some groups mean their sum by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from croco.config.groups import Config
from croco.config.paths import union
from croco.config.targets import require
from croco.config.worlds import embedded

TOGETHER = ("lang", "evals")
"""The union of the languages; all evaluations."""
NO_GROUPS = ("date", "paths", "preset", "seed")
ELSEWHERE = ("experiments", "arm", "debug")
"""Groups that are no part of the typed configuration."""


def one_choice(group: str, choices: str = "[ONE,OTHER]") -> None:
    """Raises UserError: a list, where the group takes one choice."""
    each = choices.strip("[]").replace(" ", "")
    instead = "call them one after the other" if group == "experiments" else f"-m {group}={each} runs each"
    require(False, f"{group}: takes one choice, not the list {choices}; {instead}")


def check_choices(chosen: Mapping[str, Any], words: Sequence[str], config: Config) -> None:
    """What the typed configuration does not show: a list where one choice belongs, on the command line or in a file.

    Args:
        chosen: Hydra's `runtime.choices`, in which a group with a list is missing.
        words: of the command line.

    Raises:
        UserError: names the group.
    """
    for group in (*vars(config), *ELSEWHERE):
        if group not in chosen and group not in (*TOGETHER, *NO_GROUPS):
            one_choice(group)
    for group, path in (("model", config.model.path), ("reward", config.reward.path)):
        require(
            chosen.get(group) != "tiny" or path is None or embedded(path) is not False,
            f"{group}.path: {group}=tiny has the settings of the embedded one, which {path} is not; "
            f"{group}=custom {group}.path={path}",
        )
    typed = any(word.startswith("lang.languages=") for word in words)
    require(
        "lang" in chosen or typed or config.lang.languages == union(*config.lang.sets.values()),
        "lang: one of the listed sets names `languages` outright, and would run alone; let it say `sets: {NAME: [...]}`, as "
        "the files of conf/lang do",
    )
