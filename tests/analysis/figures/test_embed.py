"""What a page holds of its figures: the same for the same numbers, small, and nothing that runs or loads."""

import json

from analysis.figures.embed import items, script
from tests.browser.figures import curves


def test_the_same_numbers_make_the_same_text_whatever_was_drawn_before() -> None:
    assert items({"curves": curves()}) == items({"curves": curves()})


def test_no_text_of_a_figure_ends_its_element() -> None:
    assert "<" not in items({"curves": curves()})["curves"]
    assert "</script" not in script()


def test_a_figure_holds_no_script() -> None:
    text = items({"curves": curves()})["curves"]
    assert "CustomJS" not in text
    assert set(json.loads(text)) == {"kind", "title", "description", "controls", "keys", "data", "item"}
