"""Every shipped YAML composes, unknown keys fail, and bad values name their key."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict

from croco.config import CONF, Config, strict
from croco.errors import UserError

GROUPS = sorted(
    (path.parent.name, path.stem) for path in CONF.glob("*/*.yaml") if path.parent.name not in ("hydra", "language")
)
NEEDS = {
    ("prompts", "dolci"): ["evals=none"],
    ("prompts", "laerebogen"): ["lang=da", "evals=none"],
    ("prompts", "jsonl"): ["prompts.path=x", "evals=none"],
    ("prompts", "parquet"): ["prompts.path=x", "evals=none"],
    ("translation", "plain"): ["translation.model=x"],
    ("evals", "arena_hard"): ["judge=function", "judge.function=croco.errors:UserError"],
    ("evals", "arena_paper"): ["judge=function", "judge.function=croco.errors:UserError"],
    ("judge", "function"): ["judge.function=croco.errors:UserError"],
    ("judge", "model"): ["judge.path=x"],
    ("judge", "endpoint"): ["judge.path=x", "judge.url=http://localhost/v1"],
    ("reward", "function"): ["reward.function=croco.errors:UserError"],
    ("reward", "judge"): ["reward.path=x"],
}


@pytest.mark.parametrize(
    ("words", "languages"),
    [
        (["lang=[da,de]"], ["da", "de"]),
        (["lang=[de,multi]"], ["de", "en", "da", "nl", "fr", "it", "es"]),
        (["lang=[da]"], ["da"]),
        (["lang=[da,de]", "lang.languages=[sv]"], ["sv"]),
    ],
)
def test_a_list_of_sets_is_their_union(words: list[str], languages: list[str]) -> None:
    """Order kept, doubles removed; what is typed outright wins."""
    assert composed(*words).lang.languages == languages


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["method=[dpo,sft]"], "method: takes one choice, not the list"),
        (["experiments=listed"], "pairing: takes one choice, not the list"),
        (["lang=[da,own]"], "lang: one of the listed sets names `languages` outright"),
        (["lang=own"], "lang.languages: YAML reads an unquoted no as false"),
    ],
)
def test_a_list_of_one_choice_is_refused_wherever_it_stands(words: list[str], says: str, tmp_path: Path) -> None:
    """A job knows from Hydra what was chosen; `listed` is an experiment, `own` a set in a folder of one's own."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "listed.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /pairing: [mono, multi]\n  - override /lang: [da, de]\n"
    )
    (tmp_path / "lang").mkdir()
    (tmp_path / "lang" / "own.yaml").write_text("languages: [no, sv]\n")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        whole = compose("config", [*words, f"hydra.searchpath=[file://{CONF.parent},file://{tmp_path}]"], True)
    with open_dict(whole):
        settings = whole.pop("hydra")
    config = OmegaConf.create({"hydra": settings})
    HydraConfig.instance().set_config(config)
    try:
        with pytest.raises(UserError, match=re.escape(says)):
            strict(whole)
    finally:
        HydraConfig.instance().cfg = None


def composed(*overrides: str) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return strict(compose("config", overrides=list(overrides)))


@pytest.mark.parametrize(("group", "choice"), GROUPS)
def test_every_choice_of_every_group_composes(group: str, choice: str) -> None:
    assert isinstance(composed(f"{group}={choice}", *NEEDS.get((group, choice), [])), Config)


@pytest.mark.parametrize("path", sorted((CONF.parent / "experiments").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_composes(path: Path) -> None:
    assert isinstance(composed(f"experiments={path.stem}"), Config)


@pytest.mark.parametrize("model", sorted(path.stem for path in (CONF / "model").glob("*.yaml")))
def test_every_model_resolves(model: str) -> None:
    """As `--cfg job --resolve` shows it: nothing is left open."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        shown = OmegaConf.to_yaml(compose("config", overrides=[f"model={model}"]), resolve=True)
    assert "${" not in shown
    assert "???" not in shown


def test_the_papers_setting() -> None:
    """The paper's numbers (its README and scripts), reached by the command the README shows."""
    config = composed("model=eurollm", "lang=multi")
    assert config.lang.languages == ["en", "da", "nl", "de", "fr", "it", "es"]
    assert (config.sampling.samples, config.sampling.temperature, config.sampling.max_new_tokens) == (64, 1.0, 4096)
    assert (config.prompts.path, config.prompts.train) == ("allenai/Dolci-Instruct-SFT", 20000)
    assert config.reward.path == "Skywork/Skywork-Reward-V2-Qwen3-8B"
    assert (config.model.lora.r, config.model.lora.alpha, config.model.lora.dropout) == (16, 32, 0.05)
    method = config.method
    assert (method.learning_rate, method.batch_size, method.epochs, method.warmup_ratio) == (5e-6, 64, 1, 0.05)
    assert method.loss["beta"] == 0.1
    assert composed("model=aya", "method=sft").method.learning_rate == 2e-4


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("+typo=1", "typo"),
        ("+method.betta=1", "method.betta"),
        ("method.epochs=many", "method.epochs"),
        ("lang.languages=[en,xx]", "lang.languages"),
        ("lang.languages=[]", "lang.languages"),
        ("+method.loss.gamma=1", "method.loss.gamma"),
        ("sampling.temperature=0", "sampling.temperature"),
        ("pairing.scope=both", "pairing.scope"),
        ("evals.quality.samples=0", "evals.quality.samples"),
        ("evals.quality.confidence=95", "evals.quality.confidence"),
        ("prompts=dolci", "evals.quality.grader"),
    ],
)
def test_bad_values_name_their_key(override: str, key: str) -> None:
    with pytest.raises(UserError, match=re.escape(key)) as error:
        composed(override)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["evals.arena.orders=one"], "evals.arena.orders"),
        (["evals.arena.source=file"], "evals.arena.path"),
        (["evals.arena.source=hub", "evals.arena.path=a/b", "lang.languages=[en,no]"], "m-ArenaHard has no 'no'"),
        (["evals.arena.candidate.path=x"], "evals.arena.candidate.adapter"),
        (["evals.arena.candidate.adapter=null"], "is the same system"),
        (["evals.arena.candidate.answers=x"], "evals.arena.candidate.answers"),
        (["evals.arena.opponent.name=tuned"], "evals.arena.opponent.name"),
        (["evals.arena.temperature=-1"], "evals.arena.temperature"),
        (["evals.arena.confidence=95"], "evals.arena.confidence"),
        (["evals.arena.source=file", "evals.arena.path=x"], "judge.function: croco.tiny"),
        (["judge.kind=model"], "judge.path"),
        (["judge=endpoint", "judge.path=x", "judge.url=localhost:1"], "judge.url"),
        (["judge.parallel=0"], "judge.parallel"),
    ],
)
def test_a_bad_arena_names_its_key(overrides: list[str], key: str) -> None:
    with pytest.raises(UserError, match=re.escape(key)) as error:
        composed("evals=arena", *overrides)
    assert "\n" not in str(error.value)


def test_the_papers_arena() -> None:
    """The judge of the paper, one random order, on m-ArenaHard v2.1 (its scripts)."""
    config = composed("model=eurollm", "lang=low", "evals=arena_paper")
    arena, judge = config.evals.arena, config.judge
    assert arena is not None
    assert (arena.source, arena.path, arena.orders) == ("hub", "CohereLabs/m-ArenaHard-v2.1", "random")
    assert (judge.path, judge.temperature, judge.template_options) == (
        "Qwen/Qwen3.6-35B-A3B",
        0.7,
        {"enable_thinking": False},
    )
    assert composed("evals=arena").evals.arena.orders == "both"  # type: ignore[union-attr]


def test_no_key_of_a_yaml_is_unread() -> None:
    """Every key a group file sets exists in the typed configuration: composing it strictly would fail otherwise; here the
    other way round, every field of a group is set by some file, so that no default hides in code."""
    config = composed()
    for group in (
        "model",
        "reward",
        "prompts",
        "translation",
        "source",
        "sampling",
        "pairing",
        "method",
        "engine",
        "judge",
        "trainer",
        "workers",
        "logger",
    ):
        files = [yaml.safe_load(p.read_text()) for p in (CONF / group).rglob("*.yaml")]
        keys = set(itertools.chain.from_iterable((f.get(group) or f) for f in files if f))
        missing = set(vars(getattr(config, group))) - keys
        assert not missing, f"conf/{group}: no file sets {missing}"


def test_languages_have_every_field() -> None:
    fields = {
        "iso",
        "own_name",
        "english_name",
        "euroeval",
        "m_arenahard",
        "m_rewardbench",
        "translategemma",
        "identified_as",
    }
    files = list((CONF / "language").glob("*.yaml"))
    assert len(files) == 15
    for path in files:
        language = yaml.safe_load(path.read_text())
        assert set(language) == fields, path
        assert language["iso"] == path.stem


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["evals=checks", "evals.checks.prompts=0"], "evals.checks.prompts"),
        (["evals=checks", "evals.checks.samples=2"], "evals.checks.samples"),
        (["evals=checks", "evals.checks.path=nowhere.jsonl"], "evals.checks.path: nowhere.jsonl"),
        (["evals.checkpoints=1"], "evals.checkpoints: 1 is neither"),
        (["evals.checkpoints=true"], "evals.checkpoints: True is neither"),
        (["evals.checkpoints=[9,last]"], "evals.checkpoints: [9, 'last'] is neither"),
        (["evals.checkpoints=[-1]"], "evals.checkpoints: [-1] is neither"),
        (["evals=none", "evals.checkpoints=4"], "evals.checkpoints: only quality and checks"),
        (["method=online_dpo", "evals.checkpoints=4"], "evals.checkpoints: not with method.refresh_every"),
        (["evals=reward_ranking", "evals.reward_ranking.limit=0"], "evals.reward_ranking.limit"),
        (["evals=reward_ranking", "evals.reward_ranking.resamples=0"], "evals.reward_ranking.resamples"),
        (["evals=reward_ranking", "evals.reward_ranking.confidence=1"], "evals.reward_ranking.confidence"),
        (
            ["evals=reward_ranking", "evals.reward_ranking.path=./nowhere.jsonl"],
            "evals.reward_ranking.path: ./nowhere.jsonl",
        ),
        (["evals=euroeval", "evals.euroeval.iterations=1"], "evals.euroeval.iterations"),
        (["evals=euroeval", "lang.languages=[gl,cy]"], "no data set in any of gl, cy"),
        (["evals=euroeval", "evals.euroeval.datasets.de=[a,a]"], "evals.euroeval.datasets.de"),
    ],
)
def test_bad_evaluations_name_their_key(overrides: list[str], key: str) -> None:
    with pytest.raises(UserError, match=re.escape(key)):
        composed(*overrides)
