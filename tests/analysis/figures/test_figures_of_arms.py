"""Figures of arms hold the arms' own numbers; none is drawn where there is nothing to draw."""

import math

import pytest

from analysis.comparison.grouping import group_arms
from analysis.factors.pareto import fronts_of
from analysis.figures.arm_styles import arm_styles
from analysis.figures.learning_rates import draw_learning_rates, rate_groups
from analysis.figures.memory import draw_memory
from analysis.figures.page_figure import PageFigure
from analysis.figures.parallel import draw_parallel
from analysis.figures.pareto import draw_pareto
from analysis.figures.wins import draw_wins
from analysis.tables.peak_memory import memory_of_arms
from basis.outcomes import Outcome
from tests.figure_arms import ARMS, FRONTS, RESULTS, STYLES
from tests.planted_sweep import grid, planted

ALIKE = group_arms(planted(lambda config: 2.0, [{"rank": 1}]))


def columns(figure: PageFigure | None, name: str) -> dict[str, list[float]]:
    assert figure is not None
    (renderer,) = [one for one in figure.figure.renderers if one.name == f"{figure.name}/{name}"]
    return dict(renderer.data_source.data)


def test_points_are_the_arms_losses_and_costs_with_their_intervals() -> None:
    figure = draw_pareto(FRONTS, STYLES)
    shown = columns(figure, "arms")
    for place, label in enumerate(shown["arm"]):
        (arm,) = [arm for arm in ARMS if arm.label == label]
        assert shown["loss"][place] == pytest.approx(arm.test_loss.estimate, rel=1e-5)
        assert shown["loss low"][place] == pytest.approx(arm.test_loss.low, rel=1e-5)
        assert shown["peak_bytes"][place] * 2**30 == pytest.approx(arm.largest("peak_bytes"), rel=1e-5)
    assert figure is not None
    front = {str(shown["arm"][place]) for place in figure.data["fronts"]["loss|peak_bytes"]}
    assert front == {point.arm.label for point in FRONTS[0].points if not point.dominated}


def test_more_wins_are_better_and_less_memory_is() -> None:
    figure = draw_pareto(FRONTS, STYLES)
    assert figure is not None
    assert figure.data["lower"] == {"loss": True, "peak_bytes": True, "wins": False, "parameters": True}
    best = figure.data["fronts"]["loss|wins"]
    assert [columns(figure, "arms")["arm"][place] for place in best] == ["lora r64 adamw lr=0.001"]


def test_rates_are_grouped_by_what_else_differs_and_the_best_is_marked() -> None:
    groups = rate_groups(ARMS, "test_loss")
    assert [group.label for group in groups] == ["lora r1 adamw", "lora r8 adamw", "lora r64 adamw"]
    assert {group.best.rate for group in groups} == {1e-3}
    shown = columns(draw_learning_rates(ARMS, [], "validation_loss"), "points")
    assert [rate for rate, marker in zip(shown["x"], shown["marker"], strict=True) if str(marker) == "star"] == [
        1e-3
    ] * 3


def test_a_rate_that_diverged_stands_at_the_top_and_leaves_the_scale_alone() -> None:
    configs = [*grid(rank=[1], lr=[3e-4, 1e-3]), {"rank": 1, "lr": 1.0, "outcome": Outcome.DIVERGED}]
    figure = draw_learning_rates(group_arms(planted(lambda config: 2 + config["lr"], configs)), [], "validation_loss")
    shown = columns(figure, "points")
    assert shown["marker"] == ["circle", "circle", "x"] or shown["marker"] == ["star", "circle", "x"]
    assert shown["y"][2] < 2.1


def test_an_arm_that_finished_astray_leaves_the_scales_alone() -> None:
    arms = group_arms(
        planted(
            lambda config: 4e7 if config["lr"] > 1 else 2.0 + 0.01 * config["rank"],
            grid(rank=[1, 8], lr=[1e-3, 100.0]),
            peak_bytes=lambda config: 2.0**30 * config["rank"],
        )
    )
    shown = columns(draw_learning_rates(arms, [], "validation_loss"), "points")
    assert max(shown["y"]) < 3
    assert [str(marker) for marker in shown["marker"]].count("triangle") == 2
    figure = draw_pareto(fronts_of(arms), arm_styles(arms))
    assert max(columns(figure, "arms")["loss"]) < 3
    assert figure is not None
    assert figure.caption.endswith(
        "Left out, with a loss more than 20 times the lowest: lora r1 adamw lr=100, lora r8 adamw lr=100."
    )


def test_a_line_is_a_trial_and_never_an_average() -> None:
    shown = columns(draw_parallel(ARMS), "trials")
    assert len(shown["arm"]) == len(RESULTS.trials)
    heights = [line[-1] for line in shown["y"]]
    assert heights == sorted(heights, reverse=True)
    assert (max(heights), min(heights)) == (1, 0)


def test_a_trial_without_a_loss_ends_before_that_axis() -> None:
    configs = [*grid(rank=[1, 8], lr=[1e-3]), {"rank": 64, "lr": 1e-3, "outcome": Outcome.DIVERGED}]
    shown = columns(draw_parallel(group_arms(planted(lambda config: 2.0 + config["rank"], configs))), "trials")
    assert [math.isnan(line[-1]) for line in shown["y"]].count(True) == 1


def test_parts_of_a_peak_add_up_to_it_and_its_prediction_is_marked() -> None:
    parts = {"peak_weight_bytes": 300.0, "peak_gradient_bytes": 100.0, "peak_optimizer_state_bytes": 200.0,
             "peak_logits_bytes": 50.0, "peak_activation_bytes": 350.0}  # fmt: skip
    metrics = {name: (lambda config, value=value: value * 2**20) for name, value in parts.items()}
    results = planted(
        lambda config: 2.0,
        [{"rank": 1}],
        peak_bytes=lambda config: 1000.0 * 2**20,
        predicted_peak_bytes=lambda config: 990.0 * 2**20,
        **metrics,
    )
    figure = draw_memory(memory_of_arms(group_arms(results)))
    bars = columns(figure, "bars")
    assert bars["right"] == [300, 400, 600, 650, 1000]
    assert bars["left"] == [0, *bars["right"][:-1]]
    assert columns(figure, "predicted")["x"] == [990]


def test_wins_go_right_losses_left_and_ties_lie_around_the_middle() -> None:
    figure = draw_wins(ARMS)
    bars, marks = columns(figure, "bars"), columns(figure, "intervals")
    first = str(bars["arm"][0])
    (arm,) = [arm for arm in ARMS if arm.label == first]
    wins = arm.wins
    assert wins is not None
    asked = wins.wins + wins.ties + wins.losses
    lost, tied, won = ((bars["left"][i], bars["right"][i]) for i in range(3))
    assert won[1] - won[0] == pytest.approx(wins.wins / asked, rel=1e-4)
    assert lost[1] - lost[0] == pytest.approx(wins.losses / asked, rel=1e-4)
    assert tied[0] == pytest.approx(-tied[1])
    assert marks["high"][0] - tied[1] == pytest.approx(wins.rate.high, rel=1e-4)


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw_pareto(fronts_of(ALIKE), arm_styles(ALIKE)) is None
    assert draw_learning_rates(ALIKE, [], "validation_loss") is None
    assert draw_parallel(ALIKE) is None
    assert draw_memory(memory_of_arms(ALIKE)) is None
    assert draw_wins(ALIKE) is None
