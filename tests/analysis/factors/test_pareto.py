"""analysis.factors.pareto and pareto_figure: which arms others dominate, and what a tenth of a nat takes."""

from dataclasses import replace

import pytest
from matplotlib.text import Text

from analysis.comparison.arms import Arm
from analysis.comparison.grouping import group_arms
from analysis.drawings.arm_styles import arm_styles
from analysis.drawings.drawing import Drawing
from analysis.drawings.pareto import GREY, draw_pareto
from analysis.factors.cost_table import show_costs
from analysis.factors.pareto import PRICES, costs, dominated, fronts_of, gained_costs, plane
from analysis.results.experiment import Results
from tests.planted_sweep import START, grid, planted

GIB = 2**30
MEMORY, TIME = PRICES


def sweep(*points: tuple[float, float, float]) -> Results:
    """One arm per (GiB, seconds, last test loss), told apart by its rank."""
    by_rank = dict(enumerate(points, 1))
    return planted(
        lambda c: by_rank[c["rank"]][2],
        [{"rank": rank} for rank in by_rank],
        peak_bytes=lambda c: by_rank[c["rank"]][0] * GIB,
        train_seconds=lambda c: by_rank[c["rank"]][1],
    )


def drawn(arms: list[Arm]) -> Drawing:
    drawing = draw_pareto(fronts_of(arms), arm_styles(arms))
    assert drawing is not None
    return drawing


def test_exactly_the_planted_arms_are_dominated_in_each_cost() -> None:
    arms = group_arms(sweep((1, 30, 2.0), (2, 20, 1.9), (3, 10, 1.95), (2, 40, 1.9), (0.5, 50, 2.5)))
    lost = {price.name: {p.arm.config["rank"] for p in plane(arms, price) if p.dominated} for price in PRICES}
    # 3 needs more memory than 2 and is worse; 1, 4 and 5 take longer than 2, and none of them is better.
    assert lost == {"peak memory": {3}, "training time": {1, 4, 5}}


def test_of_equal_points_none_dominates_and_one_better_coordinate_is_enough() -> None:
    assert dominated([(1, 2), (1, 2), (1, 3), (2, 2), (0, 9)]) == [False, False, True, True, False]


def test_means_over_seeds_decide_and_unfinished_arms_are_out() -> None:
    configs = [*grid(rank=[1, 10], seed=[1, 2]), {"rank": 100, "outcome": "diverged"}]
    results = planted(lambda c: {1: 2.0, 10: 1.0 + c["seed"], 100: 0.0}[c["rank"]], configs, peak_bytes=lambda c: GIB)
    points = plane(group_arms(results), MEMORY)
    assert [(p.arm.config["rank"], p.loss, p.dominated) for p in points] == [(1, 2.0, False), (10, 2.5, True)]


def test_costs_that_were_measured_differently_are_not_compared() -> None:
    results = sweep((1, 30, 2.0), (2, 20, 1.9))
    results = replace(results, trials=results.trials.assign(device=["NVIDIA A100", "NVIDIA H100"]))
    arms = group_arms(results)
    assert not plane(arms, TIME)
    assert len(plane(arms, MEMORY)) == 2
    assert len(drawn(arms).figure.axes) == 1


@pytest.mark.parametrize(("source", "compared"), [("cuda allocator", 0), ("cpu tensors", 2)])
def test_memory_of_several_kinds_of_gpu_is_not_compared_since_each_has_its_micro_batches(
    source: str, compared: int
) -> None:
    results = sweep((1, 30, 2.0), (2, 20, 1.9))
    on_two = results.trials.assign(peak_source=source)
    assert len(plane(group_arms(replace(results, trials=on_two.assign(device="Tesla T4"))), MEMORY)) == 2
    arms = group_arms(replace(results, trials=on_two.assign(device=["Tesla T4", "NVIDIA A100"])))
    assert len(plane(arms, MEMORY)) == compared


def test_cost_of_a_tenth_of_a_nat_is_exact() -> None:
    results = sweep((2, 7200, START - 0.4), (4, 14400, START - 1.0))
    made = costs(results, group_arms(results), "test_loss")
    assert [cost.gain.estimate for cost in made] == pytest.approx([1.0, 0.4])
    frame = show_costs(made, "test_loss", fronts_of([cost.arm for cost in made])).set_index("arm")
    first = frame.loc["lora r2 adamw"]  # 1 nat for 4 GiB and 4 h: a tenth takes 0.4 GiB, 0.4 h and 4 * 0.4 GiB h
    assert first["GiB per 0.1 nats/token"] == "0.400"
    assert first["training time, h"] == "4.00"
    assert first["min per 0.1 nats/token"] == "24.0"
    assert first["GiB·min per 0.1 nats/token"] == "96.0"
    second = frame.loc["lora r1 adamw"]  # 0.4 nats for 2 GiB and 2 h: a quarter of both for a tenth
    assert (second["GiB per 0.1 nats/token"], second["min per 0.1 nats/token"]) == ("0.500", "30.0")


def test_an_arm_that_gained_nothing_has_a_dash() -> None:
    results = sweep((1, 30, 2.0), (2, 20, START))
    made = costs(results, group_arms(results), "test_loss")
    frame = show_costs(made, "test_loss", fronts_of([cost.arm for cost in made])).set_index("arm")
    assert frame.loc["lora r2 adamw", "GiB per 0.1 nats/token"] == "–"
    assert frame.loc["lora r1 adamw", "GiB per 0.1 nats/token"] != "–"


def test_gains_are_told_in_validation_loss_where_the_test_loss_comes_only_at_the_end() -> None:
    results = sweep((1, 30, 2.0), (2, 20, 1.5))
    assert gained_costs(results, group_arms(results))[0] == "test_loss"
    renamed = results.curves.rename(columns={"test_loss": "validation_loss"})
    tuned = replace(results, curves=renamed, trials=results.trials.assign(validation_loss=[2.0, 1.5]))
    assert gained_costs(tuned, group_arms(tuned))[0] == "validation_loss"
    assert gained_costs(replace(results, curves=renamed), group_arms(results))[0] is None


def test_dominated_arms_are_grey_and_the_front_is_joined_and_named_in_its_colours() -> None:
    arms = group_arms(sweep((1, 30, 2.0), (2, 20, 1.9), (3, 10, 1.95)))
    drawing = drawn(arms)
    memory = drawing.figure.axes[0]
    line, *dots = memory.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1.0, 2.0], [2.0, 1.9])
    colours = {dot.get_xdata()[0]: dot.get_color() for dot in dots}
    styles = arm_styles(arms)
    assert colours == {1.0: styles[arms[0].label].colour, 2.0: styles[arms[1].label].colour, 3.0: GREY}
    assert {text.get_text() for text in memory.texts} == {arm.label for arm in arms}
    assert "not by a test" in drawing.caption


@pytest.mark.parametrize("number", [2, 7, 20])
def test_names_cover_no_other_name(number: int) -> None:
    arms = group_arms(sweep(*((1 + i * i % 7, 10 + i * 5 % 11, 2 - (i * 3 % 8) / 100) for i in range(number))))
    figure = drawn(arms).figure
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the leader
        assert len(boxes) >= min(number, 7)
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_nothing_is_drawn_of_a_single_arm() -> None:
    arms = group_arms(sweep((1, 30, 2.0)))
    assert draw_pareto(fronts_of(arms), arm_styles(arms)) is None
