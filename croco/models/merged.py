"""A checkpoint that other tools can load by its folder: adapter merged, with tokenizer, chat template and generation config."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from croco.language import text
from croco.models.checkpoints import Checkpoint, load


def write(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the checkpoint, its adapter merged where it has one, to a folder that is there whole or not at all.

    The tokenizer is the adapter's where one lies beside it, with the chat template that the answers were trained with.

    Raises:
        UserError: the checkpoint cannot be loaded.
    """
    from transformers import AutoModelForCausalLM

    if folder.is_dir():
        return
    beside = checkpoint.adapter is not None and (checkpoint.adapter / "tokenizer_config.json").is_file()
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model, _ = load(AutoModelForCausalLM, replace(checkpoint, adapter=None), emulate=True)
    if checkpoint.adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(checkpoint.adapter)).merge_and_unload(safe_merge=True)
    model.save_pretrained(temporary, safe_serialization=True)
    path = str(checkpoint.adapter) if beside else checkpoint.path
    template = None if beside else checkpoint.chat_template
    tokenizer = text.load_tokenizer(path, checkpoint.revision, template, checkpoint.trust_remote_code)
    tokenizer.save_pretrained(temporary)
    temporary.rename(folder)
