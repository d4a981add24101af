"""One tiny random checkpoint of a family, walked through the method beside plain transformers and PEFT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING as CLASSIFIERS

from croco.engines.base import Answered, Request
from croco.engines.hf import HFGenerator, HFScorer
from croco.language import text
from croco.models import merged
from croco.models.checkpoints import Checkpoint, load
from croco.show.progress import Progress
from croco.training import launch, metrics, packed
from croco.training.data import Example, Material
from croco.training.model import build_model
from tests.support.builders import TEMPLATE, build_policy, build_reward, targets_of
from tests.training.test_training import config_of

CHATML = ("<|im_start|>", "<|im_end|>")
GEMMA = ("<start_of_turn>", "<end_of_turn>")
COHERE = ("<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|END_OF_TURN_TOKEN|>")
COHERE2 = (*COHERE[:4], "<|START_RESPONSE|>", "<|END_RESPONSE|>", COHERE[4])
HARMONY = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>")
DEEPSEEK = (
    "<\uff5cUser\uff5c>",
    "<\uff5cAssistant\uff5c>",
    "<think>",
    "</think>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
)


@dataclass(frozen=True)
class Animal:
    """A family of the zoo."""

    stands_for: str
    model_type: str
    template: str | None = None
    """A file of TRL's `chat_templates`; None is the tests' plain one."""
    marks: tuple[str, ...] = ()
    """The template's special tokens, the one that ends a turn last."""


ZOO = {
    "llama": Animal("Llama 3", "llama", "llama3", ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
    "eurollm": Animal("EuroLLM, SmolLM 2 (ChatML)", "llama", "qwen2_5", CHATML),
    "mistral": Animal("Mistral", "mistral"),
    "qwen2": Animal("Qwen 2.5", "qwen2", "qwen2_5", CHATML),
    "deepseek": Animal("DeepSeek-R1 distilled", "qwen2", "deepseek_r1_distill", DEEPSEEK),
    "qwen3": Animal("Qwen 3", "qwen3", "qwen3_instruct_2507", CHATML),
    "gemma2": Animal("Gemma 2", "gemma2", "gemma", GEMMA),
    "gemma3_text": Animal("Gemma 3 1B", "gemma3_text", "gemma3", GEMMA),
    "gemma3": Animal("Gemma 3 4B and up", "gemma3", "gemma3", GEMMA),
    "cohere": Animal("Command R, Aya", "cohere", "cohere", COHERE),
    "cohere2": Animal("Command R7B, Tiny Aya", "cohere2", "cohere2", COHERE2),
    "phi3": Animal("Phi-3, Phi-4", "phi3", "phi3", ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>")),
    "granite": Animal("Granite", "granite"),
    "olmo2": Animal("OLMo 2", "olmo2"),
    "smollm3": Animal("SmolLM 3", "smollm3"),
    "apertus": Animal("Apertus", "apertus"),
    "gpt_oss": Animal("gpt-oss", "gpt_oss", "gptoss", HARMONY),
    "mixtral": Animal("Mixtral", "mixtral"),
}
QUESTIONS = ("what?", "hvad hedder du?", "0 1 2 3 4 5 6 7 8 9")


def template_of(animal: Animal) -> str:
    """The real template where TRL brings it."""
    if animal.template is None:
        return TEMPLATE
    trl = pytest.importorskip("trl")
    file = Path(trl.__file__).parent / "chat_templates" / f"{animal.template}.jinja"
    return file.read_text(encoding="utf-8")


def dress(folder: Path, animal: Animal) -> None:
    """Give a checkpoint's tokenizer the family's marks."""
    if not animal.marks:
        return
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": list(animal.marks)})
    tokenizer.eos_token = animal.marks[-1]
    tokenizer.save_pretrained(folder)


def walk(name: str, folder: Path) -> dict[str, str]:
    """Generate, score, train, merge and load back; says how each went.

    Raises:
        AssertionError: a step is not what plain transformers and PEFT come to.
    """
    animal = ZOO[name]
    shape = {
        "vocab_size": 336,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": name in ("gemma3", "cohere2", "qwen2"),
    }
    path = build_policy(folder / "policy", animal.model_type, template=template_of(animal), **shape)
    dress(path, animal)
    told = {}
    answers = generated(path)
    told["generate"] = f"{sum(len(ids) for _, ids in answers)} tokens"
    told["score"] = scored(animal, folder / "reward", shape)
    config = config_of(
        path, targets_of(animal.model_type), "method.learning_rate=0.01", "method.epochs=4", "model.max_length=2048"
    )
    told["train"] = trained(config, answers, folder / "run")
    told["merge"] = merged_back(path, folder / "run" / "adapter", folder / "merged")
    return told


def generated(path: Path) -> list[tuple[list[int], list[int]]]:
    """(prompt, answer) as ids: greedy answers, token for token those of `generate` on each prompt alone."""
    tokenizer = text.load_tokenizer(str(path))
    prompts = [text.prompt_ids(tokenizer, [{"role": "user", "content": q}]) for q in QUESTIONS]
    engine = HFGenerator(Checkpoint(str(path)), tokenizer, 0.0, 1.0, 16, None)
    requests = [Request(str(i), "en", ids, range(1), i) for i, ids in enumerate(prompts)]
    ours = {c.request.prompt_id: c.token_ids for c in engine.generate(requests)}
    model, _ = load(AutoModelForCausalLM, Checkpoint(str(path)))
    plain: Any = model
    for number, ids in enumerate(prompts):
        asked = torch.tensor([ids])
        out = plain.generate(
            asked,
            attention_mask=torch.ones_like(asked),
            max_new_tokens=16,
            do_sample=False,
            eos_token_id=sorted(engine.stops),
            pad_token_id=0,
        )
        assert ours[str(number)] == out[0, len(ids) :].tolist(), f"prompt {number}"
    return [(ids, ours[str(i)]) for i, ids in enumerate(prompts)]


def scored(animal: Animal, folder: Path, shape: dict[str, Any]) -> str:
    """Rewards of a batch are those of each conversation alone, whatever the pad token is."""
    if type(AutoConfig.for_model(animal.model_type)) not in CLASSIFIERS:
        return "no such class"
    for pad in (None, 2):
        where = folder / str(pad)
        build_reward(where, family=animal.model_type, template=template_of(animal), **shape, pad_token_id=pad)
        dress(where, animal)
        scorer = HFScorer(Checkpoint(str(where)), 500, 2000)
        some = [
            Answered([{"role": "user", "content": q}], a, "en", "{}") for q in QUESTIONS for a in ("du", "a lazy dog")
        ]
        rewards = scorer.score(some)
        model, _ = load(AutoModelForSequenceClassification, Checkpoint(str(where)))
        for a, reward in zip(some, rewards, strict=True):
            ids = text.conversation_ids(scorer.tokenizer, [*a.messages, {"role": "assistant", "content": a.answer}])
            with torch.no_grad():
                assert reward == pytest.approx(model(torch.tensor([ids])).logits.item(), abs=1e-5)
    return "equal"


def trained(config: Any, answers: list[tuple[list[int], list[int]]], folder: Path) -> str:
    """Preference training starts at ln 2 and learns; packed rows give the log-probs that plain rows give."""
    folder.mkdir(parents=True)
    rows = [Example(prompt, (ids, [*reversed(ids[:-1]), 5])) for prompt, ids in answers]
    rows = [row for row in rows if row.answers[0] != row.answers[1]]
    launch.train(config, Material(rows, ()), folder, folder.parent, Progress(), lambda values, step: None)
    losses = [row["loss"] for row in metrics.read(folder)]
    assert losses[0] == pytest.approx(0.693147, abs=1e-4)
    assert min(losses[1:]) < losses[0]
    model = build_model(replace(config, model=replace(config.model, adapter=str(folder / "adapter"))), 0.0)
    return packed.choose(model, config.trainer).name


def merged_back(path: Path, adapter: Path, out: Path) -> str:
    """What other tools load computes what PEFT computes from base and adapter."""
    merged.write(Checkpoint(str(path), adapter=adapter), out)
    ids = torch.arange(5, 25)[None]
    base, _ = load(AutoModelForCausalLM, Checkpoint(str(path)))
    again, _ = load(AutoModelForCausalLM, Checkpoint(str(out)))
    tuned: Any = PeftModel.from_pretrained(base, str(adapter)).eval()
    with torch.no_grad():
        assert torch.allclose(again(ids).logits, tuned(ids).logits, atol=1e-4)
    return "equal"
