"""A reward model, or several of seeds of their own, trained on the preferences; each an ordinary checkpoint.

What lies in the artifact: `model` (or `model-0`, `model-1`, ...), a sequence classifier that transformers, vLLM and TRL load; for
LoRA the same as adapter and head; and how the training went.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from croco.artifacts import records
from croco.config import Config
from croco.config.scorers import to_train, trained_part
from croco.errors import UserError
from croco.language import text
from croco.models.checkpoints import Checkpoint, identity
from croco.models.slices import lora_slice, template_slice
from croco.pairing.choose import draw
from croco.prompts.preferences import Preference
from croco.stages.base import Job, Stage

if TYPE_CHECKING:
    from croco.training.data import Example

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
    rows = job.single("preferences").rows("preferences", Preference)
    counts: Counter[str] = Counter()
    examples, watched = (_examples(job, rows, split, counts) for split in ("train", "heldout"))
    if not examples:
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


def _examples(job: Job, rows: list[Preference], split: str, counts: Counter[str]) -> list[Example]:
    """As token ids, each as often as its weight says."""
    from croco.training.preferences import encode_preference, fits

    part, training = to_train(job.config.reward)
    tokenizer = text.load_tokenizer(str(part.base), part.revision, training.chat_template, part.trust_remote_code)
    found = []
    chosen_rows = [p for p in rows if p.split == split and (split == "train" or p.language in training.languages)]
    for p in chosen_rows:
        example = encode_preference(tokenizer, p.messages, p.chosen, p.rejected)
        if fits(example, part.max_length, counts if split == "train" else Counter()):
            example = replace(example, margin=p.margin or 0.0, tied=p.tied)
            found.extend([example] * (_copies(p, training.seed) if split == "train" else 1))
    return found


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
