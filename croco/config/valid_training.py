"""What training is asked to do: hardware, rounds, a mixture of sources, and method=none."""

from __future__ import annotations

from pathlib import Path

from croco.config.groups import Config, SourceConfig
from croco.config.targets import one_of, require


def check_untrained(config: Config) -> None:
    """With method=none there is an adapter to measure, and nothing that training alone leaves."""
    require(
        config.model.adapter is not None or config.evals.tuned is not None,
        "method=none: nothing is trained; name what is measured with model.adapter=FOLDER",
    )
    folder = Path(str(config.model.adapter or config.evals.tuned))
    require((folder / "adapter_config.json").is_file(), f"model.adapter: {folder}: no adapter_config.json there")
    require(config.evals.checkpoints is None, "evals.checkpoints: method=none has no steps; set it to null")
    require(
        config.evals.gold is None, "evals.gold: method=none trains nothing that could move away from it; leave it out"
    )
    require(config.evals.distance is None, "evals.distance: method=none has no training data; leave it out")


def check_training(config: Config) -> None:
    """Checks of hardware and method; raises UserError with the key to change."""
    trainer, method = config.trainer, config.method
    one_of("trainer.strategy", trainer.strategy, ("auto", "ddp", "fsdp"))
    require(trainer.num_nodes >= 1, "trainer.num_nodes: must be at least 1")
    require(trainer.watch_every is None or trainer.watch_every >= 1, "trainer.watch_every: must be at least 1, or null")
    check_rounds(config)
    if method.trains_on == "nothing":
        check_untrained(config)
    require(0 <= method.validation < 1, "method.validation: must lie in [0, 1)")


def check_rounds(config: Config) -> None:
    """Checks of the dial from offline to online; raises UserError with the key to change."""
    method = config.method
    one_of("method.reference", method.reference, ("initial", "previous"))
    one_of("method.round_data", method.round_data, ("new", "accumulated"))
    if method.refresh_every is None:
        return
    require(method.refresh_every >= 1, "method.refresh_every: must be at least 1, or null for offline")
    require(
        config.source.kind == "on_policy" and config.source.shares is None,
        "method.refresh_every: fresh answers are the policy's own; choose source=on_policy, or refresh_every=null",
    )
    require(
        method.trains_on != "reference", "method.refresh_every: method.trains_on=reference reads no answers to refresh"
    )
    require(config.trainer.strategy != "fsdp", "method.refresh_every: rounds do not run with trainer.strategy=fsdp")


def check_shares(source: SourceConfig) -> None:
    """Checks of a mixture; raises UserError with the key to change."""
    if source.shares is None:
        return
    require(source.kind == "on_policy", "source.shares: a mixture needs source.kind=on_policy")
    for name, share in source.shares.items():
        one_of("source.shares", name, ("on_policy", "off_policy", "reference"))
        require(share > 0, f"source.shares.{name}: {share} must be positive (leave out a source that gives nothing)")
    total = sum(source.shares.values())
    require(abs(total - 1) < 1e-6, f"source.shares: they sum to {total:g}, not to 1")
    require(
        "off_policy" not in source.shares or source.model is not None,
        "source.model: a mixture with off_policy needs the checkpoint that answers",
    )
