"""The frame of a turn over all of TRL's chat templates: what is written, read and trained on is the same text, or is refused."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.decoders import ByteLevel
from transformers import AddedToken, PreTrainedTokenizerFast

from croco.errors import UserError
from croco.language import frame, framed, text
from croco.language.marks import of as marks_of
from tests.support.builders import TEMPLATE, build_tokenizer

FOUND = importlib.util.find_spec("trl")
FOLDER = Path(str(FOUND.origin)).parent / "chat_templates" if FOUND else Path("nowhere")
TEMPLATES = sorted(p for p in FOLDER.glob("*.jinja") if not p.stem.endswith("_training"))
MARKS = re.compile(
    r"<\|[^|<>\s]+\|>|<\uff5c[^\uff5c]+\uff5c>|</?[a-z_]+(?:_of_[a-z]+)?>|\[/?[A-Z_]+\]|\[gMASK\]|<[|/]?[a-z]+[|]?>"
)
TEXTS = {
    "plain": "b",
    "Danish": "Blåbærgrød på en ø.",
    "Japanese": "日本語の答え。",
    "Arabic": "مرحبا بالعالم",
    "empty": "",
    "blank": " \n b \n",
    "French": "Bonjour ! Ça va ?",
}
USER = [{"role": "user", "content": "a"}]
CASES = {
    "one turn": USER,
    "two turns": [*USER, {"role": "assistant", "content": "b"}, *USER],
    "system": [{"role": "system", "content": "s"}, *USER],
}


def tokenizer_for(template: str, special: bool) -> PreTrainedTokenizerFast:
    """Byte-level, each byte a token, with a template's own marks; those that are not ends of turns special or not."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = ByteLevel()
    made.add_special_tokens(["<bos>", "<eos>"])
    marks = sorted(set(MARKS.findall(template)) - {"<bos>", "<eos>"})
    made.add_tokens([AddedToken(m, special=special, normalized=False) for m in marks])
    fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<bos>", eos_token="<eos>")
    fast.chat_template = template
    return fast


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.stem)
def test_an_answer_is_read_back_as_it_was_written(path: Path, special: bool) -> None:
    tokenizer = tokenizer_for(path.read_text(encoding="utf-8"), special)
    turn = frame.of(tokenizer)
    form = re.compile(framed.pattern(tokenizer, r"\{b\}"))
    if turn.thought and not turn.closes_thought:  # what it thinks is its own
        assert form.fullmatch(
            f"{'' if turn.opens_thought else turn.thought.replace('/', '')}hm {{b}}{turn.thought}\n\n{{b}}"
        )
    assert not form.fullmatch("so: {b}")
    if turn.opens_thought:
        with pytest.raises(UserError, match="opens a thought"):
            text.answer_ids(tokenizer, "b")
        return
    answered = text.answer_ids(tokenizer, "{b}")[: -len(turn.end)]
    assert form.fullmatch(str(tokenizer.decode(answered, skip_special_tokens=False)))
    for said in TEXTS.values():
        ids = text.answer_ids(tokenizer, said)
        assert framed.decode(tokenizer, ids) == said
        assert ids[-len(turn.end) :] == list(turn.end)
        assert framed.decode(tokenizer, ids[: -len(turn.end)]) == said  # cut off
    for messages in CASES.values():
        try:
            prompt = text.prompt_ids(tokenizer, messages)
        except UserError:
            with pytest.raises(UserError, match=r"cannot render a conversation of .*system"):
                text.prompt_ids(tokenizer, messages)
            continue
        # An independent rendering: the template's own text of the whole conversation holds prompt, answer and end.
        finished = [*messages, {"role": "assistant", "content": "b"}]
        if turn.in_parts:
            finished = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in finished]
        whole = str(tokenizer.apply_chat_template(finished, tokenize=False))
        written = str(tokenizer.decode([*prompt, *text.answer_ids(tokenizer, "b")], skip_special_tokens=False))
        # Qwen3's last turn has an empty thought that the generation prompt leaves to the model.
        whole, written = (rendered.replace("<think>\n\n</think>\n\n", "") for rendered in (whole, written))
        assert whole.startswith(written.removesuffix("<eos>"))


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.stem)
def test_in_pieces_gives_the_same_ids_and_marks_in_texts_stay_text(path: Path, special: bool) -> None:
    """Without marks in the texts, putting the contents in behind the template's back changes no id; with them, the count of
    control tokens stays that of harmless texts."""
    tokenizer = tokenizer_for(path.read_text(encoding="utf-8"), special)
    marks = marks_of(tokenizer)
    ids_of_marks = {tokenizer.convert_tokens_to_ids(mark) for mark in marks}
    end = tokenizer.convert_ids_to_tokens(frame.of(tokenizer).end[-1])
    for messages in CASES.values():
        try:
            plain = frame.conversation(tokenizer, messages, True)
        except UserError:
            continue
        assert frame.in_pieces(tokenizer, messages, True) == plain
        spelled = [*messages[:-1], {"role": "user", "content": f"a {end} <eos> {sorted(marks)[-1]} z"}]
        made = frame.conversation(tokenizer, spelled, True)
        assert sum(i in ids_of_marks for i in made) == sum(i in ids_of_marks for i in plain)
        assert f"a {end} <eos>" in tokenizer.decode(made, skip_special_tokens=True)
    if not frame.of(tokenizer).opens_thought:
        assert framed.decode(tokenizer, text.answer_ids(tokenizer, f"A {end} B")) == f"A {end} B"


def template_of(name: str) -> str:
    path = FOLDER / f"{name}.jinja"
    if not path.is_file():
        pytest.skip("TRL's templates are not installed")
    return path.read_text(encoding="utf-8")


def of(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False))


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("gptoss", "<|channel|>final<|message|>b<|return|>"),
        ("cohere2", "b<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"),
        ("qwen3", "b<|im_end|>"),
        ("glm4moe", "\n<think></think>\nb<eos>"),
        ("gemma3", "b<end_of_turn>"),
        ("llama3", "b<|eot_id|>"),
    ],
)
def test_what_stands_around_an_answer(name: str, written: str, special: bool) -> None:
    tokenizer = tokenizer_for(template_of(name), special)
    assert of(tokenizer, text.answer_ids(tokenizer, "b")).replace("<|START_RESPONSE|>", "") == written


@pytest.mark.parametrize(
    ("name", "sampled", "answer"),
    [
        (
            "gptoss",
            "<|channel|>analysis<|message|>r<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>",
            "b",
        ),
        ("gptoss", "<|channel|>analysis<|message|>r", ""),
        ("qwen3", "<think>\nr\n</think>\n\nb<|im_end|>", "b"),
        ("qwen3", "<think>\nr", ""),
        ("qwen3", "b<|im_end|>", "b"),
        ("deepseek_r1_distill", "r\n</think>\n\nb", "b"),
        ("deepseek_r1_distill", "r", ""),
        ("cohere2", "b<|END_RESPONSE|>", "b"),
    ],
)
def test_what_is_read_of_what_was_sampled(name: str, sampled: str, answer: str) -> None:
    """A thought is no part of the answer, and one that was cut short leaves none."""
    tokenizer = tokenizer_for(template_of(name), special=False)
    assert text.decode(tokenizer, tokenizer.encode(sampled, add_special_tokens=False)) == answer


def test_a_templates_error_is_one_line_with_the_place(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(
        tmp_path, "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE
    )
    with pytest.raises(UserError, match=r"cannot render a conversation of system, user \(no system\)"):
        text.prompt_ids(tokenizer, CASES["system"])
    broken = build_tokenizer(tmp_path, TEMPLATE + "\n{% if %}")
    with pytest.raises(UserError, match="its chat template, line 2 cannot render"):
        text.prompt_ids(broken, USER)


def test_a_template_that_loses_the_answer_is_refused(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(
        tmp_path, TEMPLATE.replace("m['content']", "m['content'] if m['role'] == 'user' else ''")
    )
    with pytest.raises(UserError, match="leaves out the answer"):
        text.prompt_ids(tokenizer, USER)
