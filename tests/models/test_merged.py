"""The folder other tools load computes what the adapter on its base computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from croco.models import merged
from croco.models.checkpoints import Checkpoint, load


def test_merged_is_base_with_adapter(policy: Path, tmp_path: Path) -> None:
    """Against peft's own forward; the folder has the chat template that was given and the generation config."""
    from peft import LoraConfig, get_peft_model

    base, _ = load(AutoModelForCausalLM, Checkpoint(str(policy)))
    torch.manual_seed(0)
    tuned = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "adapter")
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages[0]['content'] }}!")
    folder = tmp_path / "model"
    (tmp_path / "model.tmp").mkdir()  # what a killed attempt leaves
    merged.write(Checkpoint(str(policy), chat_template=str(template), adapter=tmp_path / "adapter"), folder)
    ids = torch.arange(5, 15)[None]
    with torch.inference_mode():
        expected = tuned(ids).logits
        found = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert AutoTokenizer.from_pretrained(folder).chat_template == template.read_text()
    assert (folder / "generation_config.json").is_file()


def test_nothing_of_it_is_put_on_the_card(policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Base, adapter and what is loaded back: each is asked for on the CPU, whatever card there is."""
    import peft

    base, _ = load(AutoModelForCausalLM, Checkpoint(str(policy)))
    peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    places = list[object]()
    monkeypatch.setattr(merged, "load", lambda *given, **named: places.append(named["place"]) or load(*given, **named))
    real = peft.PeftModel.from_pretrained

    def loaded(*given: object, **named: object) -> object:
        places.append(named["torch_device"])
        return real(*given, **named)

    monkeypatch.setattr(peft.PeftModel, "from_pretrained", loaded)
    merged.write(Checkpoint(str(policy), adapter=tmp_path / "adapter"), tmp_path / "model")
    assert places == ["cpu"] * 3
