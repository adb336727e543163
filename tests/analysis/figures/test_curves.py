"""The figure of curves shows the arms' own numbers, and arms that went astray spoil no scale."""

import json

import pytest

from analysis.figures.curves import MOST_OTHERS, drawn_of
from analysis.figures.embed import items
from tests.browser.figures import ARMS, STEPS, curves, loss


def source(figure: object, name: str) -> dict[str, list[object]]:
    (found,) = [renderer.data_source for renderer in figure.renderers if renderer.name == name]
    return dict(found.data)


def test_a_line_is_the_mean_of_its_seeds_and_the_band_their_range() -> None:
    shown = source(curves().figure, "curves/lora r8 adamw")
    assert shown["step"] == list(STEPS)
    for name, seed in (("low", 0.0), ("mean", 0.5), ("high", 1.0)):
        assert shown[name] == pytest.approx([loss(2, seed, step) for step in STEPS], rel=1e-5)
    assert set(shown["seeds"]) == {2}
    assert shown["tokens"] == [64 * step for step in STEPS]


def test_a_diverged_arm_leaves_the_scale_to_the_others_and_the_caption_says_so() -> None:
    with_it, without = curves(), curves(len(ARMS) - 1)
    assert with_it.figure.y_range.end == pytest.approx(without.figure.y_range.end, rel=0.1)
    assert "cut off (test loss, train loss)" in with_it.caption
    assert "A cross marks the last finite value" in with_it.caption
    assert "cut off" not in without.caption
    assert source(with_it.figure, "curves/ends")["marker"] == ["x"]


def test_other_metrics_and_the_trials_travel_as_data() -> None:
    data = json.loads(items({"curves": curves()})["curves"])["data"]["metrics"]
    assert list(data) == ["test_loss", "train_loss"]
    assert data["train_loss"]["arms"]["full adamw"]["mean"][0] == pytest.approx(loss(0, 0.5, 10) - 0.1, rel=1e-5)
    assert [trial["trial"] for trial in data["test_loss"]["trials"]["full adamw"]] == ["full adamw 0", "full adamw 1"]


def test_the_description_says_where_each_line_ends() -> None:
    assert f"full adamw ends at {loss(0, 0.5, 100):.4g}" in curves().description


def test_of_very_many_arms_the_grey_ones_are_drawn_from_the_whole_ranking() -> None:
    many = [str(place) for place in range(10 * MOST_OTHERS)]
    assert drawn_of(many) == many[::10]
    assert drawn_of(many[:MOST_OTHERS]) == many[:MOST_OTHERS]
    assert len(drawn_of(many[: MOST_OTHERS + 1])) == MOST_OTHERS
