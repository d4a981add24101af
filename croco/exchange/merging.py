"""The adapter of a finished run folded into its base, as a checkpoint of its own.

For tools that take no adapters. The folder holds weights (safetensors), config, generation config, tokenizer and chat template,
and loads in transformers and vLLM without this package.
"""

from __future__ import annotations

import json
from pathlib import Path

from croco.errors import UserError
from croco.models import merged
from croco.models.checkpoints import Checkpoint


def merge(adapter: Path, out: Path, dtype: str) -> None:
    """Write base + adapter to `out`, which appears only when it is whole.

    Args:
        adapter: a PEFT folder, or a training artifact that holds one as `adapter/`.
        dtype: of the merged weights.

    Raises:
        UserError: no adapter there, its base cannot be loaded, or `out` exists.
    """
    folder = adapter / "adapter" if (adapter / "adapter").is_dir() else adapter
    if not (folder / "adapter_config.json").is_file():
        raise UserError(f"{adapter}: no adapter there (it holds no adapter_config.json)")
    if out.exists():
        raise UserError(f"{out}: exists already; name another folder, or remove it")
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    base = Checkpoint(str(settings["base_model_name_or_path"]), settings.get("revision"), dtype, adapter=folder)
    merged.write(base, out)
