"""A real sweep, watched and steered in a browser: what was done there stands in its directory, resume and report."""

import csv
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from basis.control_record import read_decisions
from basis.packages import ROOT
from tests.browser.conftest import Opened
from tests.browser.test_live_page import POINTS
from tests.conftest import Parts, command, run
from tests.sweep.test_interrupted_sweeps import LONG

STARTING = 90_000
"""Milliseconds within which Ray has started and a first trial has reported, on a busy machine too."""


def await_more_points(page: Page, arm: str, than: int) -> int:
    """Wait until the line of an arm has more points; the page's policy lets playwright evaluate no condition in it."""
    for _ in range(STARTING // 100):
        if (points := page.evaluate(POINTS, arm)) > than:
            return int(points)
        page.wait_for_timeout(100)
    raise AssertionError(f"{arm} has {page.evaluate(POINTS, arm)} points after {STARTING / 1000} s")


def outcomes(experiment: Path) -> dict[str, str]:
    with (experiment / "report" / "trials.csv").open(encoding="utf-8", newline="") as file:
        return {row["trial"]: row["outcome"] for row in csv.DictReader(file)}


@contextmanager
def driver_of(words: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A command that runs beside the test, and never longer than it."""
    driver = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield driver
    finally:
        driver.send_signal(signal.SIGINT)
        driver.communicate()


@pytest.mark.slow
def test_a_sweep_is_watched_and_steered_in_a_browser(
    page: Page, opened: Opened, parts: Parts, environment: dict[str, str], tmp_path: Path
) -> None:
    space = [
        {"method": "lora", "rank": [2, 4], "optimizer": "adamw", "lr": 1e-2, "steps": 20},
        {"method": "full", "optimizer": "adamw", "lr": 1e-3},
    ]
    spec = parts.write_spec(tmp_path, space=space, trial=LONG, reward={"model": None}, checkpoint_seconds=0)
    experiment = tmp_path / "experiment"
    with driver_of(command(spec, "--output", experiment, "--watch"), environment) as driver:
        assert driver.stdout is not None
        address = next(found[0] for line in driver.stdout if (found := re.search(r"http://127\S+", line)))
        page.goto(address, timeout=STARTING)
        stopped, cloned = steered(page, experiment)
        assert driver.wait(timeout=STARTING / 1000) == 0

    # Directory, report and a resumed sweep keep to it.
    assert (experiment / cloned).is_dir()
    ended = outcomes(experiment)
    assert (ended[stopped], ended[cloned]) == ("stopped by request", "finished")
    opened((experiment / "report" / "report.html").read_text(encoding="utf-8"))
    expect(page.locator("main")).to_contain_text("from the page")
    resumed = run(environment, "--resume", experiment)
    assert resumed.returncode == 0, resumed.stderr
    assert outcomes(experiment) == ended


def steered(page: Page, experiment: Path) -> tuple[str, str]:
    """Watch the sweep, sort its arms, and have one trial cloned and stopped; the names of both."""
    page.on("dialog", lambda dialog: dialog.accept())
    expect(page.locator("#live-progress")).to_contain_text("running", timeout=STARTING)
    before = await_more_points(page, "full adamw", 0)
    assert await_more_points(page, "full adamw", before) > before

    board = page.locator("#leaderboard table.data tbody tr[data-arm]")
    expect(board).to_have_count(2, timeout=STARTING)
    first = board.first.get_attribute("data-arm")
    heading = page.locator("#leaderboard th").first
    while heading.get_attribute("aria-sort") != "descending":
        heading.get_by_role("button").click()
    assert board.first.get_attribute("data-arm") != first

    page.locator("#live-running").get_by_role("link", name="full adamw").click()
    expect(page.locator("#trial-config")).to_contain_text("0.001")
    stopped = page.url.rpartition("/")[2]
    page.locator("#clone-field").select_option("steps")
    page.locator("#clone-value").fill("20")
    page.get_by_role("button", name="Clone").click()
    expect(page.locator("#live-answers")).to_contain_text("added", timeout=STARTING)
    page.get_by_role("button", name="Stop this trial").click()
    expect(page.locator("#live-answers")).to_contain_text("stops at its next report", timeout=STARTING)
    page.goto("about:blank")  # the server is about to end, which an open page would tell its console
    cloned = next(name for decision in read_decisions(experiment) for name in decision.trials if name != stopped)
    return stopped, cloned
