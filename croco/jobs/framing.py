"""How the policy's chat template frames a conversation (`croco doctor`): shown, and proved by rendering it whole.

The proof does not ask croco/language/frame.py: the template writes prompt and answer in one piece, the tokenizer encodes that,
and the ids must be those of the prompt and of the answer that are generated behind and trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from croco.jobs.findings import Finding
from croco.language import clock, frame, marks, rendering, text
from croco.stages import templates

SHOWN = (48, 16)  # tokens of the first prompt, from its beginning and from its end
Row = tuple[Any, str]


def template(tokenizer: Any, rows: Sequence[Row]) -> Iterator[Finding]:
    """The first prompt as tokens, BOS, thinking, an end that is learnt, and the frame against the whole rendering."""
    first = tokenizer.convert_ids_to_tokens(text.prompt_ids(tokenizer, rows[0][0]))
    gap = [f"... {len(first) - sum(SHOWN)} more ..."] if len(first) > sum(SHOWN) else []
    yield Finding("first prompt", "ok", " ".join([*first[: SHOWN[0]], *gap, *first[SHOWN[0] :][-SHOWN[1] :]]))
    odd = [fault for fault in templates.faults(tokenizer) if "BOS" in fault]
    sound = (
        "the model has none" if tokenizer.bos_token_id is None else "written where the model expects it, or not at all"
    )
    yield Finding("BOS", "fail" if odd else "ok", "; ".join(odd) or sound)
    yield Finding("thinking", "ok", frame.thinking(tokenizer))
    if frame.of(tokenizer).opens_thought:
        yield Finding("end of turn", "skip", "the template opens a thought for every answer: no text alone is one")
    else:
        ids = [text.answer_ids(tokenizer, answer) for _, answer in rows]
        end = text.end_of_turn(tokenizer)
        ended = sum(own[-1] == end for own in ids)
        name = tokenizer.convert_ids_to_tokens(end)
        detail = f"{ended} of {len(ids)} answers end with {name!r}, which training learns"
        yield Finding("end of turn", "ok" if ended == len(ids) else "fail", detail)
    yield proved(tokenizer, rows)


def proved(tokenizer: Any, rows: Sequence[Row]) -> Finding:
    """The template's own rendering of every conversation against the ids of its prompt and its answer."""
    opens, same, left, wrong = frame.of(tokenizer).opens_thought, 0, set(), ""
    told = [
        (m, a.strip()) for m, a in rows if not any(marks.spells(tokenizer, t) for t in (a, *(x["content"] for x in m)))
    ]
    for messages, answer in told:
        finished = [] if opens else [{"role": "assistant", "content": answer}]
        whole = _whole(tokenizer, [*messages, *finished], opens)
        ours = text.prompt_ids(tokenizer, messages)
        prompt = str(tokenizer.decode(ours, skip_special_tokens=False, clean_up_tokenization_spaces=False))
        behind = [] if opens else text.answer_ids(tokenizer, answer)
        if tokenizer.encode(whole, add_special_tokens=False)[: len(ours) + len(behind)] == ours + behind:
            same += 1
            continue
        said = str(tokenizer.decode(behind, skip_special_tokens=False, clean_up_tokenization_spaces=False))
        between, found, _ = whole.removeprefix(prompt).partition(said)
        if whole.startswith(prompt) and found and _is_a_thought(between):
            left.add(between)
        else:
            wrong = wrong or f"; the template writes {whole[-80:]!r} where {(prompt + said)[-80:]!r} is trained on"
    detail = f"prompt and answer are as the template renders them in one piece in {same} of {len(told)} conversations"
    if left:
        detail += f"; before the last answer it writes {sorted(left)[0]!r}, which is left to the model"
    return Finding("frame", "warn" if wrong else "ok", detail + wrong)


def _is_a_thought(said: str) -> bool:
    """An empty one, which a template puts before the last answer alone."""
    return "</" in said and not said.replace("<think>", "").replace("</think>", "").strip()


def _whole(tokenizer: Any, messages: list[Any], prompt_alone: bool) -> str:
    if frame.of(tokenizer).in_parts:
        messages = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]
    asked = {clock.ASKS: clock.strftime_now} if clock.ASKS in str(tokenizer.chat_template) else {}
    options = getattr(tokenizer, rendering.OPTIONS, {})
    return str(
        tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt_alone, **asked, **options)
    )
