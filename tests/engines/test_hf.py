"""The transformers engine against transformers' own forward pass and generate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from croco.engines.base import Answered, Completion, Request, nobody, seed_of, telling
from croco.engines.hf import HFGenerator, HFScorer, token_batches, uniform_stream
from croco.errors import UserError
from croco.language import text
from croco.models.checkpoints import Checkpoint
from croco.models.pooling import up_to_the_reward
from tests.support.builders import build_policy, build_reward

QUESTIONS = ["what?", "hvad hedder du, og hvor kommer du fra?", "tell me all about the quick brown fox", "0 1 2"]


def requests(tokenizer, samples: range = range(4)) -> list[Request]:
    return [
        Request(
            f"p{i}",
            "en",
            text.prompt_ids(tokenizer, [{"role": "user", "content": q}]),
            samples,
            seed_of(0, f"p{i}", "en"),
        )
        for i, q in enumerate(QUESTIONS)
    ]


def generator(path: Path, tokenizer, **settings) -> HFGenerator:
    return HFGenerator(
        Checkpoint(str(path)),
        tokenizer,
        **{"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 12, "batch_size": 32, **settings},
    )


def by_key(completions: list[Completion]) -> dict[tuple[str, int], Completion]:
    return {(c.request.prompt_id, c.sample): c for c in completions}


@pytest.mark.parametrize("family", ["llama", "cohere2", "qwen3", "gemma3_text"])
def test_greedy_equals_generate_one_prompt_at_a_time(family: str, tmp_path: Path) -> None:
    """Left padding, the shared prompt cache and the sliding windows must not change a token."""
    path = build_policy(tmp_path, family)
    tokenizer = text.load_tokenizer(str(path))
    ours = by_key(
        list(generator(path, tokenizer, temperature=0, max_new_tokens=24).generate(requests(tokenizer, range(2))))
    )
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    for request in requests(tokenizer):
        out = model.generate(torch.tensor([request.token_ids]), max_new_tokens=24, do_sample=False, eos_token_id=1)
        expected = out[0, len(request.token_ids) :].tolist()
        assert ours[request.prompt_id, 0].token_ids == expected
        assert ours[request.prompt_id, 1].token_ids == expected


def test_a_sample_does_not_depend_on_how_the_work_was_cut(policy: Path) -> None:
    tokenizer = text.load_tokenizer(str(policy))
    together = by_key(list(generator(policy, tokenizer).generate(requests(tokenizer))))
    alone = by_key(list(generator(policy, tokenizer, batch_size=3).generate(requests(tokenizer))))
    topped_up = by_key(list(generator(policy, tokenizer).generate(requests(tokenizer, range(2, 4)))))
    assert {k: c.token_ids for k, c in together.items()} == {k: c.token_ids for k, c in alone.items()}
    assert all(together[k].token_ids == c.token_ids for k, c in topped_up.items())
    assert len(together) == 16
    assert len({tuple(c.token_ids) for c in together.values()}) > 12


def test_log_probs_are_the_models_before_temperature_and_top_p(policy: Path) -> None:
    """Told only where they are asked for; the oracle is one forward pass over prompt and answer."""
    tokenizer = text.load_tokenizer(str(policy))
    plain = generator(policy, tokenizer, temperature=0.7, top_p=0.9)
    asked = generator(policy, tokenizer, temperature=0.7, top_p=0.9, logps=True)
    answers = list(asked.generate(requests(tokenizer)))
    assert [c.token_ids for c in plain.generate(requests(tokenizer))] == [c.token_ids for c in answers]
    assert {c.logp for c in plain.generate(requests(tokenizer))} == {None}
    model = AutoModelForCausalLM.from_pretrained(policy).eval()
    for c in answers:
        with torch.no_grad():
            logits = model(torch.tensor([c.request.token_ids + c.token_ids])).logits[0]
        places = range(len(c.request.token_ids) - 1, len(logits) - 1)
        expected = sum(logits[p].log_softmax(-1)[t].item() for p, t in zip(places, c.token_ids, strict=True))
        assert c.logp == pytest.approx(expected, abs=1e-4)


def test_room_for_an_answer_is_the_prompts_own(policy: Path) -> None:
    """Context 256: behind 250 tokens there is room for 6, behind 5 for 251, whatever shares the batch."""
    tokenizer = text.load_tokenizer(str(policy))
    long, short = (Request(f"n{n}", "en", [7] * n, range(3), n) for n in (250, 5))
    settings = {"max_new_tokens": 251, "temperature": 0.01}  # so that few answers end by themselves
    together = by_key(list(generator(policy, tokenizer, **settings).generate([long, short])))
    alone = [by_key(list(generator(policy, tokenizer, **settings).generate([r]))) for r in (long, short)]
    assert together == alone[0] | alone[1]
    for (name, _), completion in together.items():
        if completion.finish_reason == "length":
            assert len(completion.token_ids) == {"n250": 6, "n5": 251}[name]
    assert {c.finish_reason for c in together.values()} >= {"length"}


def test_tokens_follow_the_models_distribution(policy: Path) -> None:
    """First tokens of 4,000 samples against the softmax: total variation below what 4,000 draws leave by chance.

    For 320 outcomes the expected distance is at most sqrt(320 / (2 pi 4000)) = 0.11.
    """
    tokenizer = text.load_tokenizer(str(policy))
    request = requests(tokenizer, range(4000))[0]
    drawn = [c.token_ids[0] for c in generator(policy, tokenizer, max_new_tokens=1).generate([request])]
    model = AutoModelForCausalLM.from_pretrained(policy).eval()
    with torch.no_grad():
        expected = model(torch.tensor([request.token_ids])).logits[0, -1].softmax(-1).numpy()
    seen = np.bincount(drawn, minlength=len(expected)) / len(drawn)
    assert abs(seen - expected).sum() / 2 < 0.12


def test_answers_are_handed_over_as_they_end_and_tokens_told_as_they_are_written(policy: Path) -> None:
    """Whoever stops after the first answer of a batch has been told no more tokens than its rows could have by then."""
    tokenizer = text.load_tokenizer(str(policy))
    engine = generator(policy, tokenizer, max_new_tokens=200)
    told: list[int] = []
    with telling(engine, told.append):
        answers = engine.generate(requests(tokenizer))
        first = next(answers)
        assert told == [16] * len(first.token_ids)
        others = list(answers)
    assert sum(told) == sum(len(c.token_ids) for c in [first, *others])
    lengths = [len(c.token_ids) for c in [first, *others]]
    assert lengths == sorted(lengths)
    assert engine.told is nobody


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_name_the_prompt(temperature: float, value: float, tmp_path: Path) -> None:
    """One row of the output layer is damaged; the first token cannot be drawn."""
    path = build_policy(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(path)
    with torch.no_grad():
        model.lm_head.weight[77] = value
    model.save_pretrained(path)
    tokenizer = text.load_tokenizer(str(path))
    with pytest.raises(UserError, match=r"prompt p\d \(en\): the model's logits behind it are no numbers"):
        list(generator(path, tokenizer, temperature=temperature).generate(requests(tokenizer)))


def test_stop_and_length_reasons(policy: Path) -> None:
    tokenizer = text.load_tokenizer(str(policy))
    for c in generator(policy, tokenizer, max_new_tokens=200).generate(requests(tokenizer, range(8))):
        assert (c.finish_reason == "stop") == (c.token_ids[-1] == text.end_of_turn(tokenizer))
        assert c.finish_reason == "stop" or len(c.token_ids) == 200


def test_uniform_stream_is_a_prefix_of_a_longer_one() -> None:
    assert uniform_stream(7, 3).tolist() == uniform_stream(7, 9)[:3].tolist()


def test_scores_equal_the_logits_of_single_conversations(reward: Path) -> None:
    scorer = HFScorer(Checkpoint(str(reward)), max_length=64, score_tokens=100)
    answers = [
        Answered([{"role": "user", "content": q}], a, "en", "{}") for q in QUESTIONS for a in ("yes", "no no no", "yes")
    ]
    too_long = Answered([{"role": "user", "content": "x" * 200}], "y", "en", "{}")
    scores = scorer.score([*answers, too_long])
    model = AutoModelForSequenceClassification.from_pretrained(reward).eval()
    for answer, score in zip(answers, scores, strict=False):
        ids = text.conversation_ids(
            scorer.tokenizer, [*answer.messages, {"role": "assistant", "content": answer.answer}]
        )
        with torch.no_grad():
            assert score == pytest.approx(model(torch.tensor([ids])).logits.item(), abs=1e-5)
    assert scores[-1] is None


@pytest.mark.parametrize("pad", [None, 1, 2], ids=["no pad token", "pad is the end", "a pad token"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3_text"])
def test_rewards_are_read_where_the_models_class_reads_them(family: str, pad: int | None, tmp_path: Path) -> None:
    """Each conversation alone through its own class is the oracle. Token 1 ends every conversation: as the pad token it is passed
    over, without a pad token it is what is read; of unequal lengths, so that rows are filled."""
    path = build_reward(tmp_path, family=family, pad_token_id=pad)
    scorer = HFScorer(Checkpoint(str(path)), max_length=200, score_tokens=1000)
    answers = [Answered([{"role": "user", "content": q}], a, "en", "{}") for q in QUESTIONS for a in ("", "a lazy dog")]
    scores = scorer.score(answers)
    model = AutoModelForSequenceClassification.from_pretrained(path).eval()
    alone, sequences = [], []
    for answer in answers:
        messages = [*answer.messages, {"role": "assistant", "content": answer.answer}]
        sequences.append(text.conversation_ids(scorer.tokenizer, messages))
        with torch.no_grad():
            alone.append(model(torch.tensor([sequences[-1]])).logits.item())
    assert {ids[-1] for ids in sequences} == {1}
    assert scores == [pytest.approx(value, abs=1e-5) for value in alone]
    # An engine that reads the last token of what it is given reads the same.
    model.config.pad_token_id = None
    for ids, value in zip(sequences, alone, strict=True):
        with torch.no_grad():
            last = model(torch.tensor([up_to_the_reward(pad, ids)])).logits.item()
        assert last == pytest.approx(value, abs=1e-5)


def test_equal_conversations_are_scored_once(reward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = HFScorer(Checkpoint(str(reward)), max_length=64, score_tokens=100)
    seen: list[int] = []
    forward = scorer._forward
    monkeypatch.setattr(scorer, "_forward", lambda batch: seen.append(len(batch)) or forward(batch))
    answers = [Answered([{"role": "user", "content": q}], "yes", "en", "{}", q) for q in ("a", "b", "a", "a")]
    a, b, *more = scorer.score(answers)
    assert more == [a, a]
    assert a != b
    assert sum(seen) == 2


def test_a_reward_model_must_have_one_label_and_a_head(tmp_path: Path, policy: Path) -> None:
    two = build_reward(tmp_path / "two", labels=2)
    with pytest.raises(UserError, match="2 labels"):
        HFScorer(Checkpoint(str(two)), 64, 100)
    with pytest.raises(UserError, match=r"no reward model|labels"):
        HFScorer(Checkpoint(str(policy)), 64, 100)


def test_token_batches_hold_the_budget() -> None:
    rows = [(0,) * n for n in (1, 2, 2, 5, 9)]
    assert [[len(r) for r in b] for b in token_batches(rows, 6)] == [[1, 2, 2], [5], [9]]


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_out_of_memory_halves_the_batch_and_the_answers_stay(
    policy: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """A device that runs out at its third step with more than `limit` answers gives those that a larger one gives, each once,
    and tells as many tokens: what had been handed over by then stays, the rest is written again."""
    tokenizer = text.load_tokenizer(str(policy))
    engine = generator(policy, tokenizer)
    expected = list(engine.generate(requests(tokenizer)))
    sizes, told = [], []
    forward = engine._advance
    steps = [0]

    def small(state: Any, tokens: torch.Tensor) -> Any:
        steps[0] += 1
        if steps[0] >= 2 and len(tokens) > limit:
            steps[0] = 0
            raise torch.OutOfMemoryError
        sizes.append(len(tokens))
        return forward(state, tokens)

    monkeypatch.setattr(engine, "_advance", small)
    with telling(engine, told.append):
        made = list(engine.generate(requests(tokenizer)))
    assert len(made) == len(expected) == 16
    assert by_key(made) == by_key(expected)
    assert sum(told) == sum(len(c.token_ids) for c in expected)


def test_no_memory_for_one_answer_is_one_line(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = text.load_tokenizer(str(policy))
    engine = generator(policy, tokenizer)

    def none(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(engine, "_advance", none)
    with pytest.raises(UserError, match=r"out of memory with one answer to prompt p0 \(en\) alone"):
        list(engine.generate(requests(tokenizer)[:1]))


def test_a_score_that_is_no_number_is_none(reward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = HFScorer(Checkpoint(str(reward)), max_length=64, score_tokens=100)
    monkeypatch.setattr(scorer, "_forward", lambda batch: [float("nan"), *[float("inf")] * (len(batch) - 1)])
    answers = [Answered([{"role": "user", "content": "what?"}], a, "en", "{}") for a in ("yes", "no")]
    assert scorer.score(answers) == [None, None]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages %}{{ m['content'] if m['role'] == 'user' }}{% endfor %}", "leaves out the answer"),
        (
            "{{ raise_exception('roles must alternate') }}",
            r"cannot render a conversation of user \(roles must alternate\)",
        ),
    ],
)
def test_a_reward_model_with_another_template_is_refused(tmp_path: Path, template: str, reason: str) -> None:
    path = build_reward(tmp_path)
    (path / "chat_template.jinja").write_text(template, encoding="utf-8")
    with pytest.raises(UserError, match=reason):
        HFScorer(Checkpoint(str(path)), 64, 100)


def test_a_change_of_adapter_is_a_new_model(policy: Path, tmp_path: Path) -> None:
    """The answers after a change are those of an engine that was loaded with that adapter; without one, the base's again."""
    from tests.support.builders import build_adapter

    first, second = (build_adapter(policy, tmp_path / str(seed), seed) for seed in (1, 2))
    tokenizer = text.load_tokenizer(str(policy))
    request = Request("p", "en", text.prompt_ids(tokenizer, [{"role": "user", "content": "hi"}]), range(4), 7)

    def answers(engine: HFGenerator) -> list[list[int]]:
        return [c.token_ids for c in engine.generate([request])]

    expected = {
        adapter: answers(HFGenerator(Checkpoint(str(policy), adapter=adapter), tokenizer, 1.0, 1.0, 12, 4))
        for adapter in (None, first, second)
    }
    assert expected[first] != expected[second]
    engine = HFGenerator(Checkpoint(str(policy)), tokenizer, 1.0, 1.0, 12, 4)
    for adapter in (first, second, None, second):
        engine.use(adapter)
        assert answers(engine) == expected[adapter]
