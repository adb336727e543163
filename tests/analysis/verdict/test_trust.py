"""How far a sweep can be trusted: each planted fault is a doubt with its command, and a clean sweep has none."""

import shlex
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import yaml

from analysis.fairness.reasons import HARMLESS_TO_LOSSES, Reason
from analysis.results.experiment import Results
from analysis.verdict.doubts_of_design import FLAGGED
from analysis.verdict.remedies import again_with, resume, tuned_again
from analysis.verdict.summary import Doubt
from basis.control_record import Decision
from basis.outcomes import Outcome
from basis.stages import Stage
from tests.analysis.verdict.test_summarise import Config, summary_of, sweep_of
from tests.synthetic_experiment import CONFIG, with_window_losses

COMMAND = "python -m sweep.run mine.yaml --set seeds=1 --set trial.steps=40 --output here"
LOW: Config = {"rank": 1, "alpha": 2.0}
HIGH: Config = {"rank": 10, "alpha": 20.0}  # alpha grows with rank, so that the adapters' scaling is the same
SPACE = [{**arm, "lr": {"low": 1e-5, "high": 1e-1, "log": True}} for arm in (LOW, HIGH)]
TABLE = [{"title": "Rank", "factor": "rank"}]


def tuned(**changes: Any) -> Results:
    """Two ranks, three seeds each, at rates that each has chosen of three on validation windows."""
    results = sweep_of(*({**arm, "evaluate_on": Stage.FINAL} for arm in (LOW, HIGH)))
    tried = [
        {**CONFIG, **arm, "lr": lr, "evaluate_on": Stage.TUNING, "seed": 0, "trial": f"t{arm['rank']}-{lr}"}
        for arm in (LOW, HIGH)
        for lr in (1e-4, 1e-3, 1e-2)
    ]
    configs = {trial["trial"]: {name: value for name, value in trial.items() if name != "trial"} for trial in tried}
    tuning = pd.DataFrame([{**trial, "outcome": Outcome.FINISHED, "reason": ""} for trial in tried])
    return replace(
        results,
        tuning=tuning,
        configs={**results.configs, **configs},
        spec={"search": "tuned", "space": SPACE},
        sweep={"command": COMMAND, "data": {"overlap_exact": 0}},
        **changes,
    )


def doubts(results: Results) -> dict[str, Doubt]:
    return {doubt.reason: doubt for doubt in summary_of(results, TABLE).trust.doubts}


def test_three_seeds_at_tuned_rates_leave_no_doubt() -> None:
    trust = summary_of(tuned(), TABLE).trust
    assert (trust.level, trust.doubts) == ("high", ())


def test_one_seed_is_low_trust_and_the_command_asks_for_three() -> None:
    results = replace(sweep_of(LOW, HIGH, seeds=(1,)), sweep={"command": COMMAND})
    trust = summary_of(results, TABLE).trust
    assert (trust.level, trust.doubts[0].reason) == ("low", "one seed")
    assert trust.doubts[0].remedy == "python -m sweep.run mine.yaml --set trial.steps=40 --set seeds=3"


def test_no_command_asks_for_as_many_seeds_as_there_were() -> None:
    results = sweep_of(LOW, HIGH)
    trials = results.trials.copy()
    trials.loc[1:2, "outcome"] = Outcome.DIVERGED
    found = doubts(replace(results, trials=trials, spec={"seeds": [0, 1, 2]}, sweep={"command": COMMAND}))
    assert found["one seed in some arms"].remedy == ""


def test_few_windows_come_with_a_command_where_the_test_set_may_have_more() -> None:
    for asked, remedy in ((40, False), (8, True)):
        results = with_window_losses(sweep_of(*({**arm, "test_windows": asked} for arm in (LOW, HIGH))), 8)
        found = doubts(replace(results, sweep={"command": COMMAND}))["8 test windows"].remedy
        assert found.endswith("--set trial.test_windows=100") is remedy


def test_a_setting_written_as_one_word_is_replaced_too() -> None:
    results = replace(tuned(), sweep={"command": "python -m sweep.run mine.yaml --set=seeds=1 --set=name=x"})
    assert again_with(results, seeds="3") == "python -m sweep.run mine.yaml --set name=x --set seeds=3"


def test_two_seeds_are_medium_trust() -> None:
    assert doubts(sweep_of(LOW, HIGH, seeds=(1, 2)))["two seeds"].level == "medium"


def test_rates_that_nobody_tuned_come_with_a_command_that_tunes_them() -> None:
    spec = {"search": "grid", "space": [{**LOW, "lr": 1e-3}, {**HIGH, "lr": [1e-3, 2e-3]}]}
    doubt = doubts(replace(sweep_of(LOW, HIGH), spec=spec, sweep={"command": COMMAND}))["rates not tuned"]
    assert doubt.level == "medium"
    words = shlex.split(doubt.remedy)
    assert words[:4] == ["python", "-m", "sweep.run", "mine.yaml"]
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    assert settings["search"] == "tuned"
    rates = [branch["lr"] for branch in yaml.safe_load(settings["space"])]
    assert rates == [{"low": 1e-4, "high": 1e-2, "log": True}, {"low": 1e-4, "high": 2e-2, "log": True}]


def test_one_rate_for_full_fine_tuning_and_lora_is_low_trust() -> None:
    full = {"method": "full", "rank": None, "lr": 1e-3, "alpha": None}
    doubt = doubts(sweep_of(full, {"rank": 10, "lr": 1e-3}))["rates not tuned"]
    assert doubt.level == "low"
    assert "share one learning rate" in doubt.detail


@pytest.mark.parametrize(("metric", "more"), [("test_loss", ""), ("win_rate", " --set metric=test_loss")])
def test_a_search_on_the_test_windows_is_a_doubt_and_not_one_about_rates(metric: str, more: str) -> None:
    spec = {"search": "random", "metric": metric, "choose_on": "test"}
    found = doubts(replace(sweep_of(LOW, HIGH), spec=spec, sweep={"command": COMMAND}))
    doubt = found["chosen on the test windows"]
    assert doubt.remedy.endswith(f"--set trial.steps=40 --set choose_on=validation{more}")
    assert not [reason for reason in found if "rates" in reason]


def test_a_search_on_validation_windows_that_left_the_rate_alone_is_a_doubt_about_rates() -> None:
    space = [{**LOW, "lr": 1e-3, "weight_decay": {"low": 0.0, "high": 0.1}}, {**HIGH, "lr": 1e-3}]
    results = sweep_of(*({**arm, "evaluate_on": Stage.FINAL} for arm in (LOW, HIGH)))
    spec = {"search": "random", "choose_on": "validation", "space": space}
    known = {"data": {"overlap_exact": 0}}
    assert set(doubts(replace(results, spec=spec, sweep=known))) == {"rates not tuned"}


def test_rates_chosen_on_the_test_windows_are_a_doubt() -> None:
    found = doubts(sweep_of(*({**arm, "lr": lr} for arm in (LOW, HIGH) for lr in (1e-4, 1e-3, 1e-2))))
    assert found["rates chosen on test windows"].level == "medium"
    assert "rates not tuned" not in found


@pytest.mark.parametrize(
    ("data", "reason", "level"),
    [
        ({"overlap_exact": 20, "overlap_opening": 20}, "20/400 test dialogues in train", "low"),
        ({"overlap_exact": 1, "overlap_opening": 1}, "1/400 test dialogues in train", "medium"),
        ({"overlap_exact": 0, "overlap_opening": 370}, "370/400 test openings in train", "medium"),
    ],
)
def test_test_dialogues_in_train_are_a_doubt(data: dict[str, int], reason: str, level: str) -> None:
    found = doubts(replace(tuned(), sweep={"command": COMMAND, "data": {**data, "test_dialogues": 400}}))
    assert {reason: level} == {reason: doubt.level for reason, doubt in found.items()}


def test_a_sweep_that_does_not_know_of_leaks_is_no_better_than_medium_trust() -> None:
    trust = summary_of(replace(tuned(), sweep={"command": COMMAND}), TABLE).trust
    assert (trust.level, [doubt.reason for doubt in trust.doubts]) == ("medium", ["test text in train unchecked"])


def test_an_arm_that_was_added_is_a_doubt_though_no_table_shows_it() -> None:
    results = tuned()
    added = tuple(results.trials.loc[results.trials["rank"] == 10, "trial"])
    decision = Decision("0", 0.0, 0.0, "command", "", "clone", "", trials=added, made=tuple({} for _ in added))
    elsewhere = [{"title": "Rank 1", "where": {"rank": 1}}]
    found = summary_of(replace(results, control=[decision]), elsewhere).trust.doubts
    assert "lora r10 adamw" in {doubt.reason: doubt.detail for doubt in found}["arms added after a look"]


def test_every_reason_of_a_flag_is_a_doubt_or_leaves_losses_as_good_as_they_were() -> None:
    own = {Reason.FEW_OBSERVATIONS, Reason.SHARED_RATE, Reason.LEAK}
    assert own | {*FLAGGED} | {*HARMLESS_TO_LOSSES} == {*Reason}


def test_a_confound_is_a_doubt_and_what_matters_for_speed_alone_is_none() -> None:
    confounded = sweep_of({**LOW, "weight_decay": 0.1}, HIGH)
    assert doubts(confounded)["weight_decay differs too"].detail.count("weight_decay: ") == 1
    costs = sweep_of({**LOW, "micro_batch": 4}, HIGH)
    assert not [reason for reason in doubts(costs) if "too" in reason]


def test_damaged_files_and_unfinished_trials_come_with_the_command_that_mends_them() -> None:
    command = "python -m sweep.run --resume /nowhere"
    damaged = doubts(replace(tuned(), damaged=["a/result.json is gone."]))["damaged files"]
    assert (damaged.level, damaged.remedy) == ("low", command)
    some = doubts(sweep_of(LOW, {**HIGH, "outcome": Outcome.INTERRUPTED}))["3 of 6 trials unfinished"]
    assert (some.level, some.remedy) == ("medium", command)


def test_an_arm_whose_seeds_did_not_all_finish_is_a_doubt() -> None:
    results = tuned()
    trials = results.trials.copy()
    trials.loc[0, "outcome"] = Outcome.DIVERGED
    found = doubts(replace(results, trials=trials))
    assert "2 of 3 seeds finished" in found["1 arm without all seeds"].detail


def test_the_gravest_doubt_decides_and_comes_first() -> None:
    trust = summary_of(replace(sweep_of(LOW, {**HIGH, "weight_decay": 0.1}, seeds=(1,))), TABLE).trust
    assert trust.level == trust.doubts[0].level == "low"
    assert [doubt.level for doubt in trust.doubts] == sorted((doubt.level for doubt in trust.doubts), key="lm".find)


def test_reasons_are_a_few_words() -> None:
    data = {"overlap_exact": 5, "overlap_opening": 370, "test_dialogues": 400}
    worst = sweep_of(LOW, {**HIGH, "weight_decay": 0.1, "outcome": Outcome.FAILED}, seeds=(1,))
    found = doubts(replace(worst, sweep={"data": data}, damaged=["x"]))
    assert found
    assert all(len(reason.split()) <= 5 for reason in found)


@pytest.mark.parametrize(
    "command",
    ["", "rm -rf /", "python -m sweep.run --resume here", "python -m sweep.run 'mine", "python -m sweep.run a\x1b[2J"],
)
def test_a_command_that_is_none_of_ours_is_not_offered(command: str) -> None:
    results = replace(tuned(), sweep={"command": command})
    assert again_with(results, seeds="3") == tuned_again(results) == ""


@pytest.mark.parametrize("setting", ["'space=[{lr: 0.001}]'", "space.0.lr=0.001", "variant=published"])
def test_a_preset_whose_arms_were_given_is_tuned_in_their_own_ranges(setting: str) -> None:
    spec = {"search": "grid", "space": [{**LOW, "lr": 1e-3}]}
    results = replace(tuned(), sweep={"command": f"python -m sweep.run study --set {setting}"}, spec=spec)
    words = shlex.split(tuned_again(results))
    assert words[:4] == ["python", "-m", "sweep.run", "study"]
    assert "search=tuned" in words
    assert yaml.safe_load(words[-1].removeprefix("space="))[0]["lr"]["high"] == pytest.approx(1e-2)


def test_a_command_of_the_installed_script_is_told_as_it_is_called_here() -> None:
    results = replace(tuned(), sweep={"command": "sft-sweep run demo --output=x --or-resume"}, spec={"search": "grid"})
    assert again_with(results, seeds="3") == "python -m sweep.run demo --set seeds=3"
    assert tuned_again(results) == "python -m sweep.run fair --set variant=demo"
    assert resume(results) == "python -m sweep.run --resume /nowhere"
