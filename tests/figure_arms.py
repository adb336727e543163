"""Arms of planted losses, for tests of the figures that show arms."""

from typing import Any

from analysis.comparison.grouping import group_arms
from analysis.factors.pareto import fronts_of
from analysis.figures.arm_styles import arm_styles
from tests.planted_sweep import grid, planted


def _loss(config: dict[str, Any]) -> float:
    return 2.0 + 100 * abs(config["lr"] - 1e-3) + 0.1 / config["rank"] + 0.001 * config["seed"]


RESULTS = planted(
    _loss,
    grid(rank=[1, 8, 64], lr=[3e-4, 1e-3, 3e-3], seed=[1, 2]),
    peak_bytes=lambda config: 2.0**30 + 2.0**24 * config["rank"],
    trainable_parameters=lambda config: 1000.0 * config["rank"],
    wins=lambda config: 10.0 + config["rank"] / 8,
    ties=lambda config: 4.0,
    losses=lambda config: 6.0,
)
ARMS = group_arms(RESULTS)
FRONTS = fronts_of(ARMS)
STYLES = arm_styles(ARMS)
