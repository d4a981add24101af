"""Settings that destroy the embedded policy are caught while it trains, and the run says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from croco import tiny
from croco.errors import UserError
from croco.language import text
from croco.training import metrics
from croco.training.data import Example
from croco.training.encoding import encode
from croco.training.verdict import verdict
from tests.training.test_training import config_of, fit

POLICY = tiny.MODELS / "policy"


@pytest.fixture(scope="module")
def pairs() -> list[Example]:
    """Questions with the same words in order and backwards."""
    answers = [
        "The red house is big.",
        "My brother has two dogs.",
        "We drink coffee in the morning.",
        "She reads a long book.",
    ]
    rows = [
        ([{"role": "user", "content": f"Say it again, number {i}: {a}"}], (a, " ".join(reversed(a.split()))))
        for i, a in enumerate(answers * 4)
    ]
    return encode(text.load_tokenizer(str(POLICY)), rows, 200)[0]


@pytest.mark.parametrize(
    "settings",
    [
        ("method=dpo", "method.learning_rate=0.1"),
        pytest.param(("method=simpo", "method.learning_rate=0.02"), marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_a_collapsed_run_ends_early(settings: tuple[str, ...], pairs: list[Example], tmp_path: Path) -> None:
    """A huge learning rate; and SimPO, which nothing holds to the reference, run too long."""
    config = config_of(POLICY, "method.epochs=15", "method.warmup_ratio=0", *settings)
    with pytest.raises(UserError, match=r"collapsed at step \d+ .*method\.learning_rate"):
        fit(config, pairs, tmp_path / "run")
    assert len(metrics.read(tmp_path / "run")) < 45  # of 60 steps; which one it is hangs on last digits
    assert not (tmp_path / "run" / "adapter").exists()


@pytest.mark.slow
def test_the_switch_lets_it_go_on(pairs: list[Example], tmp_path: Path) -> None:
    """To the last step, although it was collapsed on the way, where the runs above were stopped."""
    settings = ("method=simpo", "method.learning_rate=0.02", "method.schedule=constant", "method.warmup_ratio=0")
    config = config_of(POLICY, *settings, "method.epochs=8", "trainer.stop_collapsed=false")
    result, rows = fit(config, pairs, tmp_path / "run")
    assert "collapsed" in {verdict(rows[:n]) for n in range(1, 33)}
    assert len(rows) == result["steps"] == 32
