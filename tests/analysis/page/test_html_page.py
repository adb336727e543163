"""The page in sections: each by itself as it stands in the whole, with what explains it in one place."""

import html
import re
from dataclasses import replace

import pytest

from analysis.page import leaderboard
from analysis.page.content import Content, content_of
from analysis.page.glossary import GLOSSARY
from analysis.page.html_page import sections_of, to_html
from tests import synthetic_experiment as synthetic


@pytest.fixture(scope="module")
def content() -> Content:
    return replace(content_of(synthetic.in_memory({"rank": 1}, {"rank": 10}, {"rank": 100})), drawings={})


def test_every_section_of_the_page_comes_by_itself_under_its_id(content: Content) -> None:
    whole, sections = to_html(content), sections_of(content)
    assert next(iter(sections)) == "summary"
    assert "table-all-arms" in sections
    assert list(sections)[-2:] == ["setting", "glossary"]
    for anchor, section in sections.items():
        assert section in whole
        assert re.match(rf'<section id="{anchor}" ', section)
        assert f'<a href="#{anchor}">' in whole


def test_every_finding_is_told(content: Content) -> None:
    page = to_html(content)
    for finding in content.findings:
        for sentence in finding.sentences:
            assert page.count(f">{html.escape(sentence).replace('&#x27;', '&#39;')}<") >= 1, sentence


def test_a_comparison_table_shows_six_columns_at_once_and_hides_the_others_by_name(content: Content) -> None:
    section = sections_of(content)["table-all-arms"]
    table = section[section.index("<table") : section.index("</thead>")]
    assert table.count(" data-core>") == 6
    assert len(re.findall(r"hide-\d+", table)) == table.count("<th ") - 6


def test_the_flags_of_a_ledger_are_named_before_it_is_opened(content: Content) -> None:
    section = sections_of(content)["table-all-arms"]
    (named,) = re.findall(r'<details class="care".*?<summary>(.*?)</summary>', section, re.DOTALL)
    assert "One seed stands behind every row" in named


def test_terms_that_the_page_links_to_are_in_its_glossary(content: Content) -> None:
    linked = set(re.findall(r'href="#term-([^"]*)"', to_html(content)))
    assert linked
    assert linked <= {term.anchor for term in GLOSSARY}
    assert len({term.anchor for term in GLOSSARY}) == len(GLOSSARY)


def test_a_board_of_very_many_arms_lists_the_first_and_says_how_many_there_are(
    content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sections_of(content)["leaderboard"]
    monkeypatch.setattr(leaderboard, "MOST_PLACES", 2)
    first = sections_of(content)["leaderboard"]
    listed, all_listed = (re.findall(r'<tr class="[^"]*" data-arm="([^"]*)"', page) for page in (first, whole))
    assert (len(listed), len(all_listed)) == (2, 3)
    assert listed == all_listed[:2]
    assert "These are the first 2 of 3 arms" in first
    assert "These are the first" not in whole
