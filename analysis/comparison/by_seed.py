"""What trials have by name, and those of one arm by seed: rewards prompt by prompt, losses window by window."""

import math

import numpy as np
import pandas as pd

from analysis.comparison.frame_rows import FrameRows
from analysis.results.arm_labels import REPLICATE_FIELD
from analysis.statistics.intervals import Values


def rows_by_trial(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each trial, found once for all: looking through all rows for every arm takes arms times rows."""
    return {str(trial): rows for trial, rows in frame.groupby("trial", sort=False)} if "trial" in frame else {}


NO_REWARDS = pd.DataFrame()
"""Of an arm without responses; one for all such arms."""


def seed_rewards(responses: dict[str, pd.DataFrame], used: FrameRows) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rewards, and their margins over the base model's, by prompt and seed, where both are known.

    A trial whose seed is lost stands under its own name.

    Args:
        responses: rows of `Results.responses` by trial.
        used: the trials of an arm.
    """
    answered = [responses[trial] for trial in used["trial"] if trial in responses]
    rows = pd.concat(answered) if answered else NO_REWARDS
    if not {"prompt", "reward", "base_reward"} <= set(rows.columns) or rows.empty:
        return NO_REWARDS, NO_REWARDS
    seeds = used.numbers(REPLICATE_FIELD) or [math.nan] * len(used)
    names = {
        trial: int(seed) if math.isfinite(seed) else trial for trial, seed in zip(used["trial"], seeds, strict=True)
    }
    keys = pd.MultiIndex.from_arrays(
        [rows["index"], rows["prompt"], [names[trial] for trial in rows["trial"]]], names=["index", "prompt", "trial"]
    )
    reward, base = (
        pd.to_numeric(rows[name], errors="coerce").to_numpy(dtype=float) for name in ("reward", "base_reward")
    )
    margins = reward - base
    return _by_prompt(np.where(np.isnan(margins), np.nan, reward), keys), _by_prompt(margins, keys)


def _by_prompt(values: Values, keys: pd.MultiIndex) -> pd.DataFrame:
    """One row per prompt and one column per trial; the mean where a trial answered a prompt twice."""
    series = pd.Series(values, keys)
    if keys.has_duplicates:
        series = series.groupby(level=[0, 1, 2]).agg(lambda several: several.mean(skipna=False))
    return series.unstack()


def window_losses_by_seed(losses: dict[str, FrameRows], used: FrameRows, name: str) -> dict[int, Values]:
    """Window losses of this name by seed; a trial whose seed is lost has none."""
    if REPLICATE_FIELD not in used:
        return {}
    by_seed = {}
    for trial, seed in zip(used["trial"], used.numbers(REPLICATE_FIELD), strict=True):
        if math.isfinite(seed) and (rows := losses.get(trial)):
            windows = np.argsort(rows.numbers("window"), kind="stable")
            by_seed[int(seed)] = np.array(rows.numbers(name), dtype=float)[windows]
    return by_seed
