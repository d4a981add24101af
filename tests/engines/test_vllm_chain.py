"""`model=eurollm lang=multi` from the first prompt to the last table on vLLM's CPU build (`make test-vllm`): tiny random
checkpoints of the architectures that the paper has, under their marks of turns; sizes and places are named, all else is the
preset's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.builders import build_policy, build_reward, real

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).parents[2]
SHAPE = {
    "hidden_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,  # one that vLLM's CPU attention has
    "vocab_size": 336,
    "max_position_embeddings": 512,
}
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
COHERE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|START_OF_TURN_TOKEN|>' + ('<|CHATBOT_TOKEN|>' if message['role'] == "
    "'assistant' else '<|USER_TOKEN|>') + message['content'] + '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}"
)
MARKS = {
    CHATML: ("<|im_start|>", "<|im_end|>"),
    COHERE: ("<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
}
LANGUAGES = ("en", "da", "nl", "de", "fr", "it", "es")
SIZES = (
    "prompts.train=3 prompts.heldout=1 sampling.samples=3 sampling.max_new_tokens=8 method.batch_size=4 "
    "trainer.watch_tokens=8 evals.checks.prompts=2 evals.checks.max_new_tokens=8 evals.checks.resamples=100 reward.max_length=512"
)


def dressed(folder: Path, template: str) -> Path:
    """With a family's marks of turns, the last of which ends one."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKS[template])})
    tokenizer.eos_token = MARKS[template][-1]
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("family", "template"), [("llama", CHATML), ("cohere2", COHERE)])
def test_the_paper_s_command_runs_to_its_end(family: str, template: str, tmp_path: Path) -> None:
    # vLLM counts a window as one token more than transformers does
    shape = {**SHAPE, "sliding_window": 4096} if family == "cohere2" else SHAPE
    build_policy(tmp_path / "a", family, template=template, **shape)
    build_reward(tmp_path / "b", family="qwen3", template=CHATML, **SHAPE)
    policy = real(dressed(tmp_path / "a", template), tmp_path / "policy")
    reward = real(dressed(tmp_path / "b", CHATML), tmp_path / "reward")
    prompts = tmp_path / "prompts.jsonl"
    with prompts.open("w") as file:
        for number in range(20):
            for language in LANGUAGES:
                row = {"prompt_id": f"p{number}", "language": language, "prompt": f"{number} {language}: the fox?"}
                file.write(json.dumps(row) + "\n")
    words = [
        *("model=eurollm", "lang=multi", "engine=vllm_cpu", "trainer.accelerator=cpu", "logger=none", *SIZES.split()),
        *("prompts.source=jsonl", f"prompts.path={prompts}", "prompts.check_language=false", "translation=none"),
        *(f"model.path={policy}", f"reward.path={reward}", f"paths.artifacts={tmp_path / 'runs'}"),
        "engine.options.kv_cache_memory_bytes=67108864",
    ]
    done = subprocess.run([sys.executable, "-m", "croco.run", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    engines = [json.loads(file.read_text())["engine"] for file in (tmp_path / "runs").glob("generations/*/engine.json")]
    assert (
        len(engines) == 21
    )  # in each language the candidates, and to the checks the base's answers and the tuned policy's
    assert set(engines) == {"vllm"}
    for stage in ("pairs", "training", "checks", "report"):
        assert f"{stage}: made" in done.stdout
