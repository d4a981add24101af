"""Real preferences on a real pretrained model, where both are at hand: the whole path, English in, three languages measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.jobs.test_chain import run
from tests.stages.test_reward_model import summary

REAL = Path(__file__).parents[3] / "shared" / "real"
TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (REAL / "preferences").is_dir(), reason="real inputs are not at hand"),
]


def test_a_head_on_a_real_models_features(policy: Path, reward: Path, tmp_path: Path) -> None:
    """Ids, sources and languages as the files say them: English is trained on, Spanish and French only measure."""
    data = tmp_path / "preferences"
    data.mkdir()
    for name in ("llmbar_en", "mifeval_verified_pairs_en", "mifeval_verified_pairs_es", "mifeval_verified_pairs_fr"):
        lines = (REAL / "preferences" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        short = [line for line in lines if len(line) < 900][:60]
        (data / f"{name}.jsonl").write_text("\n".join(short) + "\n", encoding="utf-8")
    template = tmp_path / "chat.jinja"
    template.write_text(TEMPLATE, encoding="utf-8")
    base = tmp_path / "stories"
    shutil.copytree(REAL / "models" / "stories260K-llama", base)
    said = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (base / "config.json").write_text(
        json.dumps(said | {"embedded_world": True})
    )  # the run around it is the embedded one
    out = run(
        policy,
        reward,
        tmp_path / "runs",
        "reward=trained",
        f"reward.base={base}",
        f"reward.preferences={data}",
        f"reward.training.chat_template={template}",
        "reward.training.tune=head",
        "reward.training.epochs=3",
        "reward.training.heldout=0.3",
        "reward.training.batch_size=16",
        "reward.max_length=512",
        "engine=hf",
        "lang.languages=[en,es,fr]",
        "sampling.samples=4",
        "sampling.max_new_tokens=8",
        "method.epochs=0.2",
        "evals=none",
    )
    assert "reward_model: made" in out
    ranked = summary(tmp_path / "runs", "reward_ranking")
    (by_length,) = [table for table in ranked["tables"] if "by length" in table["title"]]
    assert [row[0] for row in by_length["rows"]] == ["en", "es", "fr"]
    made = summary(tmp_path / "runs", "preferences")
    assert set(made["heldout"]) == {"en", "es", "fr"}
    print(json.dumps(by_length["rows"]))
