"""One value per arm: the trials it consists of, and the numbers that tables, figures and findings share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.comparison.frame_rows import FrameRows
from analysis.results.arm_labels import REPLICATE_FIELD
from analysis.statistics.intervals import Interval, Values, mean_interval, wilson_interval
from basis.fields import DEPENDENT_FIELDS
from basis.metrics import DEVICE, GPU_PEAK, PEAK_SOURCE
from basis.outcomes import NOT_COMPARED, Outcome
from basis.stages import Stage

LossMetric = Literal["test_loss", "test_bits_per_byte"]
"""What test losses are compared by: nats per token of one tokenizer, or what compares across tokenizers."""

WINDOW_FIELDS = ("block_size", "test_windows")
"""Fields that decide which windows an arm is tested on."""
NO_MARGINS = pd.Series(dtype=float)
"""Of an arm whose responses nobody judged. One for all: pandas takes a while to make it, and there may be thousands."""


@dataclass(frozen=True)
class Wins:
    """Prompts won, tied and lost against the base model over all seeds, and the win rate with its interval."""

    wins: int
    ties: int
    losses: int
    rate: Interval


@dataclass(frozen=True)
class Arm:
    """An arm with its replicates.

    Attributes:
        label: unique short name.
        config: its config without the seed.
        trials: its rows of `Results.trials`, whatever became of them.
        used: the rows that its numbers come from: the finished trials, or where none finished, the furthest ones.
        seed_margins: reward minus the base model's, one row per prompt and one column per seed, NaN where a seed has
            no reward for a prompt; empty without responses.
        seed_rewards: the rewards themselves of the same prompts and seeds, which compare across base models.
        window_losses: last loss of each test window in nats/token by seed, for the trials in `used` that kept them.
        general_losses: last loss of each window of general text by seed, likewise.
        base_general_losses: the base model's losses of the same windows by seed, before the first step.
        held_to_answers: whether a reward is 1 for a right answer and 0 for a wrong one, and no reward model's score.
        tokenizer: hash of its model's tokenizer; empty where no trial kept a record.
        test_tokens: hash of the test set's tokens; empty likewise.
        test_rows: digest of the text that every test row scores; in a directory made before the hash of the test
            tokens; empty where neither is known.
        test_set: where sweeps are put together, what tells their test sets apart; empty in a single one.
        general_set: what tells their general texts apart, likewise.
        loss_metric: the test loss by which the arm is compared, see `loss_metric.by_one_metric`.
    """

    label: str
    config: dict[str, Any]
    trials: FrameRows
    used: FrameRows
    seed_margins: pd.DataFrame
    window_losses: dict[int, Values]
    seed_rewards: pd.DataFrame = field(default_factory=pd.DataFrame)
    held_to_answers: bool = False
    general_losses: dict[int, Values] = field(default_factory=dict)
    base_general_losses: dict[int, Values] = field(default_factory=dict)
    tokenizer: str = ""
    test_tokens: str = ""
    test_rows: str = ""
    test_set: str = ""
    general_set: str = ""
    loss_metric: LossMetric = "test_loss"

    @property
    def model(self) -> str | None:
        """What its config calls its base model; None in a sweep of one, or where the config has no text there."""
        model = self.config.get("model")
        return model if isinstance(model, str) and model else None

    @cached_property
    def shown_config(self) -> dict[str, str]:
        """Its config as texts, which are equal where values are, without fields that do not apply to it."""
        return {name: repr(value) for name, value in self.config.items() if not inapplicable(self.config, name)}

    @cached_property
    def window_values(self) -> tuple[object, ...]:
        """The values of WINDOW_FIELDS: how many windows it is tested on, and how many tokens one has."""
        return tuple(map(self.config.get, WINDOW_FIELDS))

    @cached_property
    def outcome(self) -> str:
        """What became of the trials in `used`."""
        return str((self.used if len(self.used) else self.trials)["outcome"][0])

    @property
    def trained(self) -> bool:
        """Whether its memory and speed are those of training: it took steps and did not fail somewhere by accident."""
        return self.outcome not in NOT_COMPARED and self.largest("step") > 0

    @property
    def tested_once(self) -> bool:
        """Whether its test loss was taken after the last step alone, its curve being one of validation windows."""
        return self.config.get("evaluate_on") == Stage.FINAL

    @cached_property
    def seeds(self) -> list[int]:
        """Seeds of the trials in `used`."""
        return [int(seed) for seed in self._column(REPLICATE_FIELD)]

    @cached_property
    def shortfall(self) -> str:
        """How many of the planned seeds finished, where some but not all did; empty otherwise."""
        tried = self.trials.where([outcome != Outcome.REPEATED for outcome in self.trials["outcome"]])
        planned = len(set(tried.known(REPLICATE_FIELD))) if REPLICATE_FIELD in tried else len(tried)
        lost = self.outcome == Outcome.FINISHED and len(self.used) < planned
        return f"{len(self.used)} of {planned} seeds finished" if lost else ""

    def mean(self, name: str) -> Interval:
        """Mean of a metric over the seeds, with a t interval where there are two or more."""
        return mean_interval(self._column(name))

    def values(self, name: str) -> list[float]:
        """Finite values of a metric, one per seed."""
        return [value for value in self._column(name) if math.isfinite(value)]

    def by_seed(self, name: str) -> dict[int, float]:
        """Finite values of a metric by seed; empty where trials have no seed or no value."""
        if name not in self.used or REPLICATE_FIELD not in self.used:
            return {}
        pairs = zip(self.used.numbers(REPLICATE_FIELD), self.used.numbers(name), strict=True)
        return {int(seed): value for seed, value in pairs if math.isfinite(seed) and math.isfinite(value)}

    @cached_property
    def test_loss(self) -> Interval:
        """Mean of the last test loss over the seeds, in the unit of `loss_metric`."""
        return self.mean(self.loss_metric)

    @property
    def has_test_loss(self) -> bool:
        """Whether any of its seeds has the loss that it is compared by."""
        return bool(self.values(self.loss_metric))

    @cached_property
    def losses_by_seed(self) -> dict[int, Values]:
        """Last test losses by seed: (K,) of its windows, or (1,) their mean where the trial kept none of them.

        In bits per byte these are the shares of the windows, which add up to K times the loss of the whole text.
        """
        means = self.by_seed(self.loss_metric)
        if self.loss_metric == "test_loss":
            return {seed: self.window_losses.get(seed, np.array([mean])) for seed, mean in means.items()}
        scales = self._scales_by_seed
        return {
            seed: self.window_losses[seed] * scales[seed] if seed in self.window_losses else np.array([mean])
            for seed, mean in means.items()
            if seed in scales
        }

    @cached_property
    def best_test_loss(self) -> Interval:
        """Mean over the seeds of the lowest test loss of each, in the unit of `loss_metric`."""
        if self.loss_metric == "test_loss":
            return self.mean("test_loss_best")
        last, lowest, told = (self.by_seed(name) for name in ("test_loss", "test_loss_best", self.loss_metric))
        scales = self._scales_by_seed
        return mean_interval(
            [told[seed] - (last[seed] - lowest[seed]) * scales[seed] for seed in scales if seed in lowest]
        )

    @cached_property
    def _scales_by_seed(self) -> dict[int, float]:
        """What a nat per token is in the unit of `loss_metric`: it is the same for all losses of one trial."""
        told, losses = self.by_seed(self.loss_metric), self.by_seed("test_loss")
        return {seed: told[seed] / loss for seed, loss in losses.items() if seed in told and loss}

    def largest(self, name: str) -> float:
        """Largest value of a metric over the seeds; NaN without any."""
        return max(self.values(name), default=math.nan)

    def text(self, name: str) -> str:
        """A text field such as `peak_source`; empty where no trial has it."""
        texts = self.used.known(name)
        return str(texts[0]) if texts else ""

    @cached_property
    def peak_sources(self) -> set[str]:
        """By what its peaks were counted; on a GPU with its kind, since each kind has micro-batches of its own."""
        unknown = [None] * len(self.used)
        both = zip(self.used.get(PEAK_SOURCE, unknown), self.used.get(DEVICE, unknown), strict=True)
        return {
            f"{source} of {kind}" if source == GPU_PEAK else source for source, kind in both if isinstance(source, str)
        }

    @cached_property
    def wins(self) -> Wins | None:
        """Counts over all seeds; None without reward metrics.

        Every seed answers the same prompts, so the interval counts each prompt once, not once per seed.
        """
        counts = [self.values(name) for name in ("wins", "ties", "losses")]
        if not counts[0] or len({len(values) for values in counts}) > 1:
            return None
        wins, ties, losses = (int(sum(values)) for values in counts)
        asked = wins + ties + losses
        if asked == 0:
            return None
        prompts = round(asked / len(counts[0]))
        return Wins(wins, ties, losses, wilson_interval(wins / asked * prompts, prompts))

    @cached_property
    def right_answers(self) -> Interval | None:
        """Share of prompts that are answered rightly, over all seeds; None where a reward model judges.

        Every seed answers the same prompts, so the interval counts each prompt once, not once per seed.
        """
        shares = self.values("reward_mean")
        if not self.held_to_answers or not shares or not self.asked:
            return None
        return wilson_interval(sum(shares) / len(shares) * self.asked, self.asked)

    @cached_property
    def margins(self) -> pd.Series:
        """Mean margin by prompt over all seeds; a prompt that some seed could not score is left out."""
        return self.margins_over(list(self.seed_margins.columns))

    def margins_over(self, seeds: Sequence[object]) -> pd.Series:
        """Mean margin by prompt over these seeds; a prompt that one of them could not score is left out."""
        if not len(seeds):
            return NO_MARGINS
        rewards = self.seed_margins[list(seeds)].to_numpy(dtype=float)
        known = ~np.isnan(rewards).any(axis=1)
        return pd.Series(rewards[known].mean(axis=1), self.seed_margins.index[known], dtype=float)

    @cached_property
    def asked(self) -> int:
        """Prompts that the arm was asked, as far as its rewards or its responses show."""
        counts = self.wins
        by_reward = round((counts.wins + counts.ties + counts.losses) / len(self.values("wins"))) if counts else 0
        return max(by_reward, len(self.seed_margins))

    @cached_property
    def won_and_lost(self) -> tuple[int, int] | None:
        """Prompts won in more seeds than lost, and prompts lost in more than won; None where unknown."""
        if len(self.margins):
            surplus = np.sign(self.seed_margins.dropna()).sum(axis=1)
            return int((surplus > 0).sum()), int((surplus < 0).sum())
        counts = self.wins
        return (counts.wins, counts.losses) if counts and len(self.used) == 1 else None

    @cached_property
    def margin(self) -> Interval:
        """Mean reward margin with a t interval over prompts.

        Without responses, or where all margins are the same and so show no spread to judge by, the mean alone.
        """
        if self.seed_margins.empty:
            return self.mean("reward_margin_mean")._replace(low=math.nan, high=math.nan)
        if self.margins.nunique() > 1:
            return mean_interval(list(self.margins))
        mean = self.margins.mean() if len(self.margins) else self.mean("reward_margin_mean").estimate
        return Interval(float(mean), math.nan, math.nan)

    def _column(self, name: str) -> list[float]:
        if name not in self._columns:
            self._columns[name] = [value for value in self.used.numbers(name) if not math.isnan(value)]
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, list[float]]:
        """The columns that were asked for; of thousands of arms, each is asked for several times."""
        return {}


def inapplicable(config: Mapping[str, Any], name: str) -> bool:
    """Whether a field is None because the config's method or optimizer has no such thing."""
    return name in DEPENDENT_FIELDS and config.get(name) is None


def reward_word(arms: Sequence[Arm]) -> str:
    """What the mean of the arms' rewards is: "share of right answers", or "reward" of a reward model."""
    return "share of right answers" if any(arm.held_to_answers for arm in arms) else "reward"
