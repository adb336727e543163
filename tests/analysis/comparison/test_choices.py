"""Which trials of a search compete, and what a report says of a best that was chosen by what it reports."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from analysis.comparison.choices import chooses_on_validation, group_of, looks_at, searched_fields, searched_for
from analysis.comparison.evidence import evidence_of
from analysis.comparison.grouping import group_arms
from analysis.fairness.ledger import table_ledgers
from analysis.findings.what_it_shows import findings_of
from analysis.results.experiment import Results
from analysis.tables.comparison_table import build_tables
from analysis.tables.tuning_trials import LISTED, describe_tuning
from basis.outcomes import Outcome
from basis.stages import Stage
from tests.synthetic_experiment import CONFIG, in_memory, with_window_losses

RATE = {"low": 1e-5, "high": 1e-1, "log": True}
SPACE = [
    {"method": "full", "optimizer": "adamw", "lr": RATE},
    {"method": "lora", "rank": [1, 8], "optimizer": ["adamw", "sgd"], "lr": RATE, "betas": None},
]


def spec(search: str = "random", **changes: Any) -> dict[str, Any]:
    return {"search": search, "choose_on": None, "space": SPACE, "tables": [], **changes}


def lora(rank: int = 1, optimizer: str = "adamw", lr: float = 1e-3) -> dict[str, Any]:
    return {"method": "lora", "rank": rank, "optimizer": optimizer, "lr": lr, "betas": [0.9, 0.95]}


def test_what_a_table_compares_has_a_best_of_its_own_and_all_else_is_searched() -> None:
    whole = spec()
    assert searched_for(whole, lora()) == ["rank", "optimizer", "lr"]
    assert group_of(whole, lora(1, "adamw", 1e-4)) == group_of(whole, lora(8, "sgd", 1e-2))
    ranks = spec(tables=[{"title": "Rank", "factor": "rank"}])
    assert searched_for(ranks, lora()) == ["optimizer", "lr"]
    assert group_of(ranks, lora(1, "sgd")) == group_of(ranks, lora(1, "adamw", 0.05)) != group_of(ranks, lora(8))
    full = {"method": "full", "rank": None, "optimizer": "adamw", "lr": 1e-3}
    assert group_of(whole, full) != group_of(whole, lora())


def test_under_tuned_search_ranges_alone_are_searched() -> None:
    assert searched_fields(spec("tuned")) == ["lr"]
    assert group_of(spec("tuned"), lora(1)) != group_of(spec("tuned"), lora(8))


@pytest.mark.parametrize(
    ("kept", "on_validation"),
    [
        ({"search": "tuned"}, True),
        ({"search": "grid", "choose_on": None}, False),
        ({"search": "optuna", "choose_on": None}, True),
        ({"search": "optuna", "choose_on": "test"}, False),
        ({"search": "random"}, False),  # kept before one could choose
    ],
)
def test_a_kept_spec_tells_where_its_sweep_chose(kept: dict[str, Any], on_validation: bool) -> None:
    assert chooses_on_validation(kept) == on_validation


RATES = (1e-4, 3e-4, 1e-3, 3e-3)


def searched(search: str, **changes: Any) -> Results:
    """Four learning rates of which a search has tested every one."""
    made = with_window_losses(in_memory(*({"lr": lr} for lr in RATES)))
    branch = {"method": "lora", "rank": 1, "optimizer": "adamw", "lr": RATE}
    return replace(made, spec={"search": search, "metric": "test_loss", "space": [branch], **changes})


def first_sentence(results: Results) -> str:
    first, *_ = findings_of(
        evidence_of(results),
        build_tables(group_arms(results), results.spec, looks_at(results.spec)),
        describe_tuning(evidence_of(results)),
    )
    return first.sentences[0]


def flags(results: Results) -> list[str]:
    (ledger,) = table_ledgers(
        evidence_of(results), build_tables(group_arms(results), results.spec, looks_at(results.spec))
    ).values()
    return ledger.flags


@pytest.mark.parametrize(("search", "who"), [("random", "a random search"), ("optuna", "Optuna")])
def test_a_best_that_was_chosen_by_what_is_reported_is_called_that_first_of_all_and_on_the_table(
    search: str, who: str
) -> None:
    results = searched(search, choose_on="test")
    said = (
        f"The best of this sweep was chosen by what is reported: {who}, for test loss, tried 4 configs on the test "
        "windows that they are reported on, so the best of 4 looks better here than it would on others."
    )
    assert first_sentence(results) == said
    assert said in flags(results)
    before = searched(search)  # a sweep of former days, whose spec knew no other way
    assert first_sentence(before) == said
    rewarded = searched(search, choose_on="test", metric="win_rate")
    assert "for win rate, tried 4 configs on the prompts and test windows" in first_sentence(rewarded)


def test_a_grid_and_a_choice_on_validation_are_not_called_that() -> None:
    for results in (searched("grid"), chosen(4)):
        assert "chosen by what is reported" not in first_sentence(results)
        assert not any("chosen by what is reported" in flag for flag in flags(results))


def test_a_choice_on_validation_is_told_with_the_number_of_trials() -> None:
    first, *_ = findings_of(evidence_of(chosen(4)), [], describe_tuning(evidence_of(chosen(4))))
    assert "Settings were chosen on validation windows, by 4 trials" in first.sentences[-1]
    assert "chosen" not in " ".join(
        findings_of(evidence_of(searched("grid")), [], describe_tuning(evidence_of(searched("grid"))))[0].sentences
    )


def test_the_best_of_many_is_called_that_where_a_best_is_named_and_only_there() -> None:
    def sentences(results: Results) -> str:
        arms = group_arms(results)
        return " ".join(
            s
            for finding in findings_of(
                evidence_of(results), build_tables(arms, {}, looks=1), describe_tuning(evidence_of(results))
            )
            for s in finding.sentences
        )

    apart = with_window_losses(in_memory(*({"rank": r, "seed": s} for r in (1, 10, 100) for s in (1, 2, 3))))
    assert "It is the best of 3 on the windows that it was chosen by" in sentences(apart)
    alike = in_memory(*({"weight_decay": w, "seed": s} for w in (0.0, 0.1, 0.2) for s in (1, 2, 3)))
    assert "singles out no arm" in sentences(with_window_losses(alike))
    assert "It is the best of" not in sentences(with_window_losses(alike))
    assert "It is the best of" not in sentences(with_window_losses(in_memory({"rank": 1}, {"rank": 1, "seed": 2})))


def chosen(trials: int, lost: int = 0) -> Results:
    """A random search that chose the learning rate of one rank among so many on validation windows."""
    final = in_memory({"lr": 1e-3, "evaluate_on": Stage.FINAL})
    rows, configs = [], {}
    for number in range(trials):
        lr = 1e-3 * 1.1 ** (number - trials // 2)
        name = f"tuning-{number}"
        configs[name] = {**CONFIG, "lr": lr, "seed": 7, "evaluate_on": Stage.TUNING}
        loss = 2 + abs(number - trials // 2 - lost)
        rows.append({"trial": name, **configs[name], "outcome": Outcome.FINISHED, "validation_loss": loss})
    branch = {"method": "lora", "rank": 1, "optimizer": "adamw", "lr": RATE}
    kept = {"search": "random", "choose_on": None, "space": [branch], "metric": "test_loss"}
    return replace(final, tuning=pd.DataFrame(rows), configs={**final.configs, **configs}, spec=kept)


def test_what_a_search_tried_on_validation_stays_visible_and_many_settings_are_cut_to_the_best() -> None:
    few = describe_tuning(evidence_of(chosen(5)))
    assert few is not None
    (row,) = few.frame.to_dict("records")
    assert (row["tuning trials"], row["chosen"]) == ("5", "0.001")
    assert row["lr: validation loss"].count(";") == 4
    many = describe_tuning(evidence_of(chosen(40)))
    assert many is not None
    (row,) = many.frame.to_dict("records")
    assert row["tuning trials"] == "40"
    assert row["lr: validation loss"].count(";") == LISTED
    assert row["lr: validation loss"].endswith("; and 28 more")
    assert "0.001: 2.0000" in row["lr: validation loss"]
    assert "tuning.csv has all" in many.notes[0]


def test_a_setting_that_was_tested_is_the_choice_though_a_better_one_has_finished_since() -> None:
    tuning = describe_tuning(evidence_of(chosen(5, lost=1)))
    assert tuning is not None
    assert list(tuning.frame["chosen"]) == ["0.001"]


def test_damaged_specs_and_configs_compete_with_nobody() -> None:
    odd = {"search": "random", "choose_on": None, "tables": [{"factor": ["rank"]}, 3], "space": [
        3, {"lr": {"low": "a", "high": 1}, "rank": {}}, {"lr": {"low": 1e-4, "high": 1e-2}}]}  # fmt: skip
    assert group_of({**odd, "space": odd["space"][1:]}, {"lr": "x"})[0] == -1
    assert group_of({**odd, "space": odd["space"][1:]}, {"lr": 1e-3})[0] == 1
    assert searched_fields(odd) == ["lr", "rank"]
    assert group_of({}, {}) == (-1, "{}")


def test_base_models_never_compete_with_each_other() -> None:
    branches = [{**branch, "model": ["A", "B"]} for branch in SPACE]
    searched = spec(space=branches)
    first, second = ({**lora(), "model": model} for model in ("A", "B"))
    assert "model" not in searched_for(searched, first)
    assert group_of(searched, first) != group_of(searched, second)
    assert group_of(searched, first) == group_of(searched, {**lora(8), "model": "A"})
