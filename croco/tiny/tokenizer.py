"""The tokenizer of the world's models: byte-level BPE trained on the world's own text, with a chat template.

A space is put before the first word of a turn, so that a word is the same token wherever it stands.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from croco.tiny import world, writer
from croco.tiny.lexicon import template

VOCABULARY = 3072
BOS, END, PAD, USER, ASSISTANT, RIGHT, WRONG = "<s>", "<|end|>", "<pad>", "<|user|>", "<|assistant|>", "✓", "✗"
SPECIAL = [BOS, END, PAD, "<|system|>", USER, ASSISTANT]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] | trim }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def corpus(seed: int = 0, rounds: int = 4) -> Iterator[str]:
    """Prompts and answers of every task in every language, and both marks."""
    rng = random.Random(seed)
    for task in world.OPEN + world.STRUCTURED:
        for args in world.arguments(task):
            for language in world.LANGUAGES:
                yield world.text(task, args, rng.randrange(world.variants(task)), language)
                yield world.reference(task, args, language)
                if task in world.OPEN:
                    yield from (writer.write(rng, task, args, language, writer.MIXED) for _ in range(rounds))
                yield f"{template('in', language)} {RIGHT} {WRONG}"


def build() -> PreTrainedTokenizerFast:
    """Train the tokenizer; always the same one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=END, pad_token=PAD)
    fast.chat_template = CHAT_TEMPLATE
    return fast
