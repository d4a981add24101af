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

from croco.config import CONF, Config, strict, worlds
from croco.errors import UserError

GROUPS: dict[str, list[str]] = {}
for path in sorted(CONF.glob("*/*.yaml")):
    if path.parent.name not in ("hydra", "language", "model"):  # models: test_every_model_resolves
        GROUPS.setdefault(path.parent.name, []).append(path.stem)
ALONGSIDE = ("pairing", "engine", "logger", "push", "workers")
"""Whose choices change nothing of what others may be: one of each stands in a composition with one of the others."""
LISTED = ("lang", "evals")
"""Whose choices are composed together, as a list."""


def choices() -> list[tuple[str, ...]]:
    """Compositions in which every choice of every group stands once, but for those of `NEEDS`."""
    together = itertools.zip_longest(*([f"{group}={name}" for name in GROUPS[group]] for group in ALONGSIDE))
    alone = [
        (f"{group}={name}", *NEEDS.get((group, name), []))
        for group, names in GROUPS.items()
        for name in names
        if group not in ALONGSIDE and (group not in LISTED or (group, name) in NEEDS)
    ]
    lists = [
        (f"{group}=[{','.join(name for name in GROUPS[group] if (group, name) not in NEEDS)}]",) for group in LISTED
    ]
    return [*(tuple(word for word in words if word is not None) for words in together), *lists, *alone]


GOLD = ["evals=gold", "reward@evals.gold.reward=tiny"]
REAL = ["model=custom", "model.path=x"]
"""What is not of the embedded world goes with a model that is not."""
NEEDS = {
    ("model", "custom"): ["model.path=x"],
    ("prompts", "dolci"): REAL,
    ("prompts", "laerebogen"): ["lang=da", *REAL],
    ("prompts", "hub"): ["prompts.path=org/x", *REAL],
    ("prompts", "jsonl"): ["prompts.path=x", *REAL],
    ("prompts", "parquet"): ["prompts.path=x", *REAL],
    ("translation", "plain"): ["translation.model=x", *REAL],
    ("translation", "translategemma"): REAL,
    ("translation", "translategemma_google"): REAL,
    **{("data", kind): [f"data.path={CONF}", "evals=none"] for kind in ("pairs", "answers", "scores")},
    ("evals", "gold"): ["reward@evals.gold.reward=rules"],
    ("evals", "arena_hard"): REAL,
    ("evals", "arena_paper"): REAL,
    ("prompts", "checks"): ["evals=checks", *REAL],
    ("judge", "function"): ["judge.function=croco.errors:UserError"],
    ("judge", "model"): ["judge.path=x"],
    ("judge", "endpoint"): ["judge.path=x", "judge.url=http://localhost/v1"],
    ("reward", "function"): ["reward.function=croco.errors:UserError"],
    ("reward", "judge"): ["reward.path=x", *REAL],
    ("reward", "custom"): ["reward.path=x", *REAL],
    ("reward", "skywork"): REAL,
    **{("reward", path.stem): REAL for path in (CONF / "reward").glob("skywork_*.yaml")},
    ("reward", "mapo"): REAL,
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
        (["model.path=x"], "model.path: model=tiny has the settings of the embedded one, which x is not; model=custom"),
        (["reward.path=x"], "reward=custom reward.path=x"),
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


@pytest.mark.parametrize("words", choices(), ids=lambda words: words[0])
def test_every_choice_of_every_group_composes(words: tuple[str, ...]) -> None:
    if words[0] == "method=none":
        with pytest.raises(UserError, match=r"name what is measured with model\.adapter=FOLDER"):
            composed("method=none")
        return
    assert isinstance(composed(*words), Config)


@pytest.mark.parametrize("path", sorted((CONF.parent / "experiments").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_composes(path: Path) -> None:
    assert isinstance(composed(f"experiments={path.stem}"), Config)


@pytest.mark.parametrize("model", sorted(path.stem for path in (CONF / "model").glob("*.yaml")))
def test_every_model_resolves(model: str) -> None:
    """As `--cfg job --resolve` shows it: nothing is left open."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        words = [f"model={model}", *NEEDS.get(("model", model), [])]
        whole = compose("config", overrides=words)
    assert isinstance(strict(whole), Config)
    OmegaConf.resolve(whole)  # in place, as Hydra does
    shown = OmegaConf.to_yaml(whole)
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
        ("reward=skywork", "reward.path"),
        ("model=custom", "model.path"),
        ("+engine.options.trust_remote_code=true", "engine.options.trust_remote_code"),
        ("+engine.options.load_format=pt", "engine.options.load_format"),
        ("evals.quality.seconds=0", "evals.quality.seconds"),
        ("pairing.filters.disagreement=0.5", "pairing.filters.disagreement: one reward model does not disagree"),
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
        "also_called",
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
        (["evals=none", "evals.checkpoints=4"], "evals.checkpoints: only quality, checks and gold"),
        ([*GOLD, "reward@evals.gold.reward=icr"], "evals.gold.reward.kind: implicit belongs to the run's own reward"),
        ([*GOLD, "evals.gold.reward.least_accuracy=0.5"], "evals.gold.reward.least_accuracy: is of the run's own"),
        ([*GOLD, "evals.gold.resamples=0"], "evals.gold.resamples"),
        ([*GOLD, "evals.gold.confidence=1"], "evals.gold.confidence"),
        ([*GOLD, "method=online_dpo"], "evals.gold: not with method.refresh_every"),
        (["evals=gold"], "evals.gold.reward.path: this choice leaves it to you"),
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


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["model.path=x"], "prompts: tiny is of the embedded world and x is not; choose prompts=dolci"),
        (["model=eurollm", "reward=tiny"], "reward.path"),
        (["model=eurollm", "prompts=tiny"], "prompts: tiny is of the embedded world"),
        (["model=eurollm", "judge=tiny", "evals=arena"], "judge.function"),
        (["model=eurollm", "evals=quality"], "evals.quality.grader"),
        (["model=eurollm", "source=off_policy", "source.model=${tiny_model:other_policy}"], "source.model"),
        (
            ["model=eurollm", "reward=icr", "preset.reward.path=${tiny_model:reward}"],
            "reward.options.trained_with.path",
        ),
        (["model=gemma3", "source=off_policy"], "source.model: off-policy data needs the checkpoint"),
        (["evals=arena", "evals.arena.opponent.path=x"], "evals.arena.opponent.path: x is not of the embedded world"),
        (["prompts=jsonl", "prompts.path=x", "evals=none"], "model=custom model.path=CHECKPOINT"),
        (["model=custom"], "model.path: this choice leaves it to you"),
    ],
)
def test_a_run_is_of_the_embedded_world_altogether_or_not_at_all(words: list[str], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)) as error:
        composed(*words)
    assert "\n" not in str(error.value)


BRING_PARTS = ("reward", "prompts", "source", "translation", "judge", "evals", "sampling", "engine")
"""Groups whose choices name checkpoints, functions or data."""


@pytest.mark.parametrize(
    ("model", "group", "choice"),
    [
        pytest.param(model, group, choice, marks=() if quick else pytest.mark.slow)
        for model in ("eurollm", "custom", "tiny", "aya", "gemma3", "smollm2")
        for group, names in GROUPS.items()
        for choice in names
        for quick in [(model == "custom" and group in BRING_PARTS[:3]) or (model, choice) == ("smollm2", "faithful")]
    ],
)
def test_every_choice_under_every_model_is_of_one_world(model: str, group: str, choice: str) -> None:
    """Composed with what it needs, a choice is of the model's world, or refused by the one rule or by what it lacks."""
    needs = [word for word in NEEDS.get((group, choice), []) if word not in REAL]
    said = ""
    try:
        config = composed(f"model={model}", *NEEDS.get(("model", model), []), f"{group}={choice}", *needs)
    except UserError as error:
        said = str(error)
    else:
        told = {part.embedded for part in worlds.parts(config)} - {None}  # smollm2 may not have been fetched
        assert told <= {model == "tiny"}
    allowed = (
        *("the embedded world", "off_policy needs", "off-policy data needs", "grades prompts=tiny"),
        *("no prompts of our own in", "reward.base: name the checkpoint", "name what is measured with model.adapter"),
    )
    assert not said or any(words in said for words in allowed), said


def test_a_model_of_ones_own_brings_its_own_settings(tmp_path: Path) -> None:
    """Context 300 of the checkpoint, below the paper's 4,096; the paper's rates; nothing of the embedded world's."""
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 300}')
    config = composed("model=custom", f"model.path={tmp_path}")
    assert (config.model.max_length, config.model.learning_rate.preference) == (300, 5e-6)
    assert (config.sampling.samples, config.method.batch_size) == (32, 64)
    assert composed("model=custom", "model.path=/nowhere").model.max_length == 4096
    nested = '{"text_config": {"max_position_embeddings": 8192}}'
    (tmp_path / "config.json").write_text(nested)
    assert composed("model=custom", f"model.path={tmp_path}").model.max_length == 4096


@pytest.mark.parametrize("choice", ["smoke", "overfit"])
def test_what_is_typed_wins_over_a_run_made_small(choice: str) -> None:
    assert composed(f"debug={choice}", "logger=wandb").logger.wandb
    assert not composed(f"debug={choice}").logger.wandb


def test_the_judge_belongs_to_the_model() -> None:
    assert composed("model=gemma3", "evals=arena_hard").judge.path == "Qwen/Qwen3.6-35B-A3B"


def test_a_variable_that_is_not_set_is_one_line_with_its_key() -> None:
    with pytest.raises(UserError, match=r"^prompts\.path: .*'NO_SUCH_VARIABLE' not found.*set the variable") as error:
        composed("prompts.path=${oc.env:NO_SUCH_VARIABLE}")
    assert "\n" not in str(error.value)


def test_infinity_is_spelt_as_the_files_spell_it() -> None:
    assert composed("pairing.rejected=-.inf").pairing.rejected == float("-inf")
