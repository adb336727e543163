"""A page that knows a curve up to a point is sent the rest of it, and nothing of curves that did not change."""

from sweep.live.known.growing_curves import GrowingCurves
from sweep.live.known.parts import Parts


def grown(steps: int) -> GrowingCurves:
    curves = GrowingCurves()
    for trial, arm in (("a0", "a"), ("a1", "a"), ("b0", "b")):
        curves.start(trial, arm)
        for step in range(steps):
            curves.add(trial, step, {"test_loss": 4.0 - step / steps, "train_loss": 4.0})
    assert curves.refresh(1)
    return curves


def test_a_page_is_sent_the_tail_of_the_curve_that_grew() -> None:
    curves = grown(10)
    assert {(m, a) for m, arms in curves.changed(0).items() for a in arms} == {
        *(("test_loss", "a"), ("test_loss", "b"), ("train_loss", "a"), ("train_loss", "b"))
    }
    curves.add("b0", 10, {"test_loss": 3.0})
    assert curves.refresh(2)
    sent = curves.changed(1)
    assert sent == {
        "test_loss": {
            "b": {
                "start": 10,
                "step": [10],
                "tokens": [None],
                "seconds": [None],
                "mean": [3.0],
                "low": [3.0],
                "high": [3.0],
                "seeds": [1],
            }
        }
    }
    assert curves.changed(2) == {}
    assert curves.changed(0)["test_loss"]["b"]["start"] == 0  # a page that has just been opened


def test_a_second_seed_changes_the_curve_from_where_it_is() -> None:
    curves = grown(10)
    curves.add("a0", 10, {"test_loss": 2.0})
    curves.refresh(2)
    curves.add("a1", 10, {"test_loss": 3.0})
    curves.refresh(3)
    sent = curves.changed(2)["test_loss"]["a"]
    assert (sent["start"], sent["mean"], sent["low"], sent["seeds"]) == (10, [2.5], [2.0], [2])
    assert curves.changed(1)["test_loss"]["a"]["start"] == 10


def test_a_trial_that_continues_from_a_checkpoint_repeats_steps() -> None:
    curves = grown(10)
    curves.start("b0", "b")
    curves.add("b0", 5, {"test_loss": 1.0})
    curves.refresh(2)
    sent = curves.changed(1)["test_loss"]["b"]
    assert (sent["start"], sent["step"], sent["mean"]) == (5, [5], [1.0])


def test_a_curve_of_thousands_of_points_is_sent_thinned_and_grows_by_its_tail() -> None:
    curves = grown(3000)
    assert len(curves.changed(0)["test_loss"]["b"]["step"]) <= 200
    curves.add("b0", 3000, {"test_loss": 1.0})
    curves.refresh(2)
    assert len(curves.changed(1)["test_loss"]["b"]["step"]) <= 2


def test_a_trial_that_failed_is_no_part_of_its_arm() -> None:
    curves = grown(10)
    curves.drop("b0")
    curves.add("a1", 5, {"test_loss": 1.0})
    curves.drop("a1")
    curves.refresh(2)
    sent = curves.changed(1)["test_loss"]
    assert (sent["b"]["start"], sent["b"]["mean"]) == (0, [])
    assert (sent["a"]["start"], set(sent["a"]["seeds"])) == (0, {1})
    curves.add("b0", 0, {"test_loss": 4.0})  # it is started again
    curves.refresh(3)
    assert curves.changed(2)["test_loss"]["b"]["mean"] == [4.0]


def test_parts_are_sent_when_they_change_and_whole_to_a_page_of_another_server() -> None:
    parts, other = Parts(), Parts()
    parts.set_all({"head": "<p>1"})
    first = parts.cursor
    parts.set_all({"head": "<p>1"})
    assert parts.changed(parts.since(first)) == {}
    parts.set_all({"head": "<p>1", "tail": "<p>2"})
    assert parts.changed(parts.since(first)) == {"tail": "<p>2"}
    for cursor in ("", "nonsense", other.cursor, first.replace("-1", "-99"), first + "9" * 30):
        assert len(parts.changed(parts.since(cursor))) == 2
    parts.set_all({"tail": "<p>2"})
    assert parts.ids == ["tail"]
