"""Responses side by side in a browser: the search, the order, and nothing of a response that runs."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from analysis.page.content import content_of
from analysis.page.html_page import to_html
from analysis.results.experiment import Results
from tests import synthetic_experiment as synthetic
from tests.browser.conftest import Opened


def even(*changes: dict[str, Any]) -> Results:
    """Arms all of whose rewards are alike, so that none disagrees."""
    results = synthetic.in_memory(*changes)
    results.responses["reward"] = -1.0
    return results


@pytest.fixture(scope="module")
def html() -> str:
    results = even({"rank": 1}, {"rank": 10})
    planted = {"<script>document.title = 'broken'</script>": 0, "</script></span><h2>Out</h2>{{ 7 * 7 }}": 1}
    for text, index in planted.items():
        results.responses.loc[results.responses["index"] == index, ["prompt", "response"]] = text
    results.responses.loc[results.responses["index"] == 20, "response"] = "A zebra (c++)."
    disputed = (results.responses["trial"] == "trial-0") & (results.responses["index"] == 7)
    results.responses.loc[disputed, "reward"] = 3.0
    return to_html(content_of(results))


def listed(page: Page) -> list[int]:
    """Numbers of the prompts that the search leaves, in the order of the page."""
    numbers: list[int] = page.evaluate(
        "[...document.querySelectorAll('.prompt:not([hidden])')].map((prompt) => Number(prompt.dataset.number))"
    )
    return numbers


@pytest.mark.parametrize(
    ("words", "numbers", "count"),
    [
        ("ZEBRA (c++", [21], "1 of 40 prompts"),
        ("question 39", [40], "1 of 40 prompts"),
        ("zebra 39", [], "0 of 40 prompts"),
    ],
)
def test_search_lists_prompts_with_all_words_in_them_or_in_responses(
    html: str, opened: Opened, words: str, numbers: list[int], count: str
) -> None:
    page = opened(html)
    page.get_by_label("Search prompts and responses").fill(words)
    assert listed(page) == numbers
    expect(page.locator("#found")).to_have_text(count)
    expect(page.locator("#nothing")).to_be_visible(visible=not numbers)


def test_ten_prompts_are_shown_until_all_are_asked_for(html: str, opened: Opened) -> None:
    page = opened(html)
    assert page.locator(".prompt:visible").count() == 10
    page.get_by_role("button", name="Show all 40 prompts").click()
    assert page.locator(".prompt:visible").count() == synthetic.PROMPTS


def test_order_can_be_switched(html: str, opened: Opened) -> None:
    page = opened(html)
    assert listed(page)[:2] == [8, 1]
    page.get_by_label("Order").select_option("asked")
    assert listed(page) == list(range(1, synthetic.PROMPTS + 1))


def test_nothing_of_a_prompt_or_response_runs_and_a_foreign_script_is_refused(
    html: str, browser: Any, tmp_path: Any
) -> None:
    page = browser.new_page()  # of its own, since a refused script is an error on the console
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    file = tmp_path / "page.html"
    file.write_text(html.replace("<main>", "<main><script>document.title = 'broken'</script >"), encoding="utf-8")
    page.goto(file.as_uri())
    assert "broken" not in page.title()
    assert "Content Security Policy" in "".join(refused)
    assert page.get_by_text("document.title = 'broken'").count() > 0
    assert page.locator("h2", has_text="Out").count() == 0
    page.close()
