"""The doctor finds what is wrong, and nothing where nothing is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from transformers import AutoModelForCausalLM, GenerationConfig

from croco.artifacts.records import Prompt
from croco.config import CONF
from croco.engines import factory
from croco.jobs import checkup, framing, parity
from croco.language import text
from croco.models.checkpoints import Checkpoint
from croco.training.encoding import encode
from croco.training.model import build_model
from tests.language.test_frame import template_of, tokenizer_for
from tests.support.builders import TEMPLATE, build_policy, build_reward
from tests.training.test_training import config_of

ROWS = [([{"role": "user", "content": "hvad hedder du?"}], "the quick brown fox jumps over the lazy dog")]


def states(findings: object) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings}  # type: ignore[attr-defined]


def test_a_sound_template(policy: Path) -> None:
    assert states(framing.template(text.load_tokenizer(str(policy)), ROWS)) == {
        "first prompt": "ok",
        "BOS": "ok",
        "thinking": "ok",
        "end of turn": "ok",
        "frame": "ok",
    }


@pytest.mark.parametrize(
    ("template", "finding", "state"),
    [
        ("{{ bos_token }}" + TEMPLATE, "BOS", "fail"),
        # Another beginning as soon as an answer is there.
        ("{% if messages[-1]['role'] == 'user' %}<|system|>{% endif %}" + TEMPLATE, "frame", "warn"),
    ],
)
def test_a_template_that_is_not(tmp_path: Path, template: str, finding: str, state: str) -> None:
    tokenizer = text.load_tokenizer(str(build_policy(tmp_path, template=template)))
    assert states(framing.template(tokenizer, ROWS))[finding] == state


@pytest.mark.parametrize("name", ["gemma3", "gptoss", "cohere2", "qwen3", "llama3", "deepseek_r1_distill"])
def test_the_frame_is_proved_by_the_whole_rendering(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer with one more token than the template writes is found wherever a text is an answer."""
    tokenizer = tokenizer_for(template_of(name), special=True)
    sound = framing.proved(tokenizer, ROWS)
    assert sound.state == "ok", sound
    assert ("left to the model" in sound.detail) == (name == "qwen3")
    if name != "deepseek_r1_distill":
        own = text.answer_ids
        monkeypatch.setattr(text, "answer_ids", lambda tokenizer, answer: [*own(tokenizer, answer), 5])
        assert framing.proved(tokenizer, ROWS).state == "warn"


def test_a_checkpoint_that_stops_elsewhere(policy: Path, tmp_path: Path) -> None:
    """The template ends turns with token 1; a generation config that knows token 5 only is worth a word."""
    tokenizer = text.load_tokenizer(str(policy))
    assert checkup.stops(config_of(policy), tokenizer).state == "ok"
    other = build_policy(tmp_path)
    GenerationConfig(eos_token_id=[5]).save_pretrained(other)
    assert checkup.stops(config_of(other), tokenizer).state == "warn"


def test_answers_that_do_not_fit(policy: Path) -> None:
    tokenizer = text.load_tokenizer(str(policy))
    prompts = [Prompt("p", "da", ROWS[0][0], "", reference=ROWS[0][1])]
    assert checkup.lengths(config_of(policy, "model.max_length=250"), tokenizer, prompts).state == "ok"
    assert checkup.lengths(config_of(policy, "model.max_length=10"), tokenizer, prompts).state == "fail"
    alone = checkup.lengths(config_of(policy, "model.max_length=10"), tokenizer, [Prompt("p", "da", ROWS[0][0], "")])
    assert (alone.state, "no reference answers" in alone.detail) == ("warn", True)


class Answering:
    """A model whose logits are known."""

    device = "cpu"

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits

    def __call__(self, input_ids: torch.Tensor) -> Answering:
        return self


def test_greedy_tokens_may_be_tied_as_far_as_numbers_lie_apart() -> None:
    """Logits 20 and 19.875 are neighbours in bfloat16, and either may be written; in float32 they are not, and 19.5 never is."""

    def state(dtype: str, other: float) -> str:
        logits = torch.zeros(1, 3, 8)
        logits[0, :, 1], logits[0, :, 2] = 20.0, other
        one = SimpleNamespace(request=SimpleNamespace(token_ids=[5]), token_ids=[2, 2])
        return parity._tokens(Answering(logits), [one], dtype, "engine's", "hf").state

    assert (state("bfloat16", 19.875), state("float32", 19.875), state("bfloat16", 19.5)) == ("ok", "fail", "fail")


def test_an_adapter_that_reaches_nothing(policy: Path) -> None:
    """Healthy first; then one whose scaling is 0, so that its weights move no log-prob."""
    config = config_of(policy)
    pair = (ROWS[0][1], "no")
    examples, _ = encode(text.load_tokenizer(str(policy)), [(ROWS[0][0], pair)], 250)
    assert states(checkup.training(config, build_model(config, 0.0), examples)) == {"step 0": "ok", "adapter": "ok"}
    model = build_model(config, 0.0)
    for module in model.modules():
        if hasattr(module, "lora_A"):
            module.scaling = dict.fromkeys(module.scaling, 0.0)
    assert states(checkup.training(config, model, examples))["adapter"] == "fail"


def test_a_policy_that_does_not_start_at_its_reference(policy: Path) -> None:
    config = config_of(policy)
    examples, _ = encode(text.load_tokenizer(str(policy)), [(ROWS[0][0], (ROWS[0][1], "no"))], 250)
    model = build_model(config, 0.0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    assert states(checkup.training(config, model, examples))["step 0"] == "fail"


@pytest.mark.parametrize(("factor", "state"), [(1.0, "ok"), (1.5, "fail")])
def test_an_engine_that_computes_something_else(
    factor: float, state: str, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine reads a checkpoint whose logits are larger by a factor, so that its greedy tokens stay the same."""
    other = AutoModelForCausalLM.from_pretrained(policy)
    with torch.no_grad():
        other.get_output_embeddings().weight.mul_(factor)
    other.save_pretrained(tmp_path)
    monkeypatch.setattr(factory, "policy", lambda model: Checkpoint(str(tmp_path)))
    monkeypatch.setattr("croco.training.model.factory", SimpleNamespace(policy=lambda model: Checkpoint(str(policy))))
    prompts = [Prompt("p", "en", ROWS[0][0], "train")]
    config = config_of(policy, "sampling.max_new_tokens=8")
    monkeypatch.setattr(parity, "find_spec", lambda name: None)
    found = states(parity.answers(config, text.load_tokenizer(str(policy)), prompts, {}))
    assert found == {"tokens": "ok", "engine's tokens": "ok", "engine's log-probs": state, "engine's adapter": state}


def test_an_engine_that_does_not_take_the_adapter(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from croco.engines.hf import HFGenerator
    from croco.models import adapters

    monkeypatch.setattr(parity, "find_spec", lambda name: None)
    monkeypatch.setattr(adapters, "put_on", lambda model, folder: model.set_adapter)
    monkeypatch.setattr(HFGenerator, "use", lambda self, adapter: None)
    config = config_of(policy, "sampling.max_new_tokens=8")
    prompts = [Prompt("p", "en", ROWS[0][0], "train")]
    found = states(parity.answers(config, text.load_tokenizer(str(policy)), prompts, {}))
    assert found == {"tokens": "ok", "engine's tokens": "ok", "engine's log-probs": "ok", "engine's adapter": "fail"}


@pytest.mark.parametrize("state", ["ok", "fail"])
def test_rewards_are_those_of_the_models_own_class(
    state: str, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fail: an engine that reads the last token of a model whose pad token ends every conversation."""
    monkeypatch.setattr(parity, "find_spec", lambda name: None)
    reward = build_reward(tmp_path, pad_token_id=1)
    if state == "fail":
        monkeypatch.setattr("croco.engines.hf.pad_of", lambda config: None)
    prompts = [Prompt("p", "en", ROWS[0][0], "train")]
    found = parity.rewards(config_of(policy, f"reward.path={reward}"), prompts)
    assert states(found) == {"engine's rewards": state}


@pytest.mark.slow
def test_the_embedded_world_is_in_order(tmp_path: Path) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose(
            "config", overrides=[f"paths.artifacts={tmp_path}", "lang=en", "prompts.train=8", "prompts.heldout=4"]
        )
    found = states(checkup.examine(composed))
    assert set(found.values()) == {"ok"}, found
    engine = {"engine's tokens", "engine's log-probs", "engine's adapter", "engine's rewards"}
    assert {"BOS", "max_length", "step 0", "adapter", "reward model"} | engine < set(found)
