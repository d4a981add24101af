"""From conversations to ids: one BOS, prompts are prefixes, answers end."""

from __future__ import annotations

from pathlib import Path

import pytest

from croco.errors import UserError
from croco.language import text
from tests.support.builders import TEMPLATE, build_tokenizer

USER = [{"role": "user", "content": "hvad hedder du?"}]


def test_prompt_is_a_prefix_and_the_answer_ends_once(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(tmp_path)
    prompt = text.prompt_ids(tokenizer, USER)
    answer = text.answer_ids(tokenizer, "the quick fox")
    whole = text.conversation_ids(tokenizer, [*USER, {"role": "assistant", "content": "the quick fox"}])
    assert prompt + answer == whole
    assert whole.count(tokenizer.bos_token_id) == 1
    assert answer.count(text.end_of_turn(tokenizer)) == 1
    assert text.decode(tokenizer, answer) == "the quick fox"


def test_what_follows_the_end_of_turn_is_no_part_of_the_answer(tmp_path: Path) -> None:
    """Many templates write a newline behind the end of a turn, which the model never samples."""
    tokenizer = build_tokenizer(tmp_path, TEMPLATE.replace("<|end|>{% endfor %}", "<|end|>\n{% endfor %}"))
    assert text.answer_ids(tokenizer, "fox")[-1] == text.end_of_turn(tokenizer)


def test_a_template_that_rewrites_the_prompt_still_gives_the_answer(tmp_path: Path) -> None:
    template = "{% if messages|length > 1 %}{{ bos_token }}{% endif %}" + TEMPLATE.replace("{{ bos_token }}", "")
    tokenizer = build_tokenizer(tmp_path, template)
    ids = text.answer_ids(tokenizer, "fox")
    assert text.decode(tokenizer, ids) == "fox"
    assert ids[-1] == text.end_of_turn(tokenizer)


def test_a_checkpoint_without_template_is_refused_and_a_file_helps(tmp_path: Path) -> None:
    build_tokenizer(tmp_path, None)
    with pytest.raises(UserError, match=r"model\.chat_template=FILE"):
        text.load_tokenizer(str(tmp_path))
    file = tmp_path / "chat.jinja"
    with pytest.raises(UserError, match="no such file"):
        text.load_tokenizer(str(tmp_path), chat_template=str(file))
    file.write_text(TEMPLATE)
    assert text.prompt_ids(text.load_tokenizer(str(tmp_path), chat_template=str(file)), USER)


def test_no_tokenizer_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot load its tokenizer"):
        text.load_tokenizer(str(tmp_path / "nothing"))
