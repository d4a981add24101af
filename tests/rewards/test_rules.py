"""What `reward=rules` counts, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from croco.evals.checks import prompts
from croco.rewards.rules import followed

ENGLISH = "The old clock in the kitchen has stopped, and nobody knows how to repair it today."  # 16 words
DANISH = "Det gamle ur i køkkenet er gået i stå, og ingen ved, hvordan man reparerer det i dag."
BRIEF = {"id": "length_constraints:number_words", "arguments": {"num_words": 20, "relation": "less than"}}
LONG = {"id": "length_constraints:number_words", "arguments": {"num_words": 50, "relation": "at least"}}
IN_DANISH = {"id": "language:response_language", "arguments": {"language": "da"}}


def reward(answer: str, language: str, *instructions: dict[str, Any]) -> float | None:
    return followed([], answer, language, {"instructions": list(instructions)})


@pytest.mark.parametrize(
    ("answer", "language", "instructions", "expected"),
    [
        (ENGLISH, "en", [BRIEF], 2 + 1.5),
        (ENGLISH, "en", [BRIEF, LONG], 1 + 1.5),  # one of two
        (ENGLISH, "da", [BRIEF], 2),  # the wrong language
        (DANISH, "en", [BRIEF, IN_DANISH], 2 + 1.5),  # the one that was asked for
        ("42", "en", [BRIEF], 2 + 1.5 * 0.3),  # cannot be told
    ],
)
def test_instructions_and_language(answer: str, language: str, instructions: Any, expected: float) -> None:
    assert reward(answer, language, *instructions) == pytest.approx(expected)


def test_repetition_and_words_beyond_forty_cost() -> None:
    """Sixteen words three times: 48 words, 8 too many, and of 45 4-grams 29 stood there before."""
    assert reward(" ".join([ENGLISH] * 3), "en", LONG) == pytest.approx(1.5 - 29 / 45 - 0.08)


def test_a_prompt_without_instructions_has_no_reward() -> None:
    assert followed([], ENGLISH, "en", {}) is None


@pytest.mark.parametrize("language", ["en", "da", "nl", "de", "fr", "it", "es"])
def test_prompts_to_train_on_share_no_topic_with_those_held_out(language: str) -> None:
    """The first sentence ends with the topic: of 200 prompts each, no topic stands in both sets, and every topic in one."""
    texts = prompts.texts_of(language)
    asked = {t: [p.messages[0]["content"] for p in prompts.own(language, 200, 0, t)] for t in ("train", "heldout")}
    seen = {name: {topic for topic in texts["topics"] for p in some if topic in p} for name, some in asked.items()}
    assert not seen["train"] & seen["heldout"]
    assert seen["train"] | seen["heldout"] == set(texts["topics"])
    ids = [{p.prompt_id for p in prompts.own(language, 20, 0, t)} for t in ("all", "train", "heldout")]
    assert len(set.union(*ids)) == 60
