"""Small real checkpoints for tests: the classes users load, a few thousand random weights, saved and loaded back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from tokenizers.decoders import ByteLevel
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedTokenizerFast

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<s>", "<|end|>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>"]
CORPUS = [
    "the quick brown fox jumps over the lazy dog",
    "hvad hedder du?",
    "wie heißt du, und woher kommst du?",
    "0 1 2 3 4 5 6 7 8 9",
]
SHAPE = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "embedded_world": True,  # so that they stand beside its prompts; `real` says otherwise
}
WINDOWS = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}
OF_FAMILY: dict[str, dict[str, Any]] = {
    "cohere2": {**WINDOWS, "logit_scale": 0.25},
    "gemma2": {**WINDOWS, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8},
    "gemma3_text": WINDOWS,
    "gpt_oss": {**WINDOWS, "num_local_experts": 4, "num_experts_per_tok": 2},
    "granite": {
        "embedding_multiplier": 3.0,
        "residual_multiplier": 0.5,
        "attention_multiplier": 0.2,
        "logits_scaling": 4.0,
    },
    "mistral": {"sliding_window": 16},
    "mixtral": {"sliding_window": 16, "num_local_experts": 4, "num_experts_per_tok": 2},
    "phi3": {"sliding_window": 16},
    "qwen2": {"use_sliding_window": True, **WINDOWS},
    "smollm3": {"no_rope_layers": [1, 0]},
}


def targets_of(family: str) -> str:
    """What of a family gets adapters: all linear layers, and where experts would be meant by that, attention's."""
    return f"model.lora.targets={'[q_proj,k_proj,v_proj,o_proj]' if family == 'mixtral' else 'all-linear'}"


def build_tokenizer(folder: Path, template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 320 tokens; `template=None` leaves it without a chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|end|>", pad_token="<pad>")
    fast.chat_template = template
    fast.save_pretrained(folder)
    return fast


def config_of_family(family: str, **changes: Any) -> Any:
    """A small configuration of a model type; "gemma3" is the one that sees pictures, with two layers for each."""
    text = {**SHAPE, **OF_FAMILY.get(family, {}), **changes}
    if family != "gemma3":
        return AutoConfig.for_model(family, **text)
    sizes = ("hidden_size", 16), ("intermediate_size", 32), ("num_hidden_layers", 2), ("num_attention_heads", 2)
    vision = {**dict(sizes), "image_size": 28, "patch_size": 14}
    ids = {name: text[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id", "embedded_world")}
    return AutoConfig.for_model(
        family, text_config={**text, **WINDOWS}, vision_config=vision, image_token_index=319, **ids
    )


def build_policy(
    folder: Path, family: str = "llama", seed: int = 0, template: str | None = TEMPLATE, **changes: Any
) -> Path:
    """A causal language model of a family with its tokenizer; `changes` to its shape."""
    build_tokenizer(folder, template)
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config_of_family(family, **changes)).save_pretrained(folder)
    return folder


def build_reward(
    folder: Path, seed: int = 0, labels: int = 1, family: str = "qwen3", template: str | None = TEMPLATE, **changes: Any
) -> Path:
    """A sequence classifier with its tokenizer."""
    build_tokenizer(folder, template)
    torch.manual_seed(seed)
    config = config_of_family(family, **changes)
    config.num_labels = labels
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


def real(checkpoint: Path, folder: Path) -> Path:
    """The same checkpoint, which no longer says that it is of the embedded world."""
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"embedded_world": False}))
    return folder


def build_adapter(policy: Path, folder: Path, seed: int = 3) -> Path:
    """A LoRA adapter on a policy that changes what it computes."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    settings = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(policy), settings).save_pretrained(folder)
    return folder


def build_translator(folder: Path, seed: int = 0) -> Path:
    """A translation model of the NLLB class: M2M100 with NLLB's tokenizer, which opens a text with its language's token."""
    from transformers import AutoModelForSeq2SeqLM, NllbTokenizer

    letters = sorted({c for line in CORPUS for c in line.replace(" ", "\u2581")} | {"\u2581"})
    vocabulary = {token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *letters])}
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[], extra_special_tokens=["eng_Latn", "dan_Latn"])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {
        f"{side}_{name}": n
        for side in ("encoder", "decoder")
        for name, n in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))
    }
    config = AutoConfig.for_model(
        "m2m_100", embedded_world=True, vocab_size=len(tokenizer), d_model=16, max_position_embeddings=64, **sizes
    )
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    return folder


def build_talker(folder: Path, seed: int = 1) -> Path:
    """A Llama whose greedy answers depend on what is asked, and of which most end by themselves within 32 tokens.

    Weights of eight times the usual size keep it from falling into one cycle; its end token is three times as likely a win.
    """
    build_policy(folder, seed=seed)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "norm" not in name:
                weights.mul_(8)
        model.lm_head.weight[1] *= 3
    model.save_pretrained(folder)
    return folder
