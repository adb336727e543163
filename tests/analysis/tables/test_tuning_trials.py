"""The report's table of tuning trials."""

from dataclasses import replace

import pandas as pd

from analysis.comparison.evidence import evidence_of
from analysis.findings.what_it_shows import findings_of
from analysis.results.experiment import Results
from analysis.tables.tuning_trials import describe_tuning
from basis.outcomes import Outcome
from basis.stages import Stage
from tests.synthetic_experiment import CONFIG, in_memory

RATES = [1e-4, 1e-3, 1e-2]
LOSSES = {1: [2.3, 2.1, 2.2], 10: [2.0, 2.4, None]}  # None: diverged


def tuned() -> Results:
    """A sweep whose two ranks were tuned at three learning rates each."""
    rows, configs = [], {}
    for rank, losses in LOSSES.items():
        for lr, loss in zip(RATES, losses, strict=True):
            name = f"r{rank}-{lr:g}"
            configs[name] = {**CONFIG, "rank": rank, "lr": lr, "seed": 7, "evaluate_on": Stage.TUNING}
            outcome = {"outcome": Outcome.FINISHED, "validation_loss": loss} if loss else {"outcome": Outcome.DIVERGED}
            rows.append({"trial": name, **configs[name], **outcome})
    made = in_memory({"rank": 1}, {"rank": 10})
    branch = {"method": "lora", "rank": [1, 10], "lr": {"low": 1e-4, "high": 1e-2, "log": True}}
    spec = {"search": "tuned", "space": [branch]}
    return replace(made, tuning=pd.DataFrame(rows), configs={**made.configs, **configs}, spec=spec)


def test_each_arm_has_what_was_tried_and_what_was_chosen() -> None:
    tuning = describe_tuning(evidence_of(tuned()))
    assert tuning is not None
    first, second = tuning.frame.to_dict("records")
    assert (first["arm"], first["tuning trials"], first["chosen"]) == ("lora r1 adamw", "3", "0.001")
    assert first["lr: validation loss"] == "0.0001: 2.3000; 0.001: 2.1000; 0.01: 2.2000"
    assert second["lr: validation loss"] == "0.0001: 2.0000; 0.001: 2.4000; 0.01: diverged"
    assert second["chosen"] == "0.0001 (lr at an end of the range)"
    assert "seed 7" in tuning.notes[0]


def test_a_sweep_without_tuning_has_no_such_table() -> None:
    assert describe_tuning(evidence_of(in_memory({"rank": 1}))) is None


def test_an_arm_of_which_no_trial_finished_has_nothing_chosen() -> None:
    results = tuned()
    lost = results.tuning.assign(outcome=Outcome.DIVERGED)
    tuning = describe_tuning(evidence_of(replace(results, tuning=lost[lost["rank"] == 1])))
    assert tuning is not None
    assert list(tuning.frame["chosen"]) == ["– (none finished)"]


def basis(results: Results) -> str:
    first, *_ = findings_of(evidence_of(results), [], describe_tuning(evidence_of(results)))
    return " ".join(first.sentences)


def test_an_arm_that_tuning_left_without_a_setting_does_not_vanish_unnoticed() -> None:
    results = tuned()
    assert "in no table" not in basis(results)
    lost = results.tuning.assign(outcome=results.tuning["outcome"].where(results.tuning["rank"] == 1, Outcome.DIVERGED))
    missing = "In no table, since none of its tuning trials has finished: lora r10 adamw."
    assert missing in basis(replace(results, tuning=lost))


def test_while_arms_are_tuned_the_sweep_says_so_rather_than_that_it_has_no_trials() -> None:
    results = tuned()
    in_between = replace(results, trials=results.trials.iloc[:0])
    assert basis(in_between) == "No arm has a final trial yet: 5 of 6 tuning trials finished."
