"""Settings that destroy a policy are caught while it trains, and the run says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from croco.errors import UserError
from croco.training import metrics
from croco.training.data import Example
from tests.training.test_training import config_of, examples, fit  # noqa: F401 - a fixture


@pytest.mark.parametrize(
    "settings",
    [("method=dpo", "method.learning_rate=1.0"), ("method=simpo", "method.learning_rate=0.1", "method.epochs=60")],
)
def test_a_collapsed_run_ends_early(
    settings: tuple[str, ...],
    policy: Path,
    examples: list[Example],  # noqa: F811
    tmp_path: Path,
) -> None:
    """A huge learning rate; and SimPO, which nothing holds to the reference, run too long."""
    config = config_of(policy, "method.epochs=20", *settings)
    with pytest.raises(UserError, match=r"collapsed at step \d+ .*method\.learning_rate"):
        fit(config, examples, tmp_path / "run")
    planned = len(examples) * config.method.epochs / config.method.batch_size
    assert len(metrics.read(tmp_path / "run")) < planned / 2
    assert not (tmp_path / "run" / "adapter").exists()


def test_the_switch_lets_it_go_on(policy: Path, examples: list[Example], tmp_path: Path) -> None:  # noqa: F811
    config = config_of(policy, "method.learning_rate=1.0", "method.epochs=4", "trainer.stop_collapsed=false")
    result, rows = fit(config, examples, tmp_path / "run")
    assert result["verdict"] == "collapsed"
    assert len(rows) == result["steps"] == 12
