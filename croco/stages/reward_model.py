"""A reward model, or several of seeds of their own, trained on the preferences; each an ordinary checkpoint.

What lies in the artifact: `model` (or `model-0`, `model-1`, ...), a sequence classifier that transformers, vLLM and TRL load; for
LoRA the same as adapter and head; and how the training went.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from croco.artifacts import records
from croco.config import Config
from croco.config.scorers import to_train, trained_part
from croco.errors import UserError
from croco.language import text
from croco.models.checkpoints import Checkpoint, identity
from croco.models.slices import lora_slice, template_slice, tokenizer_slice
from croco.pairing.choose import draw
from croco.prompts.preferences import Preference
from croco.stages.base import Job, Stage

if TYPE_CHECKING:
    from croco.training.examples import Examples

VALIDATION = 128  # held-out preferences that training's watch looks at


def slice_of(config: Config) -> dict[str, Any]:
    """All that changes the model; hardware and packing change its last digits only and are left out."""
    part, training = to_train(config.reward)
    said = records.as_dict(training)
    for name in ("languages", "heldout"):  # of the preferences
        said.pop(name)
    if training.tune != "lora":
        said.pop("lora")
    else:
        assert training.lora is not None, "croco.config.scorers lets no other through"
        said["lora"] = lora_slice(training.lora)
    base = Checkpoint(str(part.base), part.revision, chat_template=training.chat_template)
    return {
        "base": identity(base.path, base.revision),
        "dtype": part.dtype,
        "max_length": part.max_length,
        "members": part.members,
        "training": said | template_slice(base),
    }


def run(job: Job) -> dict[str, Any]:
    """Train every member that is not there yet, and leave its checkpoint."""
    from croco.training import metrics
    from croco.training.data import Material
    from croco.training.launch import train
    from croco.training.reward_model import FOLDER, configured

    part, _ = to_train(job.config.reward)
    rows = list(job.single("preferences").rows("preferences", Preference))
    examples, watched, counts = _examples(job, rows)
    if not len(examples):
        raise UserError(
            f"reward.max_length={part.max_length}: no preference is short enough ({dict(counts)}); raise it"
        )
    last: dict[str, float] = {}
    models = []
    for member in range(part.members):
        name = FOLDER if part.members == 1 else f"{FOLDER}-{member}"
        folder = job.output.path / f"training-{member}"
        if not (job.output.path / name).is_dir():
            folder.mkdir(exist_ok=True)
            job.engines.close()  # training needs the device
            config = configured(_alone(job.config), member)
            done = train(
                config, Material(examples, watched[:VALIDATION]), folder, job.output.root, job.progress, job.tracker.log
            )
            os.replace(folder / FOLDER, job.output.path / name)
            job.progress.say(f"{job.label}: {job.output.path / name}, {done['steps']} steps")
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        models.append(name)
        last = metrics.read(folder)[-1]
    return {
        "rows": len(examples),
        "models": models,
        "left_out": dict(counts),
        "steps": int(last["step"]) + 1,
        "last": {name: round(value, 5) for name, value in last.items()},
    }


def _alone(config: Config) -> Config:
    """With the trained part as the reward: the trainer reads no other."""
    return replace(config, reward=to_train(config.reward)[0])


def _examples(job: Job, rows: list[Preference]) -> tuple[Examples, Examples, Counter[str]]:
    """(what is trained on, each as often as its weight says; what is watched; what is left out of the former), kept as ids."""
    from croco.training.encoding import Encodings
    from croco.training.preferences import of_preferences

    part, training = to_train(job.config.reward)
    base = Checkpoint(str(part.base), part.revision, chat_template=training.chat_template)
    tokenizer = text.load_tokenizer(base.path, base.revision, base.chat_template, part.trust_remote_code)
    depends = {**tokenizer_slice(base), "max_length": part.max_length, "rows": "preferences"}
    source = of_preferences(tokenizer, rows, part.max_length)
    encodings = Encodings(job.output.root, depends, dict(job.output.upstream))
    found, _ = encodings.of(source, job.progress, job.label)

    def of(wanted: np.ndarray, repeated: bool) -> tuple[Examples, Counter[str]]:
        kept = [rows[place] for place in found.kept(wanted)]
        examples, counts = found.examples(wanted)
        examples.margins = np.array([p.margin or 0.0 for p in kept], np.float64)
        examples.tied = np.array([p.tied for p in kept], bool)
        copies = [_copies(p, training.seed) if repeated else 1 for p in kept]
        return examples[np.repeat(np.arange(len(kept)), copies)], counts

    def places(split: str, languages: Sequence[str] | None) -> np.ndarray:
        asked = (p.split == split and (languages is None or p.language in languages) for p in rows)
        return np.flatnonzero(np.fromiter(asked, bool, len(rows)))

    (examples, counts), (watched, _) = of(places("train", None), True), of(places("heldout", training.languages), False)
    return examples, watched, counts


def _copies(p: Preference, seed: int) -> int:
    """How often an epoch sees it: the weight's whole part, and once more with the probability of its rest."""
    whole = int(p.weight)
    return whole + (draw(seed, "weight", p.source, p.pair_id) < p.weight - whole)


STAGE = Stage(
    name="reward_model",
    needs=("preferences",),
    config=slice_of,
    run=run,
    version=1,
    wanted=lambda config: trained_part(config.reward) is not None,
)
