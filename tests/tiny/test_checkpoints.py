"""The shipped checkpoints: loadable by anyone's code, token-exact, and as useful as croco/tiny/README.md says."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from croco.engines.base import Answered
from croco.engines.hf import HFScorer
from croco.language import text
from croco.models.checkpoints import Checkpoint
from croco.tiny import MODELS, measure, world
from croco.tiny.grader import grade
from croco.tiny.lexicon import LANGUAGES

USER = [{"role": "user", "content": "Hvad er hovedstaden i dette land: Frankrig?"}]


@pytest.mark.parametrize("name", ["policy", "other_policy", "reward"])
def test_prompts_are_prefixes_with_one_bos(name: str) -> None:
    tokenizer = text.load_tokenizer(str(MODELS / name))
    prompt = text.prompt_ids(tokenizer, USER)
    answer = text.answer_ids(tokenizer, "Hovedstaden er Paris.")
    assert prompt + answer == text.conversation_ids(
        tokenizer, [*USER, {"role": "assistant", "content": "Hovedstaden er Paris."}]
    )
    assert (prompt + answer).count(tokenizer.bos_token_id) == 1
    assert answer[-1] == tokenizer.eos_token_id
    assert text.decode(tokenizer, answer) == "Hovedstaden er Paris."


def test_samples_end_and_range_from_useless_to_perfect() -> None:
    prompts = world.prompts("open", "heldout", 9, 0)
    answers = measure.sample(MODELS / "policy", prompts, seed=1)
    for language in LANGUAGES:
        gold = [[grade(p, language, a).quality for a in answers[p["prompt_id"], language]] for p in prompts]
        assert 0.3 < statistics.mean(map(statistics.mean, gold)) < 0.75
        assert statistics.mean(map(max, gold)) > 0.85


def test_the_reward_prefers_the_reference_to_what_is_wrong_with_it() -> None:
    """In every language: over an answer to another prompt's form, over nothing, over itself twice, and over English."""
    scorer = HFScorer(Checkpoint(str(MODELS / "reward")), 256, 16384)
    prompts = [p for p in world.prompts("open", "heldout", 27, 0) if p["task"] not in ("count", "repeat")]
    for language in LANGUAGES:
        hits = []
        for p in prompts:
            good = p["reference"][language]
            other = "en" if language != "en" else "da"
            worse = [good.split()[0], f"{good} {good}", p["reference"][other]]
            user = [{"role": "user", "content": p["text"][language]}]
            best, *rest = (r or 0.0 for r in scorer.score([Answered(user, a, language, "{}") for a in (good, *worse)]))
            hits += [best > r for r in rest]
        assert statistics.mean(hits) > 0.75, language


def test_the_models_are_small_and_safe() -> None:
    files = [f for f in Path(MODELS).glob("*/*") if "backbone" not in f.parts]
    assert sum(f.stat().st_size for f in files) < 40e6
    assert {f.suffix for f in files} <= {".json", ".safetensors", ".jinja"}
