"""What trials have by name, and those of one arm by seed: rewards prompt by prompt, losses window by window."""

import math

import numpy as np
import pandas as pd

from analysis.results.arm_labels import REPLICATE_FIELD
from analysis.statistics.intervals import Values


def rows_by_trial(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each trial, found once for all: looking through all rows for every arm takes arms times rows."""
    return {str(trial): rows for trial, rows in frame.groupby("trial", sort=False)} if "trial" in frame else {}


def rows_of(by_trial: dict[str, pd.DataFrame], used: pd.DataFrame, empty: pd.DataFrame) -> pd.DataFrame:
    """The rows of these trials in one frame; without any, one of the columns of `empty`."""
    frames = [by_trial[trial] for trial in used["trial"] if trial in by_trial]
    return pd.concat(frames) if frames else empty.iloc[:0]


def seed_rewards(rows: pd.DataFrame, used: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rewards, and their margins over the base model's, by prompt and seed, where both are known.

    A trial whose seed is lost stands under its own name.
    """
    if not {"prompt", "reward", "base_reward"} <= set(rows.columns) or rows.empty:
        return pd.DataFrame(), pd.DataFrame()
    seeds = pd.to_numeric(used[REPLICATE_FIELD], errors="coerce") if REPLICATE_FIELD in used else [math.nan] * len(used)
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


def window_losses_by_seed(losses: dict[str, pd.DataFrame], used: pd.DataFrame, name: str) -> dict[int, Values]:
    """Window losses of this name by seed; a trial whose seed is lost has none."""
    if REPLICATE_FIELD not in used:
        return {}
    by_seed = {}
    for trial, seed in zip(used["trial"], pd.to_numeric(used[REPLICATE_FIELD], errors="coerce"), strict=True):
        if trial in losses and math.isfinite(seed):
            by_seed[int(seed)] = losses[trial].sort_values("window")[name].to_numpy(dtype=float)
    return by_seed
