"""`python -m croco.merge TRAINING OUT`: the adapter of a finished run folded into its base, as a checkpoint of its own.

For tools that take no adapters. The folder holds weights (safetensors), config, generation config, tokenizer and chat template,
and loads in transformers and vLLM without this package.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from croco.errors import UserError


def merge(adapter: Path, out: Path, dtype: str) -> None:
    """Write base + adapter to `out`, which appears only when it is whole.

    Args:
        adapter: a PEFT folder, or a training artifact that holds one as `adapter/`.
        dtype: of the merged weights.

    Raises:
        UserError: no adapter there, its base cannot be loaded, or `out` exists.
    """
    from croco.engines import merged
    from croco.engines.checkpoints import Checkpoint

    folder = adapter / "adapter" if (adapter / "adapter").is_dir() else adapter
    if not (folder / "adapter_config.json").is_file():
        raise UserError(f"{adapter}: no adapter there (it holds no adapter_config.json)")
    if out.exists():
        raise UserError(f"{out}: exists already; name another folder, or remove it")
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    base = Checkpoint(str(settings["base_model_name_or_path"]), settings.get("revision"), dtype, adapter=folder)
    merged.write(base, out)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m croco.merge", description=__doc__)
    parser.add_argument("adapter", type=Path, help="runs/training/ADDRESS, or any PEFT folder")
    parser.add_argument("out", type=Path, help="the folder to write; must not exist")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"), help="of the merged weights")
    arguments = parser.parse_args()
    try:
        merge(arguments.adapter, arguments.out, arguments.dtype)
    except UserError as error:
        print(f"croco: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"merged checkpoint: {arguments.out}")


if __name__ == "__main__":
    main()
