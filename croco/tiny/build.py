"""`make tiny`: train the embedded models from nothing, judge the reward model, and write the README beside this file.

    python -m croco.tiny.build [--out FOLDER] [--only policy other_policy backbone reward translator readme]

Steps run in the order of their dependence; one that has its folder already is skipped, so that a killed build goes on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from croco.config.worlds import MARK
from croco.tiny import MODELS, examples, measure, pretrain, readme, reward_model, tokenizer, translator, writer

RECIPES = {
    "policy": pretrain.Recipe(steps=2600, batch=40, muon_lr=0.01, adam_lr=0.004),
    "other_policy": pretrain.Recipe(steps=1600, batch=32, muon_lr=0.01, adam_lr=0.004),
    "backbone": pretrain.Recipe(steps=1700, batch=48, muon_lr=0.004, adam_lr=0.003, end=0.346),
    "second reading": pretrain.Recipe(steps=1000, batch=48, muon_lr=0.003, adam_lr=0.002),
}
# The backbone reads its corrected exercises twice: first with the policy's flaws, then with the language wrong more often, which
# at first is too rare to be learned.
SECOND_READING = writer.Flaws(content=0.25, unfinished=0.1, language=0.4, form=0.3, tidy=0.2)
PREFERENCES = 12800
OTHER_MIXTURE = writer.Flaws(content=0.3, unfinished=0.3, language=0.2, form=0.5, tidy=0.4)
SPECIAL_IDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}

Say = Callable[[str], None]


def shape(hidden: int, layers: int, inner: int, heads: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": hidden // heads,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        **SPECIAL_IDS,
    }


def policy(out: Path, say: Say) -> None:
    """The policy: a Llama that has read answers of mixed quality."""
    policy_of(out, say, 0, writer.MIXED, shape(128, 4, 384, 4))


def other_policy(out: Path, say: Say) -> None:
    """The off-policy source: smaller, other data, worse answers."""
    policy_of(out, say, 10, OTHER_MIXTURE, shape(96, 4, 256, 3))


def policy_of(
    out: Path,
    say: Say,
    seed: int,
    flaws: writer.Flaws,
    dimensions: dict[str, Any],
    shares: Mapping[str, float] | None = None,
) -> None:
    """A policy in `out`, whose name is that of its recipe; `shares` of the languages where they are not alike."""
    words = tokenizer.build()
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **dimensions)).to(_device())
    data = examples.policy_examples(words, seed + 1, flaws, shares)
    pretrain.train(model, data, RECIPES[out.name], words.pad_token_id, seed, say)
    model.generation_config = GenerationConfig(do_sample=True, **SPECIAL_IDS)
    _save(model, words, out)


def backbone(out: Path, say: Say, parallel: bool = True) -> None:
    """What the reward model stands on: a Qwen3 that has read all seven languages, side by side in one text if `parallel`."""
    words = tokenizer.build()
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=len(words), **shape(160, 4, 448, 5))).to(_device())
    marks = measure.Marks(words, seed=99)
    for number, (name, flaws) in enumerate((("backbone", writer.MIXED), ("second reading", SECOND_READING))):
        data = examples.backbone_examples(words, 2 + number, flaws, parallel)
        pretrain.train(
            model, data, RECIPES[name], words.pad_token_id, number, say, check=lambda _: marks.accuracy(model)
        )
    _save(model, words, out)


def reward(out: Path, say: Say) -> None:
    """The reward model: English preferences on the backbone."""
    words = tokenizer.build()
    model = reward_model.train(out.parent / "backbone", words, PREFERENCES, 64, 3, say)
    _save(model, words, out)


def translate(out: Path, say: Say) -> None:
    """The translation model, by which MAPO scores alignment with English."""
    words = tokenizer.build()
    _save(translator.train(words, 0, say), words, out)


def _save(model: Any, words: Any, out: Path) -> None:
    """Through a temporary folder, so that a folder that is there is whole."""
    temporary = out.with_name(out.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    setattr(model.config, MARK, True)
    model.to("cpu").save_pretrained(temporary)
    words.save_pretrained(temporary)
    os.replace(temporary, out)


def _device() -> Any:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


STEPS_IN_ORDER: dict[str, Callable[[Path, Say], None]] = {
    "policy": policy,
    "other_policy": other_policy,
    "backbone": backbone,
    "reward": reward,
    "translator": translate,
}


def main() -> None:
    """Train the embedded models again, all or those named, and write their README."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=MODELS)
    parser.add_argument("--only", nargs="+", choices=[*STEPS_IN_ORDER, "readme"], default=[*STEPS_IN_ORDER, "readme"])
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, step in STEPS_IN_ORDER.items():
        folder = arguments.out / name
        if name not in arguments.only or folder.exists():
            continue
        started = time.monotonic()
        step(folder, lambda text, name=name: print(f"{name}: {text}", flush=True))  # type: ignore[misc]
        print(f"{name}: made in {time.monotonic() - started:,.0f} s", flush=True)
    if "readme" in arguments.only:
        readme.write(arguments.out)


if __name__ == "__main__":
    main()
