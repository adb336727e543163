"""A live page in a browser: what the reader did stays while the sweep goes on."""

import time
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from sweep.live.known.analysed import Analysis
from tests.sweep.live.made_up import TRIALS, row, running, served, tell
from tests.sweep.progress.made_up import end

SECTION = """<section id="summary"><h2>In short</h2><p>after {finished}</p>
<details id="why"><summary>How we know</summary><p>by tests</p></details>
<p style="height: 1500px">tall {tall}</p></section>"""
TABLE = """<section id="table-all">
<div class="table" data-table="all"><div class="tools"></div><table class="data">
<thead><tr><th data-key="arm" data-core>arm</th><th data-key="loss" data-core>loss</th></tr></thead>
<tbody><tr data-arm="a"><th>a</th><td>3</td></tr>
<tr data-arm="b"><th>b</th><td>{loss}</td></tr>
<tr data-arm="c"><th>c</th><td>1</td></tr></tbody>
</table></div><label>words <input id="typed"></label></section>"""


def report(directory: Path) -> Analysis:
    finished = (directory / "events.jsonl").read_text().count('"end"')
    tall = "<br>" * 10 * finished
    sections = {"summary": SECTION.format(finished=finished, tall=tall), "table-all": TABLE.format(loss=finished)}
    return Analysis(title=directory.name, sections=sections)


def test_a_page_goes_on_with_the_sweep_and_the_reader_stays_where_he_is(page: Page, tmp_path: Path) -> None:
    running(tmp_path / "one", time.time())
    with served(tmp_path, report) as access:
        page.goto(access.new_address())
        expect(page).to_have_url(f"http://127.0.0.1:{access.port}/")
        expect(page.locator("#experiments")).to_contain_text("1 / 4")
        page.get_by_role("link", name="one").click()
        expect(page.locator("#live-progress")).to_contain_text("1 of 4 trials ended")
        expect(page.locator("#summary")).to_contain_text("after 1")

        page.get_by_text("How we know").click()
        page.get_by_role("button", name="loss").click()
        page.get_by_label("words").fill("half a wo")
        typed = page.get_by_label("words").bounding_box()
        expect(page.locator("#table-all tbody th")).to_have_text(["b", "c", "a"])

        tell(tmp_path / "one", row(TRIALS[1], time.time(), 100, 2.0), end(TRIALS[1], time.time()))
        expect(page.locator("#summary")).to_contain_text("after 2", timeout=10_000)
        expect(page.locator("#table-all tbody th")).to_have_text(["c", "b", "a"])  # b has 2 now
        expect(page.locator("#why")).to_have_attribute("open", "")
        expect(page.get_by_label("words")).to_have_value("half a wo")
        expect(page.get_by_label("words")).to_be_focused()
        moved = page.get_by_label("words").bounding_box()
        assert typed is not None
        assert moved is not None
        assert abs(moved["y"] - typed["y"]) < 2  # though the section above it grew


def test_a_trial_is_opened_and_its_curve_grows(page: Page, tmp_path: Path) -> None:
    running(tmp_path / "one", time.time())
    with served(tmp_path / "one", report) as access:
        page.goto(access.new_address())
        page.locator("#live-running").get_by_role("link", name="full adamw").click()
        expect(page.locator("#trial-state")).to_contain_text("step 50 of 100")
        line = page.locator("#trial-curves polyline").first
        before = len((line.get_attribute("points") or "").split())
        tell(tmp_path / "one", row(TRIALS[1], time.time(), 75, 3.4))
        expect(page.locator("#trial-state")).to_contain_text("step 75 of 100")
        assert len((line.get_attribute("points") or "").split()) == before + 1


POINTS = """arm => {
  const shown = window.sweepFigures?.figures.get("curves");
  return shown?.box.dataset.shown ? shown.spec.data.metrics.test_loss.arms[arm]?.step.length ?? 0 : -1;
}"""


def await_points(page: Page, arm: str, count: int) -> None:
    """Wait until an arm's line has so many points; the page's policy lets playwright evaluate no condition in it."""
    for _ in range(100):
        if page.evaluate(POINTS, arm) == count:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{arm} has {page.evaluate(POINTS, arm)} points")


def test_curves_of_arms_grow_and_join_the_figure_as_they_start(page: Page, tmp_path: Path) -> None:
    now = time.time()
    running(tmp_path / "one", now)
    with served(tmp_path / "one", lambda directory: Analysis()) as access:
        page.goto(access.new_address())
        await_points(page, "full adamw", 3)
        tell(tmp_path / "one", row(TRIALS[1], now, 75, 3.4))
        await_points(page, "full adamw", 4)
        tell(tmp_path / "one", *(row(TRIALS[2], now, step, 3.9 - step / 100) for step in (0, 25, 50)))
        await_points(page, "lora r8", 3)
        names = page.evaluate("window.sweepFigures.figures.get('curves').plot.renderers.map(one => one.name)")
        assert "curves/lora r8" in names


@pytest.mark.slow
def test_pages_fit_a_telephone_and_a_dark_room_and_can_be_read_to_one(page: Page, tmp_path: Path) -> None:
    running(tmp_path / "one with a rather long name of an experiment", time.time())
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    with served(tmp_path, report) as access:
        page.goto(access.new_address())
        name = "one%20with%20a%20rather%20long%20name%20of%20an%20experiment"
        for path in ("/", f"/e/{name}", f"/e/{name}/t/{TRIALS[1].trial}", "/new", f"/compare?e={name}"):
            page.goto(f"http://127.0.0.1:{access.port}{path}")
            page.wait_for_load_state("networkidle")
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 390, path
            found = Axe().run(page).response["violations"]
            assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], path
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"


def test_another_site_can_neither_read_nor_change_anything(browser: Browser, tmp_path: Path) -> None:
    running(tmp_path / "one", time.time())
    context = browser.new_context()
    page = context.new_page()
    with served(tmp_path, report) as access, served(tmp_path, report) as other:  # another port is another origin
        page.goto(access.new_address())
        page.goto(other.new_address())
        foreign = f"http://127.0.0.1:{access.port}"
        read = "url => fetch(url, {credentials: 'include'}).then(() => 'read', () => 'refused')"
        change = """url => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include', body: '{}'})
            .then(answer => answer.type, () => 'refused')"""
        assert page.evaluate(read, f"{foreign}/deltas") == "refused"
        assert page.evaluate(change, f"{foreign}/new/start") == "refused"
        page.goto("about:blank")
        assert page.evaluate(read, f"{foreign}/deltas") == "refused"
        assert page.evaluate(change, f"{foreign}/new/start") in ("opaque", "refused")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    context.close()


def test_a_lost_connection_is_told_and_found_again(browser: Browser, tmp_path: Path) -> None:
    running(tmp_path / "one", time.time())
    context = browser.new_context()
    page = context.new_page()
    with served(tmp_path / "one", report) as access:
        page.goto(access.new_address())
        expect(page.locator("#live-progress")).to_contain_text("1 of 4")
        expect(page.locator("#lost")).to_be_hidden()
        context.set_offline(True)
        expect(page.locator("#lost")).to_contain_text("trying again", timeout=10_000)
        context.set_offline(False)
        expect(page.locator("#lost")).to_be_hidden(timeout=10_000)
    expect(page.locator("#lost")).to_contain_text("trying again", timeout=10_000)
    context.close()


def test_a_spec_is_checked_while_it_is_typed(page: Page, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with served(tmp_path / "folder", report) as access:
        page.goto(access.new_address())
        page.get_by_role("link", name="Start a new sweep").click()
        expect(page.locator("#checked")).to_contain_text("The spec is valid: demo")
        page.get_by_label("The spec, as YAML").fill("extends: demo\nname: x\ntrial:\n  step: 3\n")
        expect(page.locator("#checked")).to_contain_text("trial.step")
        expect(page.get_by_role("button", name="Start the sweep")).to_be_disabled()
        page.get_by_label("From a preset").select_option("fair")
        expect(page.locator("#checked")).to_contain_text("The spec is valid: fair")
