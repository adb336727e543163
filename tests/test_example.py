"""The worked example in docs/example: its report is built again from what is kept, and says what its page says."""

import re
import shutil
from pathlib import Path

import pytest

from analysis.report import main
from basis.packages import ROOT

EXAMPLE = ROOT / "docs" / "example"
NUMBER = re.compile(r"[-+]?\d+\.\d{4} \[[^]]+\]")
"""An estimate with its interval."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of the kept experiment, built anew, without Markdown's escapes."""
    experiment = Path(shutil.copytree(EXAMPLE / "experiment", tmp_path_factory.mktemp("example") / "experiment"))
    assert main([str(experiment)]) == 0
    return (experiment / "report" / "report.md").read_text(encoding="utf-8").replace("\\", "")


def test_the_kept_experiment_is_whole_but_for_its_weights(report: str) -> None:
    assert "8 of 8 trials finished." in report
    assert "Damaged files" not in report


def test_its_verdicts_say_which_arms_cannot_be_told_apart_and_what_saves_memory(report: str) -> None:
    assert "**Lowest loss: full adamw or lora r64 adamw, not told apart.** lowest mean 0.847" in report
    assert "**Saves memory: lora r8 adamw.** 46 % less memory than full adamw · loss +0.013 [0.007, 0.018]" in report
    assert "**Trust: medium.**" in report


def test_every_figure_with_an_interval_on_the_page_is_the_reports(report: str) -> None:
    page = " ".join((EXAMPLE / "README.md").read_text(encoding="utf-8").split())
    figures = NUMBER.findall(page)
    assert len(figures) >= 4
    assert [figure for figure in figures if figure not in report] == []


def test_the_answers_on_the_page_are_among_those_that_were_given() -> None:
    page = (EXAMPLE / "README.md").read_text(encoding="utf-8").replace("\\", "")
    [before] = EXAMPLE.glob("experiment/base/responses.jsonl")
    [after] = EXAMPLE.glob("experiment/full-*-s0-*/responses.jsonl")
    quoted = re.findall(r"^> \*(Before|After):\* (.*?)(?=^>$|^$)", page, re.MULTILINE | re.DOTALL)
    assert [when for when, _ in quoted] == ["Before", "After"] * 3
    given = {"Before": _words(before.read_text(encoding="utf-8")), "After": _words(after.read_text(encoding="utf-8"))}
    for when, answer in quoted:
        assert _words(answer.replace("\n> ", " ").replace("[...]", "")) in given[when]


def _words(text: str) -> str:
    """A text without white space, as files and pages break it in different places."""
    return re.sub(r"\\n|\\u2019|\N{RIGHT SINGLE QUOTATION MARK}|\s", "", text)
