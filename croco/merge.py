"""`python -m croco.merge TRAINING OUT`: the adapter of a finished run folded into its base, as a checkpoint of its own.

For tools that take no adapters. The folder holds weights (safetensors), config, generation config, tokenizer and chat template,
and loads in transformers and vLLM without this package.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from croco.errors import UserError


def merge(adapter: Path, out: Path, dtype: str = "auto") -> None:
    """Write base + adapter to `out`, which appears only when it is whole.

    Args:
        adapter: a PEFT folder, or a training artifact that holds one as `adapter/`.
        dtype: of the merged weights; `auto` is the base's own.

    Raises:
        UserError: no adapter there, its base cannot be loaded, or `out` exists.
    """
    from peft import PeftConfig, PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from croco.engines.checkpoints import quieten

    folder = adapter / "adapter" if (adapter / "adapter").is_dir() else adapter
    if not (folder / "adapter_config.json").is_file():
        raise UserError(f"{adapter}: no adapter there (it holds no adapter_config.json)")
    if out.exists():
        raise UserError(f"{out}: exists already; name another folder, or remove it")
    quieten()
    settings = PeftConfig.from_pretrained(str(folder))
    base = str(settings.base_model_name_or_path)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            base, revision=settings.revision, dtype=dtype, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{base}: cannot load the adapter's base ({str(error).strip().splitlines()[0]})") from None
    merged = PeftModel.from_pretrained(model, folder).merge_and_unload(safe_merge=True)
    # The run's tokenizer lies beside the adapter: with the chat template that the answers were trained with.
    tokenizer = AutoTokenizer.from_pretrained(folder if (folder / "tokenizer_config.json").is_file() else base)
    temporary = out.with_name(f"{out.name}.{os.getpid()}.tmp")
    try:
        merged.save_pretrained(temporary, safe_serialization=True)
        tokenizer.save_pretrained(temporary)
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m croco.merge", description=__doc__)
    parser.add_argument("adapter", type=Path, help="runs/training/ADDRESS, or any PEFT folder")
    parser.add_argument("out", type=Path, help="the folder to write; must not exist")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"))
    arguments = parser.parse_args()
    try:
        merge(arguments.adapter, arguments.out, arguments.dtype)
    except UserError as error:
        print(f"croco: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"merged checkpoint: {arguments.out}")


if __name__ == "__main__":
    main()
