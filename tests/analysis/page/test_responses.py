"""Every prompt with all responses, the most disputed first; and the page that can be searched."""

import base64
import dataclasses
import hashlib
import math
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from analysis import report
from analysis.comparison.grouping import group_arms
from analysis.page import responses
from analysis.page.content import content_of
from analysis.page.markdown import to_markdown
from analysis.page.responses import SideBySide, side_by_side
from analysis.results.experiment import Results
from tests import synthetic_experiment as synthetic


def made(results: Results) -> SideBySide:
    found = side_by_side(results.responses, group_arms(results))
    assert found is not None
    return found


def reward(results: Results, trial: int, index: int | None, value: float | str) -> None:
    """Plant a reward: of one prompt, or of all."""
    rows = results.responses["trial"] == f"trial-{trial}"
    if index is not None:
        rows &= results.responses["index"] == index
    results.responses["reward"] = results.responses["reward"].astype(object)
    results.responses.loc[rows, "reward"] = value


def without_line(results: Results, trial: int, index: int) -> Results:
    """As if a trial's responses.jsonl had lost a line."""
    rows = results.responses
    lost = (rows["trial"] == f"trial-{trial}") & (rows["index"] == index)
    return dataclasses.replace(results, responses=rows[~lost])


def even(*changes: dict[str, object]) -> Results:
    """Trials whose every reward is 0, against -1 of the base model."""
    results = synthetic.in_memory(*changes)
    results.responses["reward"] = 0.0
    return results


def test_prompts_come_by_spread_of_the_rewards_and_then_as_asked() -> None:
    results = even({"rank": 1}, {"rank": 10}, {"rank": 100})
    reward(results, 0, 7, 3.0)
    reward(results, 2, 30, -4.0)
    reward(results, 0, 30, 1.0)
    found = made(results)
    assert [(prompt.number, prompt.spread) for prompt in found.prompts[:3]] == [(31, 5.0), (8, 3.0), (1, 0.0)]
    others = [prompt.number for prompt in found.prompts[2:]]
    assert others == sorted(set(range(1, synthetic.PROMPTS + 1)) - {31, 8})


def test_spread_leaves_out_the_base_model_and_answers_without_a_reward() -> None:
    results = even({"rank": 1}, {"rank": 10}, {"rank": 100})
    reward(results, 0, 3, math.nan)
    reward(results, 1, 3, "lost")
    found = {prompt.number: prompt for prompt in made(results).prompts}
    assert found[1].spread == 0.0  # though the base model's is 1 lower
    assert math.isnan(found[4].spread)
    assert [answer.outcome for answer in found[4].answers] == ["", "", "wins"]


def test_each_answer_stands_with_its_reward_and_how_it_does_against_the_base_model() -> None:
    results = even({"rank": 1}, {"rank": 10}, {"rank": 100})
    for trial, value in enumerate((-0.5, -1.0, -1.5)):
        reward(results, trial, 5, value)
    first = made(results).prompts[0]
    assert (first.text, first.bases[None].response, first.bases[None].reward) == ("Question 5?", "Base answer 5.", -1.0)
    assert [(a.arm, a.response, a.reward, a.outcome) for a in first.answers] == [
        ("lora r1 adamw", "Answer 5 of rank 1.", -0.5, "wins"),
        ("lora r10 adamw", "Answer 5 of rank 10.", -1.0, "ties"),
        ("lora r100 adamw", "Answer 5 of rank 100.", -1.5, "loses"),
    ]


def test_an_arm_speaks_through_its_seed_of_highest_mean_reward() -> None:
    results = even({"seed": 1}, {"seed": 2}, {"seed": 3}, {"rank": 10, "seed": 2})
    reward(results, 1, None, 0.25)
    reward(results, 2, 0, 9.0)  # 9 / 40 on average, less than 0.25
    found = made(results)
    assert {answer.seed for prompt in found.prompts for answer in prompt.answers} == {"seed 2, best of 3", ""}
    assert found.prompts[0].answers[0].reward == 0.25
    assert "flatters arms with more seeds" in " ".join(found.notes)


def test_of_equally_good_seeds_the_lowest_speaks() -> None:
    found = made(even({"seed": 5}, {"seed": 3}, {"seed": 4}))
    assert found.prompts[0].answers[0].seed == "seed 3, best of 3"


def test_seeds_are_judged_on_the_prompts_that_all_of_them_answered() -> None:
    results = even({"seed": 1}, {"seed": 2})
    reward(results, 0, 0, -9.0)
    reward(results, 0, 1, 0.5)
    assert made(without_line(results, 1, 0)).prompts[0].answers[0].seed == "seed 1, best of 2"


def test_a_lost_line_loses_one_answer_and_no_prompt() -> None:
    results = without_line(even({"rank": 1}, {"rank": 10}), 1, 4)
    found = made(results)
    assert sorted(prompt.number for prompt in found.prompts) == list(range(1, synthetic.PROMPTS + 1))
    (prompt,) = [prompt for prompt in found.prompts if prompt.number == 5]
    assert [answer.response for answer in prompt.answers] == ["Answer 4 of rank 1.", None]
    assert "<i>not kept</i>" in report.to_html(content_of(results))


def test_trials_that_did_not_finish_and_arms_without_responses_are_counted_and_not_shown() -> None:
    found = made(synthetic.in_memory({"rank": 1}, {"rank": 10, "outcome": "stopped early"}))
    assert {answer.arm for prompt in found.prompts for answer in prompt.answers} == {"lora r1 adamw"}
    assert "1 of 2 arms have no finished trial with responses and are not shown." in found.notes
    assert [prompt.number for prompt in found.prompts] == list(range(1, synthetic.PROMPTS + 1))


def test_of_many_arms_those_of_lowest_test_loss_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "SHOWN_ARMS", 2)
    found = made(synthetic.in_memory({"rank": 100}, {"rank": 1}, {"method": "full", "rank": None}))
    # by formula of the test losses, full < rank 100 < rank 1; the order stays that of the sweep
    assert [answer.arm for answer in found.prompts[0].answers] == ["lora r100 adamw", "full adamw"]
    assert "Of 3 arms with responses the 2 of lowest mean test loss are shown" in " ".join(found.notes)


@pytest.mark.slow
@pytest.mark.parametrize(("prompts", "letter"), [(1_500, "é"), (40, "<")])
def test_a_page_of_long_texts_stays_below_3_mb_and_says_what_it_leaves_out(prompts: int, letter: str) -> None:
    results = even({"rank": 1}, {"rank": 10})
    one = results.responses[results.responses["index"] == 0]
    many = pd.concat([one.assign(index=place, prompt=f"{place}? " + letter * 300) for place in range(prompts)])
    long = many.assign(response=letter * 200_000 if prompts == 40 else letter * 300)
    found = side_by_side(long, group_arms(results))
    assert found is not None
    assert 10 < len(found.prompts) < prompts
    said = " ".join(found.notes)
    assert f"Of {prompts:,} prompts the first {len(found.prompts):,} are here, as many as 1.5 MB hold" in said
    assert ("Of longer texts the first 5,000 characters are shown." in said) == (prompts == 40)
    content = content_of(results)
    texts = len(report.to_html(dataclasses.replace(content, responses=found)).encode())
    texts -= len(report.to_html(dataclasses.replace(content, responses=None)).encode())
    assert 1.0e6 < texts < responses.MOST_BYTES + 10_000


def test_without_responses_the_section_is_left_out() -> None:
    content = content_of(synthetic.in_memory({}, answered=False))
    assert content.responses is None
    page = report.to_html(content)
    assert 'id="responses"' not in page
    assert "side by side" not in to_markdown(content)


def test_responses_without_rewards_are_shown_as_asked() -> None:
    results = synthetic.in_memory({"seed": 1}, {"rank": 10}, {"seed": 2})
    unscored = results.responses.drop(columns=["reward", "base_reward", "base_response"])
    found = made(dataclasses.replace(results, responses=unscored))
    assert [prompt.number for prompt in found.prompts] == list(range(1, synthetic.PROMPTS + 1))
    assert found.prompts[3].bases[None].response is None
    assert found.prompts[3].answers[0].response == "Answer 3 of rank 1."


@pytest.mark.parametrize(("arms", "offered"), [(1, False), (2, True)])
def test_page_offers_an_order_where_two_arms_can_disagree(arms: int, offered: bool) -> None:
    page = report.to_html(content_of(even(*[{"rank": rank} for rank in (1, 10)[:arms]])))
    assert ('<select id="order">' in page) == offered
    assert ('<select id="order" disabled>' in page) == (not offered)


@pytest.fixture(scope="module")
def page() -> str:
    results = even({"rank": 1}, {"rank": 10})
    planted = {"<script>document.title = 'broken'</script>": 0, "</script></span><h2>Out</h2>{{ 7 * 7 }}\u2028": 1}
    for text, index in planted.items():
        results.responses.loc[results.responses["index"] == index, ["prompt", "response"]] = text
    results.responses.loc[results.responses["index"] == 20, "response"] = "A zebra (c++)."
    return report.to_html(content_of(results))


class Scripts(HTMLParser):
    """The scripts of a page that a browser would run, as it tells them from text and data."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._runs = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._runs = tag == "script" and dict(attrs).get("type") is None
        if self._runs:
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._runs = False

    def handle_data(self, data: str) -> None:
        if self._runs:
            self.texts[-1] += data


def test_a_response_cannot_leave_its_place_in_the_page(page: str) -> None:
    assert not any("broken" in script for script in Scripts(page).texts)
    assert "<h2>Out" not in page
    assert page.count("&lt;/script&gt;&lt;/span&gt;&lt;h2&gt;Out&lt;/h2&gt;{{ 7 * 7 }}\u2028") == 3  # prompt and arms


def test_browser_may_run_the_pages_own_scripts_alone_and_load_nothing(page: str) -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    scripts = Scripts(page).texts
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; ")
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert policy.endswith(f"; script-src {allowed}")


def test_without_javascript_every_prompt_is_there_and_the_search_is_not(page: str) -> None:
    assert page.count('<details class="prompt"') == synthetic.PROMPTS
    assert re.search(r'<form class="tools" id="tools" role="search" hidden>', page)


def test_markdown_has_the_first_prompts() -> None:
    results = even({"rank": 1}, {"rank": 10})
    reward(results, 0, 7, 3.0)
    text = to_markdown(content_of(results))
    assert "The first 5 of the 40 prompts in `report.html`." in text
    assert "**Question 7?** (spread 3.00)" in text
    assert "\n- base model, -1.00: Base answer 7.\n- lora r1 adamw, +3.00 wins: Answer 7 of rank 1.\n" in text


def test_markdown_stays_text_whatever_a_model_says() -> None:
    results = even({"rank": 1}, {"rank": 10})
    reward(results, 0, 7, 3.0)
    results.responses["response"] = "O\x08 29\x1b[31m\x00 \u00e9\U0001f600"
    assert "wins: O\ufffd 29\ufffd\\[31m\ufffd \u00e9\U0001f600" in to_markdown(content_of(results))


def test_an_arm_stands_beside_the_answer_of_its_own_base_model() -> None:
    results = synthetic.of_models({"A": ("words", "rows"), "B": ("letters", "rows")}, seeds=1)
    of_b = results.responses["trial"] == "trial-1"
    results.responses.loc[of_b, ["base_response", "base_reward"]] = ["B's own answer", 9.0]
    found = side_by_side(results.responses, group_arms(results))
    assert found is not None
    (prompt,) = [prompt for prompt in found.prompts if prompt.number == 2]
    assert {model: (base.arm, base.response) for model, base in prompt.bases.items()} == {
        "A": ("base model A", "Base answer 1."),
        "B": ("base model B", "B's own answer"),
    }
    assert [answer.outcome for answer in prompt.answers] == ["wins", "loses"]
    assert "by its reward against the arm's own base model's" in " ".join(found.notes)
