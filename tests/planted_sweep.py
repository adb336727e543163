"""Sweeps in memory whose losses are a formula of the config, for tests that look for what was planted."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pandas as pd

from analysis.results.arm_labels import arm_key, label_arms
from analysis.results.company import RAN_ALONE
from analysis.results.experiment import Results
from basis.outcomes import Outcome
from tests.synthetic_experiment import CONFIG, STEPS, in_memory

START = 4.0
"""Test loss of the base model, in nats/token."""
Config = dict[str, Any]


def planted(loss: Callable[[Config], float], configs: list[Config], **metrics: Callable[[Config], float]) -> Results:
    """Finished trials of these configs, laid over CONFIG, with that last test loss and those other metrics.

    The key "outcome" of a config says what became of the trial, if it did not finish.
    """
    made = [{**CONFIG, **{name: value for name, value in config.items() if name != "outcome"}} for config in configs]
    labels = label_arms(made)
    trials, curves = [], []
    for number, (config, given) in enumerate(zip(made, configs, strict=True)):
        key = {"trial": f"trial-{number}", "arm": labels[arm_key(config)]}
        last = {"test_loss": loss(config), **{name: formula(config) for name, formula in metrics.items()}}
        trials.append(
            {
                **key,
                "outcome": given.get("outcome", Outcome.FINISHED),
                "reason": "",
                **config,
                "step": STEPS,
                RAN_ALONE: True,
                **last,
            }
        )
        curves += [{**key, "seed": config["seed"], "step": 0, "test_loss": START}]
        curves += [{**key, "seed": config["seed"], "step": STEPS, **last}]
    named = {trial["trial"]: config for trial, config in zip(trials, made, strict=True)}
    empty = in_memory({}, answered=False)
    return replace(empty, trials=pd.DataFrame(trials), curves=pd.DataFrame(curves), configs=named)


def grid(**fields: list[Any]) -> list[Config]:
    """Every combination of these values."""
    return [dict(zip(fields, values, strict=True)) for values in product(*fields.values())]
