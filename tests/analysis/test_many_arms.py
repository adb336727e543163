"""Reports of many arms: which pairs are tested and what may be said of them, and what still fits on a page."""

import re
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import report
from analysis.comparison import told_apart
from analysis.comparison.choices import looks_at
from analysis.comparison.comparisons import adjusted, beyond_resamples
from analysis.comparison.evidence import evidence_of
from analysis.comparison.grouping import group_arms
from analysis.comparison.pair_choice import MOST_ARMS, choose_pairs
from analysis.comparison.pair_tests import compare_pairs, compare_rewards, compare_test_losses, compare_wins
from analysis.comparison.told_apart import (
    adjusted_differences,
    candidates,
    loss_difference,
    mean_loss,
    tied_with_leader,
)
from analysis.drawings.arm_styles import arm_styles
from analysis.drawings.losses import NAMED_ARMS, draw_losses
from analysis.figures.embed import script
from analysis.findings.what_it_shows import findings_of
from analysis.page import content as content_module
from analysis.page.content import content_of
from analysis.page.excerpts import MOST_ROWS
from analysis.results.experiment import Results
from analysis.statistics.intervals import Values
from analysis.statistics.multiple_tests import holm
from analysis.tables.columns import BEST_ARM, BEST_LOSS, LETTERS
from analysis.tables.comparison_table import ComparisonTable, build_tables
from analysis.tables.pairwise import pairwise_table
from analysis.tables.tuning_trials import describe_tuning
from analysis.verdict.summary import Summary, Trust
from tests import synthetic_experiment as synthetic

Losses = dict[str, dict[int, Values]]
WINDOWS = 40


def sweep(arms: int, seeds: int = 1, step: float = 0.002, answered: bool = False) -> Results:
    """Arms whose true test losses rise by `step` from one to the next, which come in no order."""
    order = np.random.default_rng(2).permutation(arms)
    changes = [{"lr": 1e-5 * (place + 1), "seed": seed} for place in range(arms) for seed in range(1, seeds + 1)]
    results = synthetic.in_memory(*changes, answered=answered)
    rank = np.repeat(order, seeds)
    results.trials["test_loss"] = 2.0 + step * rank + np.random.default_rng(3).normal(0, 1e-4, len(rank))
    return synthetic.with_window_losses(results)


def only_table(results: Results, all_pairs: bool = False) -> ComparisonTable:
    (table,) = build_tables(group_arms(results), results.spec, looks_at(results.spec), all_pairs)
    return table


@pytest.mark.parametrize(("arms", "pairs"), [(12, 66), (13, 23), (60, 117), (1000, 1997)])
def test_of_many_arms_the_leader_is_paired_with_all_and_each_with_its_neighbours(arms: int, pairs: int) -> None:
    labels = [str(number) for number in range(arms)]
    chosen = choose_pairs([labels])
    assert len(set(chosen.pairs)) == len(chosen.pairs) == pairs
    assert chosen.family == (None if arms <= MOST_ARMS else arms * (arms - 1) // 2)
    assert {(labels[0], other) for other in labels[1:]} <= set(chosen.pairs)
    assert all(pair in chosen.pairs for pair in pairwise(labels))
    assert set(choose_pairs([labels[:20]], all_pairs=True).pairs) == set(combinations(labels[:20], 2))


def test_a_report_of_60_arms_makes_a_few_tests_for_each_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    test = told_apart.loss_difference
    monkeypatch.setattr(told_apart, "loss_difference", lambda a, b: made.append(None) or test(a, b))
    monkeypatch.setattr(content_module, "what_mattered", lambda *_: None)  # tests of factors, not of arms
    content_of(sweep(60))
    assert len(made) == 2 * 60 - 3 + 59  # pairs for the table, and each against the lowest for the candidates


def test_p_values_of_chosen_pairs_count_every_pair_that_could_have_been_chosen() -> None:
    arms = group_arms(sweep(20))
    found = {frozenset((one.a, one.b)): one for one in adjusted(compare_test_losses(arms), looks=1)}
    every = adjusted(compare_test_losses(arms, all_pairs=True), looks=1)
    assert len(found) == 37
    assert len(every) == 190
    plain = {pair: loss_difference(*(arm.losses_by_seed for arm in arms if arm.label in pair)) for pair in found}
    raw = [one.test.p_value for one in plain.values() if one]
    smallest = min(found.values(), key=lambda one: one.p_value)
    assert smallest.p_value == pytest.approx(min(1.0, 190 * min(raw)))
    assert [found[pair].p_value for pair in plain] == pytest.approx(holm(raw, family=190))
    assert holm([0.01, 0.02], family=10) == pytest.approx([0.1, 0.18])


def test_rewards_and_wins_of_many_arms_are_those_of_chosen_pairs_too() -> None:
    arms = group_arms(sweep(14, answered=True))
    for compared in (adjusted(compare_rewards(arms), looks=1), adjusted(compare_wins(arms), looks=1)):
        assert len(compared) <= 2 * 14
        assert {one.family for one in compared} == {91}
    assert len(adjusted(compare_wins(arms, all_pairs=True), looks=1)) == 91
    assert beyond_resamples(adjusted(compare_rewards(arms), looks=1), looks=1) == ""
    assert "no pair of 91 can be told apart by reward" in beyond_resamples(
        adjusted(compare_rewards(arms), looks=1), looks=6
    )


def test_table_of_many_arms_begins_with_the_lowest_and_marks_what_may_be_best_without_letters() -> None:
    results = sweep(30, seeds=3)
    table = only_table(results)
    means = results.trials.groupby("arm")["test_loss"].mean()
    assert list(table.frame["arm"]) == list(means.sort_values().index)
    assert LETTERS not in table.frame
    assert all("@" in cell for cell in table.frame[BEST_LOSS])  # a column beside the marks, with a name of its own
    marks = list(table.frame[BEST_ARM])
    assert marks[0] == "lowest"
    assert set(marks[1:]) <= {"may be", "–"}
    assert marks[-1] == "–"
    assert table.leaders == {means.idxmin()}
    (note,) = [note for note in table.notes if "may be the best" in note]
    assert "p-values multiplied by the 29 arms that it could have been tested against; Gupta 1965" in note


def test_sentences_and_pairs_of_many_arms_say_their_family() -> None:
    results = sweep(30, seeds=3)
    table = only_table(results)
    (found,) = [
        finding
        for finding in findings_of(evidence_of(results), [table], describe_tuning(evidence_of(results)))
        if finding.topic == table.title
    ]
    said = " ".join(found.sentences)
    family = "Holm-adjusted for 435 pairs, any of which could have come to be among the 57 tested"
    assert family in said
    assert "letter" not in said
    assert re.search(r"With 95 % certainty (it is )?the arm of the lowest expected test loss of all 30", said)
    pairs = pairwise_table(table.arms, table.compared)
    assert pairs is not None
    assert len(pairs.frame) == 57
    assert "--all-pairs" in pairs.notes[0]
    assert family in " ".join(pairs.notes)
    every = pairwise_table(table.arms, compare_pairs(table.arms, 1, all_pairs=True), all_pairs=True)
    assert every is not None
    assert len(every.frame) == 435
    assert "Holm-adjusted for 435 pairs." in " ".join(every.notes)


def test_with_one_seed_the_candidates_are_told_of_these_trained_models() -> None:
    results = sweep(20)
    assert "One seed tells of these trained models, not of the arms." in " ".join(only_table(results).notes)
    bare = only_table(replace(results, window_losses=results.window_losses.iloc[:0]))
    assert list(bare.frame[BEST_ARM]) == ["lowest", *["–"] * 19]
    assert "no test says which others may be the best" in " ".join(bare.notes)


def test_arms_on_other_windows_have_a_lowest_of_their_own() -> None:
    results = sweep(20)
    for place in range(10):
        results.configs[f"trial-{place}"]["block_size"] = 32
    table = only_table(results)
    assert len(table.leaders) == 2
    assert all(one.family == 2 * 45 for one in table.compared.losses)
    assert list(table.frame[BEST_ARM]).count("lowest") == 2


def draw(rng: np.random.Generator, means: list[float], seeds: int, spread: list[float]) -> Losses:
    """Window losses of arms that share what a window and what a seed (its order of the data) add."""
    shared = (
        0.3 * rng.normal(size=WINDOWS) + 0.02 * rng.normal(size=(seeds, 1)) + 0.02 * rng.normal(size=(seeds, WINDOWS))
    )
    made: Losses = {}
    for number, (mean, size) in enumerate(zip(means, spread, strict=True)):
        of_arm = 0.03 * rng.normal(size=WINDOWS) + 0.01 * rng.normal(size=(seeds, WINDOWS))
        of_seed = 0.01 * rng.normal(size=(seeds, 1)) if seeds > 1 else 0.0  # one seed tells of the trained models
        made[str(number)] = dict(enumerate(mean + shared + size * (of_arm + of_seed)))
    return made


def chosen_differ(losses: Losses, adjusted_for_all: bool = True) -> bool:
    """Whether some pair with the leader or of neighbours is told apart."""
    pairs, family = choose_pairs([sorted(losses, key=lambda label: mean_loss(losses[label]))])
    found = adjusted_differences(losses, pairs, 1, family if adjusted_for_all else None)
    return any(one.test.p_value < 0.05 for one in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("spread", [[1.0] * 16, [0.3, 1.0, 1.0, 3.0] * 4])
def test_equal_arms_are_rarely_told_apart_though_the_pairs_are_chosen_by_their_losses(
    seeds: int, spread: list[float]
) -> None:
    rng = np.random.default_rng(11)
    draws = 200
    assert sum(chosen_differ(draw(rng, [3.0] * 16, seeds, spread)) for _ in range(draws)) <= 0.05 * draws


def test_adjusting_for_the_pairs_tested_alone_would_raise_the_false_alarms() -> None:
    rng = np.random.default_rng(12)
    draws = 150
    assert sum(chosen_differ(draw(rng, [3.0] * 16, 1, [1.0] * 16), False) for _ in range(draws)) > 0.1 * draws


@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_the_best_arm_is_rarely_left_out_of_the_candidates(spread: float) -> None:
    rng = np.random.default_rng(13)
    draws = 150
    found = [candidates(draw(rng, [2.99] + [3.0] * 15, 3, [spread] + [1.0] * 15), 1) for _ in range(draws)]
    assert sum("0" not in one for one in found) <= 0.05 * draws


def test_candidates_are_few_where_the_best_are_far_better() -> None:
    rng = np.random.default_rng(14)
    draws = 50
    # By about eleven standard errors of a difference: of sqrt(2 (0.03^2 / 40 windows + 0.01^2 / 5 seeds))
    drawn = [draw(rng, [2.9] * 2 + [3.0] * 14, 5, [1.0] * 16) for _ in range(draws)]
    assert sum(candidates(losses, 1) == {"0", "1"} for losses in drawn) >= 0.9 * draws
    assert tied_with_leader(drawn[0], looks=4) == candidates(drawn[0], looks=4)  # who gets further seeds


@pytest.mark.slow
def test_page_of_many_arms_shows_the_first_rows_and_names_the_file_with_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = replace(sweep(110, answered=True), directory=tmp_path)
    content = content_of(results)
    monkeypatch.setattr(report, "read_sweeps", lambda _: results)
    monkeypatch.setattr(report, "content_of", lambda *_: content)
    tables = tmp_path / "report" / "tables"
    tables.mkdir(parents=True)
    (tables / "of-an-earlier-report.csv").touch()
    built = report.build(tmp_path)
    page, text = built.html.read_text(), built.markdown.read_text()
    leader = built.tables[0].frame["arm"].iloc[0]
    assert page.count('<tr class="leader"') == 1
    assert f'<tr class="leader" data-arm="{leader}"><th scope="row">{leader}</th>' in page
    for told in (page, text):
        assert f"The first {MOST_ROWS} of 110 rows; report/tables/table-all-arms.csv has all." in told
    assert list(pd.read_csv(tables / "table-all-arms.csv")["arm"]) == list(built.tables[0].frame["arm"])
    assert not (tables / "of-an-earlier-report.csv").exists()
    assert len(page.encode()) - len(script()) < 0.75e6
    assert max(drawing.figure.get_figheight() for drawing in content.drawings.values()) < 16


def test_loss_curves_of_many_arms_name_the_leaders_in_colours_of_their_own_and_hold_the_others_in_a_band() -> None:
    results = sweep(100)
    arms = group_arms(results)
    styles = arm_styles(arms)
    drawing = draw_losses(only_table(results), results.curves, styles)
    assert drawing is not None
    panel = drawing.figure.axes[1]
    leaders = sorted(arms, key=lambda arm: arm.mean("test_loss").estimate)[:NAMED_ARMS]  # best ones are equal
    named = {line.get_label() for line in panel.lines if not str(line.get_label()).startswith("_")}
    assert named == {arm.label for arm in leaders}
    assert len({styles[arm.label] for arm in leaders}) == NAMED_ARMS
    assert len(panel.collections) == 1
    assert "Of these 88 the middle 90 % lie in the band at each step." in drawing.caption
    legend = drawing.figure.legends[0]
    drawing.figure.draw_without_rendering()
    assert legend.get_window_extent().width <= drawing.figure.bbox.width


def test_command_line_tests_all_pairs_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    nothing = Summary((), Trust("high", ()), ())

    def build(directories: list[Path], folder: Path | None, all_pairs: bool) -> report.Report:
        asked.update(directories=directories, all_pairs=all_pairs)
        return report.Report(tmp_path, summary=nothing, notes=[], findings=[], tables=[], ledgers={})

    monkeypatch.setattr(report, "build_together", build)
    for arguments, every in (([str(tmp_path)], False), ([str(tmp_path), "--all-pairs"], True)):
        assert report.main(arguments) == 0
        assert asked == {"directories": [tmp_path], "all_pairs": every}


def test_compared_of_few_arms_names_no_contenders() -> None:
    arms = group_arms(sweep(12))
    assert compare_pairs(arms).contenders == []
    assert all(one.family is None for one in compare_pairs(arms).losses)
