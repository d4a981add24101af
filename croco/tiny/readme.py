"""Writes croco/tiny/README.md: what the world is, how its models were made, and what was measured on them."""

from __future__ import annotations

import platform
from pathlib import Path

from croco.tiny import build, measure, reward_model, translator, world
from croco.tiny.lexicon import LANGUAGES, names

PROMPTS = 90

TEXT = """# The embedded world

This file is written by `make tiny`; its figures were measured by that command.

{concepts} concepts with their names in seven languages ({languages}), {open} open prompts in nine tasks and {structured}
structured ones in four, each in every language. `grader.py` gives any answer a gold quality in [0, 1] by plain rules:
language x (0.6 correct + 0.2 form + 0.2 tidy). A third of the questions is held out, by hash of their arguments.

| model | architecture | weights | trained on |
|---|---|---|---|
{models}

* **policy** and **other_policy** have read answers of mixed quality: each flaw (wrong content, another language, no proper
  form, said twice) is drawn independently, so their samples range from perfect to useless, and they know the right answers.
* **The backbone** of the reward model has read all seven languages alike: perfect exchanges, the same exchange in two
  languages, and corrected exercises, in which a mark behind the answer says whether its content is right and in the asked
  language. No two answers are compared in it, and form, repetition and completeness of phrase have no part in the mark.
* **The reward model** is that backbone with a linear head, trained by Bradley-Terry on {preferences:,} preferences, all of them
  about answers to *English* prompts. In {quality:.0%} both answers are English and differ in gold quality; in the rest the prompt
  asks for an answer in a given language, or in that of a message it quotes, and the two answers say the same and differ in
  their language alone. Its embeddings stay frozen.
* **The translator** (NLLB's class) has read prompts and true answers in a language beside the same in English. It is MAPO's
  reward: how likely it makes the English answer.

## Is the reward model useful outside English?

{prompts} held-out open prompts, 16 samples of the policy each, per language.

{ranking}

*Pair accuracy*: of two samples whose gold differs by more than {gap}, how often the better one has the higher reward. *Mean
reward* shows the level at which a language is scored: where levels differ, a pool over languages prefers a language rather than
an answer, which is why raw multilingual pooling contrasts languages.

How often a perfect answer in the prompt's language gets a higher reward than the same answer in English: {english}.

Built on {machine} with torch {torch}.
"""


def write(models: Path) -> None:
    """Measure and write; the table is about the models in `models`."""
    import torch

    ranking = measure.ranking(models / "policy", models / "reward", PROMPTS)
    english = measure.english_answers(models / "reward", PROMPTS)
    text = TEXT.format(
        concepts=sum(len(names(k)) for k in (*world.KINDS, "city", "quality", "day", "month", "language")),
        languages=", ".join(LANGUAGES),
        open=_count(world.OPEN),
        structured=_count(world.STRUCTURED),
        models="\n".join(_model(models / name) for name in ("policy", "other_policy", "reward", "translator")),
        preferences=build.PREFERENCES,
        quality=1 - reward_model.LANGUAGE_SHARE,
        prompts=PROMPTS,
        ranking=_table(ranking),
        gap=reward_model.GAP,
        english=", ".join(f"{language} {share:.2f}" for language, share in english.items()),
        machine=f"{platform.machine()}, {'a GPU' if torch.cuda.is_available() else 'CPU only'}",
        torch=torch.__version__,
    )
    (Path(__file__).parent / "README.md").write_text(text, encoding="utf-8")


def _count(tasks: tuple[str, ...]) -> int:
    return sum(world.variants(task) for task in tasks for _ in world.arguments(task))


def _model(folder: Path) -> str:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    if folder.name == "translator":
        seen = f"{translator.STEPS:,} x {translator.BATCH} pairs of texts"
    else:
        readings = ["backbone", "second reading"] if folder.name == "reward" else [folder.name]
        sizes = (f"{build.RECIPES[name].steps:,} x {build.RECIPES[name].batch}" for name in readings)
        seen = " and ".join(sizes) + " exchanges"
    if folder.name == "reward":
        seen += f", then {build.PREFERENCES:,} English preferences"
    cells = (
        folder.name,
        config.architectures[0],
        f"{measure.parameters(folder):,}",
        seen,
    )
    return f"| {' | '.join(cells)} |"


def _table(ranking: dict[str, dict[str, float]]) -> str:
    columns = list(next(iter(ranking.values())))
    lines = ["| language | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [
        f"| {language} | " + " | ".join(f"{row[c]:.2f}" for c in columns) + " |" for language, row in ranking.items()
    ]
    return "\n".join(lines)
