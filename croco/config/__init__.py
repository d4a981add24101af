"""The typed configuration: dataclasses per Hydra group (`groups`), the checks a YAML cannot express (`valid*`), and the
functions it names (`targets`).

Hydra composes `conf/`; `strict` merges the result into the dataclasses, so that an unknown key (a typo, also behind `+`), a
wrong type or a missing choice fails before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException

from croco.config import resolvers
from croco.config.arena import ArenaConfig, JudgeConfig, SystemConfig
from croco.config.choices import check_choices
from croco.config.data import DataConfig
from croco.config.evaluations import ChecksConfig, EuroEvalConfig, EvalsConfig, QualityConfig
from croco.config.groups import (
    Config,
    LangConfig,
    LearningRateConfig,
    MethodConfig,
    ModelConfig,
    PromptsConfig,
    SamplingConfig,
    SourceConfig,
)
from croco.config.lora import LoraConfig
from croco.config.pairing import FiltersConfig, PairingConfig, PairLimitsConfig
from croco.config.paths import CONF
from croco.config.rewards import RewardConfig, RewardRankingConfig, RewardTrainingConfig
from croco.config.running import (
    EngineConfig,
    LoggerConfig,
    PathsConfig,
    PushConfig,
    RayConfig,
    TrainerConfig,
    WorkersConfig,
)
from croco.config.targets import bind_target, locate
from croco.config.translation import TranslationConfig
from croco.config.valid import check, check_pairing
from croco.errors import UserError
from croco.show import secrets

__all__ = [
    "CONF",
    "ArenaConfig",
    "ChecksConfig",
    "Config",
    "DataConfig",
    "EngineConfig",
    "EuroEvalConfig",
    "EvalsConfig",
    "FiltersConfig",
    "JudgeConfig",
    "LangConfig",
    "LearningRateConfig",
    "LoggerConfig",
    "LoraConfig",
    "MethodConfig",
    "ModelConfig",
    "PairLimitsConfig",
    "PairingConfig",
    "PathsConfig",
    "PromptsConfig",
    "PushConfig",
    "QualityConfig",
    "RayConfig",
    "RewardConfig",
    "RewardRankingConfig",
    "RewardTrainingConfig",
    "SamplingConfig",
    "SourceConfig",
    "SystemConfig",
    "TrainerConfig",
    "TranslationConfig",
    "WorkersConfig",
    "bind_target",
    "check",
    "check_pairing",
    "locate",
    "strict",
]


resolvers.register()


def strict(composed: DictConfig) -> Config:
    """The composed configuration as typed objects.

    Raises:
        UserError: unknown key, wrong type, missing value, or values that do not go together; the message names the key.
    """
    try:
        spelt = _infinite(composed)
        given = OmegaConf.merge(composed, spelt) if spelt else composed
        merged = OmegaConf.merge(OmegaConf.structured(Config), given)
        OmegaConf.resolve(merged)
        config = OmegaConf.to_object(merged)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or "configuration"
        raise UserError(f"{key}: this choice leaves it to you; give {key}=...") from None
    except InterpolationResolutionError as error:
        raise UserError(_unresolved(composed, error)) from None
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "configuration"
        reason = str(error).splitlines()[0]
        raise UserError(f"{key}: {reason}") from None
    assert isinstance(config, Config)
    for key, kind in secrets.found(OmegaConf.to_container(merged)):
        raise UserError(secrets.refusal(key, kind))
    _check_choices(config)
    check(config)
    return brought(config)


def brought(config: Config) -> Config:
    """Without what makes prompts and answers, where the data are ready-made: a preset's translator, say."""
    if config.data.made:
        return config
    return replace(config, translation=replace(config.translation, model=None))


def _unresolved(composed: DictConfig, error: InterpolationResolutionError) -> str:
    """Names the key: an error in a resolver, like a variable that the environment lacks, does not."""
    own = error.__cause__ or error.__context__
    if isinstance(own, UserError):  # a resolver's own word
        return str(own)
    reason = str(error).splitlines()[0]
    if (key := getattr(error, "full_key", None)) is None:
        key = next(_failing(composed, ""), "configuration")
    return f"{key}: {reason}; set the variable, or give {key}=..."


def _failing(node: DictConfig, prefix: str) -> Iterator[str]:
    for key in map(str, node):
        try:
            value = node[key]
        except InterpolationResolutionError:
            yield f"{prefix}{key}"
        except OmegaConfBaseException:
            continue
        else:
            if isinstance(value, DictConfig):
                yield from _failing(value, f"{prefix}{key}.")


def _infinite(composed: DictConfig) -> dict[str, dict[str, float]]:
    """`.inf` as YAML spells it and Hydra's command line does not know it."""
    given = {key: OmegaConf.select(composed, f"pairing.{key}") for key in ("chosen", "rejected")}
    spelt = {key: str(value) for key, value in given.items() if str(value).lstrip("+-") == ".inf"}
    return {"pairing": {key: float(value.replace(".", "")) for key, value in spelt.items()}} if spelt else {}


def _check_choices(config: Config) -> None:
    """Where Hydra runs a job, with what it knows of how the configuration came about."""
    from hydra.core.hydra_config import HydraConfig

    if HydraConfig.initialized():
        settings = HydraConfig.get()
        check_choices(settings.runtime.choices, settings.overrides.task, config)
