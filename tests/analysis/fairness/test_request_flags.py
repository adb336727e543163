"""What was asked of a running sweep is flagged: arms and seeds added after a look, and trials that were stopped."""

import time
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from analysis.comparison.evidence import evidence_of
from analysis.results.experiment import Results
from basis.control_record import Decision
from basis.outcomes import Outcome
from tests.analysis.fairness.test_ledger import HIGH, LOW, ledger_of, sweep_of

AT = time.mktime((2026, 11, 27, 14, 3, 0, 0, 0, -1))


def asked(results: Results, *trials: str, action: str = "clone", **values: Any) -> Results:
    """The same results, where a request at 14:03 has made these trials, or stopped them."""
    decision = Decision(
        id=f"{len(results.control)}",
        time=AT,
        decided=AT,
        origin="command",
        words="",
        action=action,
        answer="",
        trials=trials,
        made=() if action == "stop" else tuple({} for _ in trials),
        **{"finished": 5, **values},
    )
    return replace(results, control=[*results.control, decision])


def trials_of(results: Results, **fields: object) -> list[str]:
    frame = results.trials
    for field, value in fields.items():
        frame = frame[frame[field] == value]
    return list(frame["trial"])


@pytest.mark.parametrize(("finished", "seen"), [(5, "after 5 trials had finished"), (0, "with curves in view")])
def test_an_arm_that_was_added_is_flagged_as_chosen_with_a_look_at_the_results(finished: int, seen: str) -> None:
    results = sweep_of(LOW, HIGH)
    (flag,) = ledger_of(asked(results, *trials_of(results, rank=10), finished=finished)).flags
    assert flag == (
        f"Added while the sweep ran: at 14:03 {seen} (lora r10 adamw). Such a row is chosen with a look at the "
        "results, so its p-values flatter it."
    )


def test_further_seeds_are_flagged_with_the_rows_that_got_none() -> None:
    results = sweep_of(LOW, HIGH)
    some = asked(results, *trials_of(results, rank=1, seed=2), action="seeds")
    (flag,) = ledger_of(some).flags
    assert flag == (
        "Further seeds were asked for while the sweep ran: 1 at 14:03 after 5 trials had finished (lora r1 adamw). Who "
        "goes on until a difference shows finds one by chance, so p-values are too small. lora r10 adamw got none."
    )
    every = asked(results, *trials_of(results, seed=2), action="seeds")
    (flag,) = ledger_of(every).flags
    assert "(lora r1 adamw, lora r10 adamw)" in flag
    assert "got none" not in flag


def test_a_stopped_trial_is_named_with_the_reason_and_left_out() -> None:
    results = sweep_of(LOW, HIGH)
    (trial,) = trials_of(results, rank=10, seed=2)
    stopped = results.trials["trial"] == trial
    results.trials.loc[stopped, ["outcome", "reason"]] = [Outcome.STOPPED_BY_REQUEST, "stopped by request at 14:03"]
    flags = ledger_of(results).flags
    assert f"Left out of comparisons: {trial} (stopped by request at 14:03)." in flags


def test_a_sweep_that_nobody_touched_and_a_refused_request_have_nothing_to_flag() -> None:
    results = sweep_of(LOW, HIGH)
    assert ledger_of(results).flags == []
    assert ledger_of(asked(results, action="seeds", refused=True)).flags == []


def test_a_tuning_trial_that_was_stopped_counts_as_none_so_that_unequal_tuning_is_flagged() -> None:
    outcomes = [Outcome.FINISHED, Outcome.DIVERGED, Outcome.STOPPED_BY_REQUEST]
    tuning = pd.DataFrame({"trial": ["a", "b", "c"], "outcome": outcomes, "reason": "", "lr": [1.0, 2.0, 3.0]})
    evidence = replace(evidence_of(sweep_of(LOW)), results=replace(sweep_of(LOW), tuning=tuning))
    evidence = replace(evidence, groups=dict.fromkeys("abc", (0, "")))
    assert evidence.competing == {(0, ""): ["a", "b"]}


def test_an_arm_that_was_added_to_a_tuned_sweep_was_not_tuned() -> None:
    branch = {"method": "lora", "rank": [1, 10], "lr": {"low": 1e-4, "high": 1e-2, "log": True}}
    results = replace(sweep_of(LOW, HIGH), spec={"search": "tuned", "space": [branch]})
    added = trials_of(results, rank=10)
    chosen = evidence_of(asked(results, *added)).chosen
    assert {trial: bool(fields) for trial, fields in chosen.items()} == {
        trial: trial not in added for trial in results.trials["trial"]
    }
