"""What scores an answer, how it is trained, and how it is measured itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from croco.config.lora import LoraConfig


@dataclass
class RewardRankingConfig:
    """Evaluation of the reward model itself, per language."""

    path: str | None
    """Preference data (prompt, chosen, rejected; M-RewardBench's schema): a JSONL or Parquet file, a folder of them, or a hub
    id; null: only the held-out prompts' own answers against corrupted ones."""
    hub_split: str
    revision: str | None
    limit: int | None
    """At most so many comparisons per language; null takes all."""
    pivot: str
    """The language whose rewards the others' are compared with, on parallel answers."""
    resamples: int
    """Bootstrap resamples of prompts."""
    confidence: float
    seed: int
    """Of the corruptions."""
    beside: str | None
    """Another sequence classifier with one label, a folder or hub id, measured on the same answers and compared."""


@dataclass
class RewardTrainingConfig:
    """How a reward model is trained on preferences."""

    tune: str
    """`lora`, `full` or `head` (the head alone, on features that are computed once)."""
    loss: dict[str, Any]
    """`_target_` of a function of croco.maths.losses of `chosen`, `rejected`, `margin` and `tied`, and its hyper-parameters."""
    learning_rate: float
    head_learning_rate: float | None
    """Of the head; null is that of the rest."""
    batch_size: int
    """Preferences per optimiser step, over all devices."""
    epochs: float
    warmup_ratio: float
    schedule: str
    """As in `method.schedule`."""
    weight_decay: float
    max_grad_norm: float
    lora: LoraConfig | None
    frozen: list[str]
    """Parts of names of weights that `full` leaves as they are, e.g. `embed_tokens`."""
    chat_template: str | None
    """A Jinja file for a base that has no chat template; null uses its own."""
    languages: list[str]
    """Preferences in these languages are trained on; those in others only measure."""
    heldout: float
    """Share of the prompts, by hash of their text, whose preferences are not trained on and measure."""
    seed: int
    """Of the order of the data; member n of an ensemble adds n."""


@dataclass
class RewardConfig:
    """What scores an answer."""

    kind: str
    """`sequence_classification` (a checkpoint with one label), `trained` (one that this run makes from preferences), `ensemble`
    (several), `function` (Python), `implicit` (a tuned policy against its reference), `alignment` (a translation model), `judge`
    (a language model that writes a number) or `combination`."""
    path: str | None
    revision: str | None
    dtype: str
    attention: str
    """As `model.attention`."""
    max_length: int
    """Longest conversation in tokens that is scored; a longer one gets no score, and is counted."""
    function: str | None
    """`module:name` of f(messages, answer, language, meta) -> float or None."""
    trust_remote_code: bool
    options: dict[str, Any]
    """What this kind asks for besides (croco/config/scorers.py)."""
    base: str | None = None
    """`kind: trained`: what is trained, a causal language model or a sequence classifier with one label."""
    preferences: Any = None
    """`kind: trained`: files, folders or hub data sets of preferences, see `scorers.PreferencesConfig`."""
    members: int = 1
    """`kind: trained`: how many, of seeds of their own, score together."""
    aggregate: str = "mean"
    """Of several members: their `mean`, the `minimum`, or `pessimistic` (the mean less their standard deviation)."""
    training: RewardTrainingConfig | None = None
    measured: RewardRankingConfig | None = None
    """How the reward is measured before it is used, where `evals` does not say it."""
    least_accuracy: Any = None
    """What the reward must be shown to rank right in each language (the lower end of the interval), a share, or a share by
    language; null asks for nothing."""
    below: str = "stop"
    """What becomes of a language below it: `stop` the run, or `leave_out` the language."""
    length: str | None = None
    """`control` takes off what a language's rewards gain by length alone: the slope within prompts; null leaves them."""
