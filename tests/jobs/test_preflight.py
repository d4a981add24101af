"""What later stages will ask for is said before the first one makes anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from croco.artifacts.store import Store
from croco.config import CONF, Config, strict
from croco.errors import UserError
from croco.jobs import asks, preflight
from croco.stages import stages
from croco.tiny import MODELS
from tests.jobs.test_chain import overrides_of, run
from tests.support.builders import real


def config_of(folder: Path, *more: str, policy: Path = MODELS / "policy", reward: Path = MODELS / "reward") -> Config:
    words = overrides_of(policy, reward, folder / "runs", "engine=hf", "evals=none", *more)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return strict(compose("config", overrides=words))


def ahead(config: Config) -> list[str]:
    preflight.preflight(config)
    return asks.ahead(config, Store(config.paths.artifacts))


def without_template(checkpoint: Path, folder: Path, template: str | None = None) -> Path:
    """The checkpoint with another chat template, or none."""
    real(checkpoint, folder)
    for file in folder.glob("chat_template*"):
        file.unlink()
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def own_prompts(folder: Path, **row: str) -> list[str]:
    lines = [json.dumps({"id": str(i), "prompt": f"spørgsmål {i}", **row}) for i in range(3)]
    (folder / "da.jsonl").write_text("\n".join(lines))
    return ["lang.languages=[da]", "prompts=jsonl", f"prompts.path={folder}/da.jsonl", "prompts.language=da"]


def test_every_stage_is_asked() -> None:
    assert set(asks.ASKED) == {stage.name for stage in stages()}


def test_a_run_that_can_be_made_has_no_warning(tmp_path: Path) -> None:
    assert ahead(config_of(tmp_path, "method=sft")) == []
    assert not (tmp_path / "runs").exists()


def test_own_answers_are_looked_for_in_files(tmp_path: Path) -> None:
    """Refused without, also in a mixture; with one that has an answer the run may begin (others are counted later)."""
    own = [f"{key}={real(MODELS / name, tmp_path / name)}" for key, name in (("model.path", "policy"),)]
    own += [f"reward.path={real(MODELS / 'reward', tmp_path / 'reward')}"]
    for asked, key in (("method=sft", "method.trains_on"), ("source.shares={reference: 1.0}", "source.shares")):
        with pytest.raises(
            UserError, match=rf"{key}: the data set's own answers are wanted, and no prompt in da has one"
        ):
            ahead(config_of(tmp_path, *own_prompts(tmp_path), *own, asked))
    ahead(config_of(tmp_path, *own_prompts(tmp_path, reference="svar"), *own, "method=sft"))


@pytest.mark.parametrize(
    ("template", "says"), [(None, "has no chat template"), ("{{ messages[0].content }}", "leaves out")]
)
def test_a_rewards_template_is_asked_before_answers_are_made(tmp_path: Path, template: str | None, says: str) -> None:
    policy = real(MODELS / "policy", tmp_path / "policy")
    reward = without_template(MODELS / "reward", tmp_path / "reward", template)
    words = own_prompts(tmp_path)
    with pytest.raises(UserError, match=says):
        ahead(config_of(tmp_path, *words, policy=policy, reward=reward))


def test_what_is_made_is_not_asked_again(
    policy: Path, reward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(policy, reward, tmp_path / "runs", "method=sft", "evals=none")

    def never(*_: object) -> None:
        raise AssertionError("a tokenizer is loaded")

    monkeypatch.setattr(asks, "tokenizer_of", never)
    config = config_of(tmp_path, "method=sft", "engine=fake", policy=policy, reward=reward)
    assert ahead(config) == []
    with pytest.raises(AssertionError):
        ahead(config_of(tmp_path, "method=sft", "engine=fake", "seed=7", policy=policy, reward=reward))


def test_a_silent_server_and_little_room_are_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """6 prompts x 2 languages x K answers of 0.4 x max_new_tokens at 19 bytes; the disk has 1 kB."""
    monkeypatch.setattr(asks.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1_000}))
    arena = [
        "evals=arena",
        "judge=endpoint",
        "judge.url=http://127.0.0.1:9/v1",
        "judge.path=m",
        "judge.api_key_env=null",
    ]
    words = [*arena, "sampling.samples=2", "sampling.max_new_tokens=100"]
    room, server = sorted(ahead(config_of(tmp_path, *words)), key=lambda said: said.split(":")[0], reverse=True)
    assert "24 answers may take 0.0 GB" in room
    assert server.startswith("judge.url: http://127.0.0.1:9/v1 takes no connection now")


def test_an_adapter_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.adapter: ./nowhere: no adapter_config\.json there"):
        ahead(config_of(tmp_path, "model.adapter=./nowhere"))
