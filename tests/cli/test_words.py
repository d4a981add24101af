"""Groups, choices and keys are told from the files: for `--help`, for wrong words, for completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from croco.__main__ import main as croco_main
from croco.cli import completion, words
from croco.config import CONF
from croco.errors import UserError

ROOT = Path(__file__).parents[2]
WITH_COMMAND = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_every_key_of_the_composed_configuration_is_known() -> None:
    """Hydra's composition is the oracle: `check` lets every leaf through that it makes."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = OmegaConf.to_container(compose("config", overrides=["evals=[quality,checks,euroeval,arena]"]))

    def leaves(node: object, prefix: str) -> list[str]:
        if not isinstance(node, dict):
            return [prefix.rstrip(".")]
        return [leaf for key, value in node.items() for leaf in leaves(value, f"{prefix}{key}.")]

    every = leaves(composed, "")
    assert len(every) > 100
    words.check([f"{key}=x" for key in every if key not in words.groups()])


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("method=dop", r"method: no 'dop' \(did you mean 'dpo'\?\); there is .*\bsft\b"),
        ("lang=da,dd", "lang: no 'dd'.*multi"),
        ("experiments=[methods_tiny,metods_tiny]", "experiments: no 'metods_tiny'.*methods_tiny"),
        ("method=[dpo,sft]", r"method: takes one choice, not the list \[dpo,sft\]; -m method=dpo,sft runs each"),
        ("experiments=[methods_tiny,icr_tiny]", "experiments: takes one choice.*one after the other"),
        ("debug=smok", "did you mean 'smoke'.*limit, overfit, smoke"),
        ("reward@reward.options.parts.quality=skywerk", "reward: no 'skywerk'.*skywork"),
        ("methud=dpo", "methud: no such group or key.*'method'"),
        ("method.learnin_rate=1", "did you mean 'method.learning_rate'"),
        ("evals.qualty.samples=1", "did you mean 'evals.quality.samples'"),
    ],
)
def test_wrong_words_name_the_right_ones(argument: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        words.check([argument])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "lang=da,de,multi", "method=dpo,sft"],
        ["lang=[da, de]", "evals=[quality,checks]"],
        ["evals=[quality, checks]", "method.loss.beta=0.2", "model.lora.r=8"],
        ["experiments=glob(*_tiny)", "lang='da'", "prompts.path=${model.path}"],
        ["+typo=1", "~logger", "hydra.sweep.dir=x", "hydra/launcher=joblib", "evals.euroeval.datasets.da=[a]"],
    ],
)
def test_right_words_and_what_is_hydras_pass(arguments: list[str]) -> None:
    """And what stands behind them is still looked at."""
    words.check(arguments)
    with pytest.raises(UserError, match="methodd"):
        words.check([*arguments, "methodd=dpo"])


@pytest.mark.parametrize(
    ("word", "installed", "says"),
    [
        ("hydra/sweeper=search", False, "make setup EXTRAS=dev,optuna, or pip install 'croco[optuna]'"),
        ("hydra/launcher=joblib", False, "EXTRAS=dev,joblib"),
        ("hydra/launcher=slurm", False, "EXTRAS=dev,slurm"),
        ("hydra/launcher=slurm", True, "no sbatch on this machine"),
    ],
)
def test_what_an_extra_or_a_cluster_brings_is_said_before_anything(
    monkeypatch: pytest.MonkeyPatch, word: str, installed: bool, says: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match=re.escape(says)):
        words.check(["-m", word, "lang=da"])


def test_a_folder_of_ones_own_may_bring_any_choice() -> None:
    words.check(["--config-dir", "mine", "method=my_own"])
    with pytest.raises(UserError, match="my_own"):
        words.check(["method=my_own"])


def test_help_names_every_group_and_choice() -> None:
    text = words.help_text("run")
    for group, names in words.groups().items():
        assert f"  {group} " in text
        for name in names:
            assert name in text
    assert "Default: dpo." in text
    assert max(map(len, text.splitlines())) <= 130


def test_help_comes_at_once() -> None:
    """Processor time, so that other work on the machine does not count; torch alone takes longer to import."""
    before = os.times()
    done = subprocess.run([sys.executable, "-m", "croco.run", "--help"], cwd=ROOT, capture_output=True, text=True)
    after = os.times()
    assert done.returncode == 0
    assert "method=dpo" in done.stdout
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    assert seconds < 1.5


def test_no_heavy_library_is_loaded_before_the_job() -> None:
    program = "import sys, croco.cli.commandline, croco.cli.words, croco.cli.completion; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert "omegaconf" in loaded
    assert not {"torch", "transformers", "lightning", "peft", "wandb", "pyarrow", "numpy"} & set(loaded)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("met", ["method.", "method="]),
        ("method=d", ["method=dpo"]),
        ("lang=da,d", ["lang=da,da", "lang=da,de"]),
        ("method.le", ["method.learning_rate="]),
        ("model.lora.d", ["model.lora.dora=", "model.lora.dropout="]),
        ("seed=", []),
    ],
)
def test_candidates(word: str, expected: list[str]) -> None:
    assert completion.candidates(word) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("croco com", "compare completion"),
        ("croco run method=d", "method=dpo"),
        ("croco run lang=da method=dp", "method=dpo"),
        ("croco doctor debug=s", "debug=smoke"),
        ("croco status method=d", ""),
    ],
)
@pytest.mark.slow
def test_completion_in_bash(line: str, expected: str) -> None:
    """Hydra's script, in a shell, as if TAB had been pressed at the end of the line."""
    program = (
        'eval "$(croco completion bash)"; COMP_LINE="' + line + '"; COMP_POINT=${#COMP_LINE}; '
        f"COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); "
        'hydra_bash_completion; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", program], cwd=ROOT, capture_output=True, text=True, env=WITH_COMMAND)
    assert done.stderr == ""
    assert done.stdout.strip() == expected


def test_a_word_that_is_wrong_is_answered_without_a_traceback() -> None:
    done = subprocess.run([sys.executable, "-m", "croco.run", "method=dop"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("croco: method: no 'dop'")
    assert len(done.stderr.splitlines()) == 1


def test_functions_of_ones_own_are_found_beside_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed `croco` has the folder of its script in sys.path, not the one it is called in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["croco"])
    assert croco_main(["completion", "bash"]) == 0
    assert sys.path[-1] == str(tmp_path)
