"""Figures of made-up numbers, for the tests of what a page's script does with them."""

import math
from typing import Any

import pandas as pd

from analysis.figures.arm_styles import styles_of
from analysis.figures.curves import draw_curves
from analysis.figures.page_figure import PageFigure
from basis.outcomes import Outcome

STEPS = range(0, 101, 10)
ARMS: dict[str, dict[str, Any]] = {
    "full adamw": {"method": "full", "optimizer": "adamw"},
    "lora r1 adamw": {"method": "lora", "optimizer": "adamw", "rank": 1},
    "lora r8 adamw": {"method": "lora", "optimizer": "adamw", "rank": 8},
    "lora r8 sgd": {"method": "lora", "optimizer": "sgd", "rank": 8},
}
"""Configs by label, best first."""
OUTCOMES = {**dict.fromkeys(ARMS, Outcome.FINISHED), "lora r8 sgd": Outcome.DIVERGED}
STYLES = styles_of(ARMS)


def loss(place: int, seed: int, step: int) -> float:
    """The test loss of the arm at a place of ARMS."""
    return 2 + math.exp(-step / 30) + 0.1 * place + 0.01 * seed


def rows(arms: int = len(ARMS)) -> pd.DataFrame:
    """Rows of two seeds of each arm; the last arm diverges after half of the steps."""
    made = []
    for place, arm in enumerate(list(ARMS)[:arms]):
        for seed in (0, 1):
            for step in STEPS:
                astray = OUTCOMES[arm] == Outcome.DIVERGED and step > 50
                value = 10.0 ** (step / 10) if astray else loss(place, seed, step)
                made.append(
                    {
                        "arm": arm, "trial": f"{arm} {seed}", "seed": seed, "step": step, "test_loss": value,
                        "train_loss": value - 0.1 if step else math.nan, "tokens_seen": 64 * step,
                        "train_seconds": step / 4 + place,
                    }
                )  # fmt: skip
    return pd.DataFrame(made)


def curves(arms: int = len(ARMS)) -> PageFigure:
    """The curves of these rows."""
    figure = draw_curves(rows(arms), STYLES, OUTCOMES)
    assert figure is not None
    return figure
