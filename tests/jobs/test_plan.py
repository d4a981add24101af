"""What a run will hold and take, derived by hand; what cannot fit is refused in one line that names a key."""

from __future__ import annotations

import functools

import pytest
from hydra import compose, initialize_config_dir

from croco import doctor
from croco.config import CONF, Config
from croco.errors import UserError
from croco.jobs import capacity, plan, rates, work
from croco.jobs.rates import Rates
from tests.jobs import test_needs

config_of = functools.cache(test_needs.config_of)
PAPER = ("model=eurollm", "lang=multi")


def rows_of(hardware: str, config: Config) -> dict[str, plan.Row]:
    return {row.stage: row for row in plan.reckon(config, capacity.parse(hardware), Rates())}


def test_hours_of_the_papers_size() -> None:
    """20,000 x 64 answers of 400 tokens at 12,000 tokens/s a language; 600 tokens each read at 25,000. A pair is 200 + 2 x 400
    tokens in packed rows; 8,628 million parameters multiply each (42 layers of 192.9 million, and the head), forward and backward
    4 FLOP a parameter, the reference 2 more, at 422 TFLOP/s: 123 ms."""
    mono, multi = (config_of(*PAPER, f"pairing={scope}") for scope in ("mono", "multi"))
    assert work.gpu_hours("generations", mono) == pytest.approx(20_000 * 64 * 400 / 12_000 / 3600)
    assert work.gpu_hours("scores", mono) == pytest.approx(20_000 * 64 * 600 / 25_000 / 3600)
    pair = (4 + 2) * 8.628e9 * 1000 / 422e12
    assert work.gpu_hours("training", mono) == pytest.approx(7 * 20_000 * pair / 3600, rel=1e-3)
    assert work.gpu_hours("training", multi) == pytest.approx(20_000 * pair / 3600, rel=1e-3)
    assert work.gpu_hours("pairs", mono) == work.gpu_hours("report", mono) == 0


def test_what_is_measured_by_step_is_counted() -> None:
    """Quarters of a training: base, tuned and three steps between them. The three answer 200 held-out prompts with 400 tokens; of
    all five the run's reward and the second one read 600 tokens an answer, in each of two languages."""
    gold = (
        "evals=[checks,gold]",
        "evals.gold.reward.path=Skywork/Skywork-Reward-V2-Llama-3.1-8B",
        "evals.checkpoints=4",
    )
    config = config_of("model=eurollm", "lang=[da,de]", "prompts.heldout=200", "engine=hf", *gold)
    found = rows_of("80GB", config)
    steps = {name: found[f"{name} by step"] for name in ("answers", "checked", "proxy", "gold")}
    assert {name: row.languages for name, row in steps.items()} == {"answers": 6, "checked": 6, "proxy": 10, "gold": 10}
    assert steps["answers"].seconds == pytest.approx(6 * 200 * 400 / 12_000)
    assert steps["proxy"].seconds == pytest.approx(10 * 200 * 600 / 25_000)
    assert (steps["gold"].work.key, steps["proxy"].work.key) == ("evals.gold.reward.path", "reward.path")
    assert all(work.takes_device(name, config) for name in ("answers_309", "checked_7", "proxy_base", "gold_309"))
    alone = rows_of("80GB", config_of("model=eurollm", "lang=[da,de]", "evals=checks"))
    assert not [name for name in alone if "by step" in name]


def test_what_the_papers_size_holds_of_an_h100() -> None:
    """85.0 GB. Weights 2 x 9.15e9; the cache the rest of nine tenths; activations 45 GB in packs of 8,192 as measured, so nothing
    is computed again; 50.9 million parameters of the adapter at 16 bytes. 8.96 million answers of 2,580 bytes on disk."""
    found = rows_of("8x80GB", config_of(*PAPER, "pairing=multi"))
    written, trained = found["generations"], found["training"]
    assert written.holding is not None
    assert trained.holding is not None
    held = {name: size / 1e9 for name, size in written.holding.parts.items()}
    assert held == pytest.approx({"weights": 18.30, "beside": 2.0, "KV cache": 0.92 * 85.04 - 20.30}, abs=0.02)
    assert written.written == pytest.approx(8.96e6 * 2_580)
    held = {name: size / 1e9 for name, size in trained.holding.parts.items()}
    assert held["activations"] == pytest.approx(45.0, rel=0.02)
    assert held["adapter, optimiser"] == pytest.approx(50.92e6 * 16 / 1e9, rel=1e-3)
    assert not trained.holding.recomputes
    assert trained.holding.notes == ("training: packs of 8,192 tokens, activations kept",)
    assert (written.busy, trained.busy) == (8, 8), "all that are there, without being asked"


def test_all_gpus_are_at_work_where_the_run_shares() -> None:
    """The same GPU hours on eight times as many GPUs, but for the starts of eight engines."""
    one, eight = config_of(*PAPER, "engine.devices=1", "trainer.devices=1"), config_of(*PAPER)
    alone, shared = rows_of("8x80GB", one)["generations"], rows_of("8x80GB", eight)["generations"]
    assert (shared.busy, shared.seconds - alone.seconds) == (8, pytest.approx(7 * 90))
    assert shared.hours == pytest.approx(alone.hours / 8, rel=0.01)
    assert rows_of("8x80GB", eight)["training"].busy == 8
    assert any(
        "engine.devices=auto takes" in line for line in plan.notes([alone], one, capacity.parse("8x80GB"), Rates())
    )


def test_the_embedded_world_by_hand() -> None:
    """K answers to each prompt of at most as many tokens as are drawn; so small a model is taken to be ten times as fast as 9
    billion parameters, not 3,000 times."""
    config = config_of("lang.languages=[da]")
    found = rows_of("1x8GB", config)
    tokens = config.prompts.train * config.sampling.samples * config.sampling.max_new_tokens
    assert config.sampling.max_new_tokens < 400
    assert found["generations"].seconds == pytest.approx(tokens / 120_000)
    assert found["training"].holding is None, "trainer=cpu"


@pytest.mark.parametrize(
    ("kind", "left"), [("pairs", ["training"]), ("scores", ["training"]), ("answers", ["scores", "training"])]
)
def test_what_is_brought_is_not_made_again(kind: str, left: list[str]) -> None:
    config = config_of(f"data={kind}", "data.path=tests", "evals=none")
    assert list(rows_of("1x80GB", config)) == left
    assert any("ready-made" in line for line in plan.notes([], config, capacity.parse("80GB"), Rates()))


@pytest.mark.parametrize(
    ("hardware", "words", "said"),
    [
        ("1x24GB", ("model.size=22b", "lang=en"), "generations: .*46.8 GB of weights.*; choose a smaller model.size"),
        ("4x40GB", ("lang=multi",), r"translations: .*54.0 GB.*; \+engine.options.tensor_parallel_size=2"),
        (
            "4x48GB",
            ("model.size=22b", "lang=en", "+engine.options.tensor_parallel_size=2"),
            "training: .*; trainer=fsdp$",
        ),
        ("2x80GB", ("lang=en", "trainer.devices=8", "trainer.strategy=ddp"), "trainer.devices=2"),
        ("2x80GB", ("lang=en", "+engine.options.tensor_parallel_size=4"), "tensor_parallel_size: .*wants 4 GPUs"),
    ],
)
def test_what_cannot_fit_is_refused_with_the_key_that_helps(hardware: str, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        rows_of(hardware, config_of("model=eurollm", *words))


def test_packs_are_halved_and_then_computed_again() -> None:
    """8,192 tokens take 44.4 GB: of 48 GB of a card 51.0 - 21.1 are left, so 4,096 (22.2) are tried; of 24 GB 4.3, in which
    8,192 tokens computed again take 4.1."""
    config = config_of("model=eurollm", "lang=en")
    halved, again = (
        capacity.training(next(work.of("training", config, Rates())), config, capacity.parse(card), Rates())
        for card in ("48GB", "24GB")
    )
    assert (halved.recomputes, again.recomputes) == (False, True)
    assert halved.parts["activations"] / 1e9 == pytest.approx(22.2, abs=0.1)
    assert again.parts["activations"] / 1e9 == pytest.approx(4.1, abs=0.1)


def test_the_command_ends_with_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", overrides=["model=eurollm", "lang=en"])
    for hardware, words, said in (
        ("1x16GB", [], "choose a smaller model.size"),
        ("many", [], "hardware=many: is no number of GPUs"),
        ("80GB", ["rates.wirtes=1"], "rates.wirtes: no such rate"),
        ("80GB", ["rates.writes=0"], "must be a number above 0"),
    ):
        assert plan.run(composed, hardware, words) == 2
        shown = capsys.readouterr()
        assert (shown.out, shown.err.count("\n")) == ("", 1)
        assert said in shown.err
    assert plan.run(composed, "80GB", ["rates.writes=24000"]) == 0
    assert "given" in capsys.readouterr().out
    assert doctor.command(["hardware=80GB", "hardware=24GB"]) == 2


def test_every_rate_says_where_it_is_from() -> None:
    assert all(said.startswith(("measured on", "assumed")) for *_, said in rates.rows(Rates()))
