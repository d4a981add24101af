"""What the study trains: every arm as the words one would type, and how often.

All arms answer the same held-out prompts: open tasks, of which the preferences are, and structured ones, of which none is. A seed
is that of the answers that are paired, of the data's order and of the adapter at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.study import builds, noise

COMMON = (
    "prompts=tiny_every_task",
    "prompts.heldout=150",
    "sampling.seed=${seed}",
    "logger=none",
)
SEEDS = (42, 43, 44, 45, 46)
FEW = SEEDS[:3]
ONE = SEEDS[:1]


@dataclass(frozen=True)
class Arm:
    """One row of the study."""

    name: str
    words: tuple[str, ...]
    seeds: tuple[int, ...]
    about: str


AS_MANY = "method.epochs=7"
"""A pool over seven languages gives one pair where they give seven by themselves: as many steps as mono, by epochs."""


def _main() -> list[Arm]:
    """The paper's arms, its baselines' data included."""
    return [
        Arm("mono", (), SEEDS, "DPO; best against nearest mean - 2 sd of 16 answers, within each language"),
        Arm(
            "multi",
            ("pairing=multi", AS_MANY),
            SEEDS,
            "DPO; the same rule over the answers of all languages, seven epochs of a seventh of the pairs",
        ),
        Arm("sft", ("method=sft",), SEEDS, "SFT on the data set's answers at SFT's own rate"),
        Arm("max_r", ("method=max_r",), SEEDS, "SFT on the answer with the highest reward"),
        Arm("off_policy", ("source=off_policy",), SEEDS, "DPO on another policy's answers"),
        Arm(
            "sft_dpo_rate",
            ("method=sft", "method.learning_rate=${model.learning_rate.preference}"),
            SEEDS,
            "SFT on the data set's answers at DPO's rate",
        ),
        Arm("multi_z", ("pairing=multi_z", AS_MANY), SEEDS, "multi, rewards standardised within each language"),
        Arm("multi_rank", ("pairing=multi_rank", AS_MANY), SEEDS, "multi, rewards as ranks within each language"),
        Arm("reference", ("source=reference",), SEEDS, "DPO; the data set's answer chosen against the policy's"),
    ]


def _online() -> list[Arm]:
    """Fresh answers for every 9 steps, for every step, and none: two answers a prompt, best against worst, in all three."""
    two = ("pairing=best_worst", "sampling.samples=2")
    return [
        Arm("offline_2", two, FEW, "DPO, two answers a prompt, all drawn before training"),
        Arm(
            "iterative_2", (*two, "method=iterative_dpo", "method.refresh_every=9"), FEW, "... drawn anew every 9 steps"
        ),
        Arm("online_2", (*two, "method=online_dpo"), FEW, "... drawn anew for every step"),
    ]


def _rejected() -> list[Arm]:
    """mean - 2 sd against the minimum, by the number of answers; of 16 mean - 2 sd is `mono`.

    Of 4 answers none lies further than sqrt(3) sd from their mean, so that the nearest to mean - 2 sd is the minimum itself,
    and a run of it is refused (`pairing.limits`).
    """
    made = []
    for k in (16, 64):
        samples = f"sampling.samples={k}"
        if k != 16:
            made.append(Arm(f"mono_k{k}", (samples,), FEW, f"mono with {k} answers a prompt"))
        made.append(Arm(f"min_k{k}", (samples, "pairing=best_worst"), FEW, f"best against worst of {k}"))
    return made


def _beyond() -> list[Arm]:
    """Questions that the paper leaves open."""
    every = "evals.checkpoints=4"
    return [
        Arm("multi_1_epoch", ("pairing=multi",), FEW, "multi, one epoch: a seventh of the steps"),
        Arm("text", ("method.tokens=text",), FEW, "mono, answers encoded anew from their text"),
        Arm("filtered", ("pairing.filters.wrong_language=true",), FEW, "mono without answers in another language"),
        Arm("margin", ("pairing.min_margin=6",), FEW, "mono, pairs with a margin of at least 6 (about the upper half)"),
        *(
            Arm(
                f"beta_{beta}",
                (f"method.loss.beta={beta}", "method.epochs=4", every),
                FEW,
                f"mono, beta {beta}, 4 epochs",
            )
            for beta in (0.01, 0.1, 1.0)
        ),
        Arm(
            "icr",
            ("reward=icr", "method=icr", "pairing=best_worst", "sampling.samples=8"),
            FEW,
            "ICR: the reward is a policy tuned on English against its reference",
        ),
        Arm(
            "mapo",
            (
                "reward=tiny_mapo",
                "pairing=every",
                "method=mapo",
                "method.learning_rate=${model.learning_rate.preference}",
                "method.batch_size=32",
                "pairing.pairs_per_pool=2",
                "sampling.samples=8",
            ),
            FEW,
            "MAPO: the reward is how likely a translation model finds the English answer",
        ),
        *(
            Arm(
                f"noise_{share}",
                (
                    "reward=trained",
                    f"reward.preferences={noise.file('${paths.artifacts}', share)}",
                    f"reward.training.seed={noise.SEED}",
                ),
                FEW,
                f"mono; a reward model trained here on English preferences, {share} % of them swapped",
            )
            for share in noise.SHARES
        ),
    ]


def _ensembles() -> list[Arm]:
    """Several reward models: a cautious reward, and their agreement as a filter."""
    return [
        Arm(
            "ensemble",
            ("reward=trained", "reward.members=3", "reward.aggregate=pessimistic"),
            ONE,
            "mono; three reward models trained here, the mean of their rewards less its standard deviation",
        ),
        Arm(
            "agreed",
            ("reward=trained", "reward.members=3", "pairing.filters.disagreement=0.15"),
            ONE,
            "mono; the mean of three reward models, without the quarter of the answers that they disagree on most",
        ),
    ]


def _pretrained() -> list[Arm]:
    """What pretraining gave: models of the embedded world that read other texts (builds.py)."""
    artifacts = "${paths.artifacts}"
    return [
        Arm(
            "apart",
            (
                "reward=trained",
                f"reward.base={builds.folder(artifacts, 'apart/backbone')}",
                f"reward.preferences={noise.file(artifacts, 0)}",
                f"reward.training.seed={noise.SEED}",
            ),
            FEW,
            "noise_0, its reward model on a backbone that has read no text in two languages",
        ),
        Arm(
            "uneven",
            (f"model.path={builds.folder(artifacts, 'uneven/policy')}",),
            FEW,
            "mono on a policy that has read its languages in unequal shares, against itself",
        ),
    ]


POINTS = ("max", "mu_plus_2s", "mu_plus_s", "mu", "mu_minus_s", "mu_minus_2s", "min")
"""Of the 21 ordered pairs of the paper's figure, chosen before rejected."""


def _points() -> list[Arm]:
    pairs = [(high, low) for place, high in enumerate(POINTS) for low in POINTS[place + 1 :]]
    # Some of these rules choose what a run would refuse to train on; that is what they are there to show.
    return [
        Arm(
            f"{high}_{low}",
            (f"+pairing/points={high}_{low}", "pairing.limits.max_wrong_language=1"),
            ONE,
            f"chosen at {high}, rejected at {low}",
        )
        for high, low in pairs
    ]


MAIN = _main()
POINT_PAIRS = _points()
ARMS = [*MAIN, *_online(), *_rejected(), *_beyond(), *_ensembles(), *_pretrained(), *POINT_PAIRS]
BY_NAME = {arm.name: arm for arm in ARMS}
