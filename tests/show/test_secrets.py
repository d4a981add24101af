"""Keys, tokens and passwords are refused as settings and masked in text."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from croco.cli import words
from croco.errors import UserError
from croco.jobs import outcomes
from croco.show import logs, secrets

ROOT = Path(__file__).parents[2]
RANDOM = "q7RkT2mVxZ9bLw3NfYc8HsJd5GpA"
HELD = [  # (the whole setting, the part that may stand nowhere)
    (f"judge.url=https://me:{RANDOM}@host/v1", RANDOM),
    (f"judge.url=https://host/v1?api_key={RANDOM}", RANDOM),
    (f"judge.api_key_env=sk-{RANDOM}", RANDOM),
    (f"judge.api_key_env={RANDOM}", RANDOM),
    (f"judge.path=hf_{RANDOM}", RANDOM),
    (f"+engine.environment.HF_TOKEN=hf_{RANDOM}", RANDOM),
    (f"logger.tags=[a,wandb_v1_{RANDOM}]", RANDOM),
    (f"hydra.job.env_set.OPENAI_API_KEY=sk-proj-{RANDOM}", RANDOM),
    (f"prompts.path=https://{'ghp_' + RANDOM}@raw.host/x.jsonl", RANDOM),
    (f"judge.url=https://host/v1#access_token={RANDOM}", RANDOM),
    (f"prompts.path=https://cdn.host/x.jsonl?X-Amz-Signature={RANDOM}", RANDOM),
    (f"judge.path=pplx-{RANDOM}", RANDOM),
    (f"judge.path='x-api-key: {RANDOM}'", RANDOM),
    ("judge.path='Basic dXNlcjpwYXNzd29yZA=='", "dXNlcjpwYXNzd29yZA"),
    ("judge.path=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
]
RIGHT = [
    "model.revision=5f0b02c75b57c5855da9ae460ce51323ea669d8a",
    "judge.url=http://localhost:8000/v1",
    "judge.api_key_env=OPENROUTER_API_KEY",
    "judge.api_key_env=null",
    "judge.api_key_env='A_KEY', B_KEY",
    "model.path=org/task-sk-learn",
    "prompts.path=git@host:a/b",
    "lang=da,de",
    "logger.tags=['Basic instructions', 'api_key: none']",
    "model.path=org/basic-token-model",
]


@pytest.mark.parametrize(("word", "secret"), HELD)
def test_a_secret_among_the_words_is_refused_and_not_repeated(word: str, secret: str) -> None:
    with pytest.raises(UserError, match="secrets are not settings") as error:
        words.check([word])
    assert secret not in str(error.value)
    assert str(error.value).startswith(word.split("=")[0])


@pytest.mark.parametrize("word", RIGHT)
def test_what_is_no_secret_passes(word: str) -> None:
    words.check([word])
    assert secrets.masked(word) == word


@pytest.mark.parametrize(("word", "secret"), HELD)
def test_text_is_masked(word: str, secret: str) -> None:
    if not word.startswith("judge.api_key_env=q"):  # no more than its place tells that this one is a key
        assert secret not in secrets.masked(f"failed: {word} (status 401)")


def test_a_value_of_the_environment_is_known_in_any_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_JUDGE_KEY", "plainwords")
    monkeypatch.setenv("WANDB_API_KEY_FILE", "/a/path/to/it")
    assert secrets.told("x=plainwords") == "the value of the environment variable MY_JUDGE_KEY"
    assert secrets.masked("at plainwords, /a/path/to/it") == f"at {secrets.MASK}, /a/path/to/it"


def test_what_a_library_says_is_masked_in_outcome_and_log(tmp_path: Path) -> None:
    def fails() -> None:
        raise ConnectionError(f'no route to https://me:{RANDOM}@host "quoted", \x1b[2Jcleared')

    try:
        fails()
    except ConnectionError as error:
        outcomes.begin(tmp_path, [], None).failed(error)
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", None, sys.exc_info())
    said = json.loads((tmp_path / outcomes.NAME).read_text())
    line = logs.Plain("%(message)s").format(record)
    for text in (said["failure"], said["trace"], line):
        assert f"https://{secrets.MASK}@host" in text
        assert RANDOM not in text
    assert "\x1b" not in line
    assert "\\x1b[2Jcleared" in line


@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["run", "sweep"])
@pytest.mark.slow
def test_a_secret_in_a_file_of_ones_own_is_kept_nowhere(tmp_path: Path, mode: list[str]) -> None:
    """Hydra would copy it to .hydra before the job begins."""
    (tmp_path / "conf" / "judge").mkdir(parents=True)
    (tmp_path / "conf" / "judge" / "mine.yaml").write_text(f"defaults: [tiny]\nurl: https://me:{RANDOM}@host/v1\n")
    command = [sys.executable, "-m", "croco.run", "--config-dir", str(tmp_path / "conf"), *mode]
    done = subprocess.run(
        [*command, "judge=mine", f"paths.artifacts={tmp_path / 'runs'}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("croco: judge.url: holds a URL with a password in it;")
    assert done.stderr.count("\n") == 1
    kept = [file for file in tmp_path.rglob("runs/**/*") if file.is_file() and RANDOM in file.read_text()]
    assert kept == []
