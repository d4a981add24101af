"""A checkpoint that other tools can load by its folder: adapter merged, with tokenizer, chat template and generation config.

What was written is loaded back, and must compute what base and adapter compute, before the folder gets its name. All of it on the
CPU: what loads the folder next (EuroEval, with a vLLM of its own) takes its share of a card that must be free.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from croco.errors import UserError
from croco.language import text
from croco.models import adapters
from croco.models.checkpoints import Checkpoint, load

AS_THEY_ARE = ("generation_config.json", "preprocessor_config.json", "processor_config.json")
"""Files of the base that no adapter changes. Transformers would not write a generation config that contradicts itself
(a temperature without sampling), as many checkpoints' do."""
PLACE = "cpu"
PROBES = (
    "The quick brown fox jumps over the lazy dog.",
    "Hvad hedder hovedstaden i Danmark?",
    "def add(a, b):\n    return a + b\n",
)
APART = {"float32": 1e-3}
"""Mean difference of logits in standard deviations of the logits from which two models are not the same ..."""
APART_HALF = 0.05
"""... in half precision, in which merging rounds every weight."""


def write(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the checkpoint, its adapter merged where it has one, to a folder that is there whole or not at all.

    The tokenizer is the adapter's where one lies beside it, with the chat template that the answers were trained with.

    Raises:
        UserError: the checkpoint cannot be loaded, or what was written computes something else.
    """
    from transformers import AutoModelForCausalLM

    if folder.is_dir():
        return
    beside = checkpoint.adapter is not None and (checkpoint.adapter / "tokenizer_config.json").is_file()
    path = str(checkpoint.adapter) if beside else checkpoint.path
    template = None if beside else checkpoint.chat_template
    tokenizer = text.load_tokenizer(path, checkpoint.revision, template, checkpoint.trust_remote_code)
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model, _ = load(AutoModelForCausalLM, replace(checkpoint, adapter=None), emulate=True, place=PLACE)
    expected, model = _merged(model, checkpoint.adapter, tokenizer)
    _save(model, checkpoint, temporary)
    tokenizer.save_pretrained(temporary)
    del model
    back = replace(checkpoint, path=str(temporary), adapter=None)
    written, _ = load(AutoModelForCausalLM, back, emulate=True, place=PLACE)
    apart = float((_logits(written, tokenizer) - expected).abs().mean() / expected.std())
    del written
    if not apart <= APART.get(checkpoint.dtype, APART_HALF):
        shutil.rmtree(temporary)
        raise UserError(
            f"{folder}: not written: loaded back, its logits differ from those of base and adapter by {apart:.2g} of their spread"
        )
    temporary.rename(folder)


def _merged(model: Any, adapter: Path | None, tokenizer: Any) -> tuple[Any, Any]:
    """Logits of the probes under base and adapter, and one model of both."""
    if adapter is None:
        return _logits(model, tokenizer), model
    from peft import PeftModel

    adapters.settings_of(adapter)
    tuned: Any = PeftModel.from_pretrained(model, str(adapter), torch_device=PLACE).eval()
    expected = _logits(tuned, tokenizer)
    _untie(model)
    model = tuned.merge_and_unload(safe_merge=True)
    first, last = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    if first is not last and not (first.shape == last.shape and bool((first == last).all())):
        for config in (model.config, model.config.get_text_config()):
            config.tie_word_embeddings = False
    return expected, model


def _untie(model: Any) -> None:
    """Where an adapter sits on one of two layers that share their weight, each gets its own: a merge would change both."""
    import torch

    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    plain = [layer.get_base_layer() if hasattr(layer, "get_base_layer") else layer for layer in layers]
    if plain[0].weight is plain[1].weight and any(a is not b for a, b in zip(layers, plain, strict=True)):
        plain[1].weight = torch.nn.Parameter(plain[1].weight.detach().clone(), requires_grad=False)


def _save(model: Any, checkpoint: Checkpoint, folder: Path) -> None:
    from transformers import GenerationConfig
    from transformers.utils import cached_file

    found = {
        name: cached_file(
            checkpoint.path, name, revision=checkpoint.revision, _raise_exceptions_for_missing_entries=False
        )
        for name in AS_THEY_ARE
    }
    if found[AS_THEY_ARE[0]] is not None:
        model.generation_config = GenerationConfig()
    model.save_pretrained(folder, safe_serialization=True)
    for name, file in found.items():
        if file is not None:
            shutil.copyfile(file, folder / name)


def _logits(model: Any, tokenizer: Any) -> Any:
    """Of every probe's tokens, one row each, float32 on the CPU."""
    import torch

    rows = []
    with torch.inference_mode():
        for probe in PROBES:
            ids = torch.tensor([tokenizer.encode(probe)], device=model.device)
            rows.append(model(input_ids=ids).logits[0].float().cpu())
    return torch.cat(rows)
