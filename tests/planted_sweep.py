"""Sweeps in memory whose losses are a formula of the config, for tests that look for what was planted."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

from analysis.results import Results
from tests.synthetic_experiment import CONFIG, in_memory

Loss = Callable[[dict[str, Any]], float]


def planted(loss: Loss, configs: list[dict[str, Any]], **columns: Loss) -> Results:
    """Finished trials of these configs, laid over CONFIG, with that last test loss and further columns."""
    results = in_memory(*configs, answered=False)
    full = [{**CONFIG, **config} for config in configs]
    made = {name: [formula(config) for config in full] for name, formula in {"test_loss": loss, **columns}.items()}
    rewards = ["wins", "ties", "losses", "win_rate", "reward_margin_mean"]
    kept = results.trials.drop(columns=[name for name in rewards if name not in made])
    return replace(results, trials=kept.assign(**made))


def grid(**fields: list[Any]) -> list[dict[str, Any]]:
    """Every combination of these values."""
    return [dict(zip(fields, values, strict=True)) for values in product(*fields.values())]
