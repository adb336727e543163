"""Figures in a real browser, under the policy of a report: what they show, and how they answer."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from playwright.sync_api import Page

from analysis.figures.learning_rates import draw_learning_rates
from analysis.figures.parallel import draw_parallel
from analysis.figures.pareto import draw_pareto
from tests.browser.figure_page import figure_page
from tests.browser.figures import STYLES, curves
from tests.figure_arms import ARMS, FRONTS
from tests.figure_arms import STYLES as ARM_STYLES

Opened = Callable[..., Page]
GLYPH = "(name) => window.sweepFigures.figures.get('curves').plot.renderers.find((one) => one.name === name).glyph"
SOURCE = (
    "(name) => window.sweepFigures.figures.get('curves').plot.renderers.find((one) => one.name === name).data_source"
)


def show(opened: Opened, view: str = "") -> Page:
    page = opened(figure_page({"curves": curves()}), view)
    page.wait_for_selector("#plot-curves[data-shown]")
    return page


def field(page: Page, name: str, glyph_field: str) -> object:
    return page.evaluate(f"([name, field]) => ({GLYPH})(name)[field]", [name, glyph_field])


def alpha(page: Page, arm: str) -> float:
    found = field(page, f"curves/{arm}", "line_alpha")
    assert isinstance(found, dict)
    return float(found["value"])


def test_a_figure_paints_its_lines_and_names(opened: Opened) -> None:
    page = show(opened)
    page.wait_for_timeout(200)
    coloured = page.evaluate(
        """() => {
          const find = (root) => [...root.querySelectorAll("*")].flatMap(
            (one) => (one.localName === "canvas" ? [one] : one.shadowRoot ? find(one.shadowRoot) : []));
          return find(document).map((canvas) => {
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const colours = new Set();
            for (let i = 0; i < data.length; i += 4) {
              if (data[i + 3] === 255) colours.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
            }
            return [...colours];
          }).flat();
        }"""
    )
    for style in STYLES.values():
        assert int(style.colours[0][1:], 16) in coloured
    labels = page.evaluate(f"() => ({SOURCE})('curves/labels').data")
    assert sorted(labels["label"]) == sorted(STYLES)
    heights = sorted(labels["label_y"])
    assert min(b - a for a, b in pairwise(heights)) > 0


def test_a_choice_of_axis_and_metric_changes_what_is_drawn(opened: Opened) -> None:
    page = show(opened)
    page.select_option("[data-control=x]", "tokens")
    assert field(page, "curves/full adamw", "x") == {"field": "tokens"}
    before = page.evaluate(f"() => ({SOURCE})('curves/full adamw').data.mean.at(-1)")
    page.select_option("[data-control=y]", "train_loss")
    after = page.evaluate(f"() => ({SOURCE})('curves/full adamw').data.mean.at(-1)")
    assert after == pytest.approx(before - 0.1, abs=1e-4)


def test_an_arm_pointed_at_in_the_page_stands_out_and_a_picked_one_shows_its_trials(opened: Opened) -> None:
    page = show(opened)
    page.evaluate("document.dispatchEvent(new CustomEvent('arm-hover', {detail: {arm: 'full adamw'}}))")
    assert alpha(page, "full adamw") == 1
    assert alpha(page, "lora r1 adamw") < 0.3
    page.evaluate("document.dispatchEvent(new CustomEvent('arm-hover', {detail: {arm: null}}))")
    assert alpha(page, "lora r1 adamw") == 1
    page.evaluate("document.dispatchEvent(new CustomEvent('arm-pick', {detail: {arm: 'full adamw'}}))")
    assert len(page.evaluate(f"() => ({SOURCE})('curves/trials').data.value")) == 2
    assert alpha(page, "lora r1 adamw") < 0.3


def test_the_mouse_on_a_line_tells_its_numbers_and_tells_the_page(opened: Opened) -> None:
    page = show(opened)
    page.evaluate("document.addEventListener('arm-hover', (event) => { document.title = event.detail.arm; })")
    x, y = page.evaluate(
        """() => {
          const {plot, stage} = window.sweepFigures.figures.get("curves");
          const box = stage.getBoundingClientRect();
          const labels = plot.renderers.find((one) => one.name === "curves/labels").data_source.data;
          const i = labels.arm.indexOf("full adamw");
          const share = (plot.y_range.end - labels.label_y[i]) / (plot.y_range.end - plot.y_range.start);
          return [box.right - 60, box.top + 10 + share * plot.inner_height];
        }"""
    )
    page.mouse.move(x - 30, y)
    page.mouse.move(x, y)
    page.wait_for_selector(".plot-tip:not([hidden])")
    text = page.inner_text(".plot-tip")
    assert text.startswith("full adamw")
    assert "2 seeds" in text
    assert page.title() == "full adamw"


def test_a_part_can_be_enlarged_stays_so_while_points_come_in_and_a_button_leads_back(opened: Opened) -> None:
    page = show(opened)
    whole = "() => window.sweepFigures.figures.get('curves').plot.x_range.end"
    end = page.evaluate(whole)
    page.mouse.move(300, 200)
    page.mouse.down()
    page.mouse.move(500, 300, steps=4)
    page.mouse.up()
    page.wait_for_selector(".plot-reset:not([hidden])")
    enlarged = page.evaluate(whole)
    assert enlarged < end
    columns = {
        "step": [110],
        "tokens": [7040],
        "seconds": [27.5],
        "mean": [1.5],
        "low": [1.5],
        "high": [1.5],
        "seeds": [2],
    }
    page.evaluate(
        "(delta) => window.sweepFigures.update('curves', delta)", {"full adamw": {"from": 11, "columns": columns}}
    )
    assert page.evaluate(whole) == enlarged
    page.click(".plot-reset")
    assert page.evaluate(whole) > end


def test_a_keyboard_goes_from_arm_to_arm(opened: Opened) -> None:
    page = show(opened)
    page.focus(".plot-stage")
    page.keyboard.press("ArrowDown")
    first = page.inner_text(".plot-tip b")
    page.keyboard.press("ArrowDown")
    assert page.inner_text(".plot-tip b") != first
    page.keyboard.press("Enter")
    assert page.evaluate("window.sweepFigures.picked.size") == 1
    assert "full adamw ends at" in (page.get_attribute(".plot-canvas", "aria-label") or "")


def test_colours_follow_the_theme(opened: Opened) -> None:
    page = show(opened)
    light, dark = STYLES["full adamw"].colours
    assert field(page, "curves/full adamw", "line_color") == {"value": light}
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("[data-mode=dark]")
    assert field(page, "curves/full adamw", "line_color") == {"value": dark}


def test_a_theme_that_the_page_sets_itself_counts(opened: Opened) -> None:
    page = show(opened)
    page.evaluate("document.documentElement.style.setProperty('--paper', '#101010')")
    page.wait_for_selector("[data-mode=dark]")
    assert field(page, "curves/full adamw", "line_color") == {"value": STYLES["full adamw"].colours[1]}


def test_on_paper_a_still_picture_scales_with_the_page(opened: Opened) -> None:
    page = show(opened)
    page.wait_for_timeout(200)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 700, "height": 900})
    assert page.is_visible(".plot-print")
    assert not page.is_visible(".plot-canvas")
    assert page.locator(".plot-print").evaluate("(still) => still.offsetWidth") < 700
    painted = (
        "(still) => still.getContext('2d').getImageData(0, 0, still.width, still.height).data.some((byte) => byte)"
    )
    assert page.locator(".plot-print").evaluate(painted)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".plot-print").count() == 0


def test_a_section_that_is_swapped_gets_its_figure_again_and_leaves_none_behind(opened: Opened) -> None:
    page = show(opened)
    page.evaluate(
        "document.getElementById('plot-curves').replaceWith(document.getElementById('plot-curves').cloneNode())"
    )
    page.evaluate("delete document.getElementById('plot-curves').dataset.shown")
    page.evaluate("window.sweepFigures.scan()")
    page.wait_for_selector("#plot-curves[data-shown] .plot-controls select")
    assert page.evaluate("Bokeh.documents.length") == 1


def test_new_points_grow_a_curve_and_a_new_arm_gets_one(opened: Opened) -> None:
    page = show(opened)
    columns = {"step": [100, 110], "tokens": [6400, 7040], "seconds": [25, 27.5], "mean": [2.0, 1.5], "seeds": [2, 2]}
    delta = {"full adamw": {"from": 10, "columns": {**columns, "low": [1.9, 1.4], "high": [2.1, 1.6]}}}
    page.evaluate("(delta) => window.sweepFigures.update('curves', delta)", delta)
    assert page.evaluate(f"() => ({SOURCE})('curves/full adamw').data.step.slice(-3)") == [90, 100, 110]
    assert page.evaluate("() => window.sweepFigures.figures.get('curves').plot.y_range.start") < 1.5
    fresh = {"another arm": {"from": 0, "columns": {**columns, "low": [2.0, 1.5], "high": [2.0, 1.5]}}}
    page.evaluate("(delta) => window.sweepFigures.update('curves', delta)", fresh)
    assert "another arm" in page.evaluate(f"() => ({SOURCE})('curves/labels').data.arm")


def test_a_column_that_no_point_had_so_far_is_as_long_as_the_others(opened: Opened) -> None:
    page = show(opened)
    first = {"step": [0, 10], "mean": [2.0, 1.9], "low": [2.0, 1.9], "high": [2.0, 1.9], "seeds": [1, 1]}
    late = {"step": [20], "mean": [1.8], "low": [1.8], "high": [1.8], "seeds": [1], "tokens": [1280], "seconds": [5]}
    for start, columns in ((0, first), (2, late)):
        delta = {"another arm": {"from": start, "columns": columns}}
        page.evaluate("(delta) => window.sweepFigures.update('curves', delta)", delta)
    lengths = page.evaluate(f"() => Object.values(({SOURCE})('curves/another arm').data).map(one => one.length)")
    assert set(lengths) == {3}


def test_points_that_replace_more_points_at_once_are_drawn_without_an_error(opened: Opened) -> None:
    page = show(opened)
    points = [
        {name: [step * size for step in range(count)] for name in ("step", "tokens", "seconds", "mean", "low", "high")}
        | {"seeds": [1] * count}
        for count, size in ((40, 1), (4, 10))
    ]
    page.evaluate(
        """points => points.forEach(columns =>
            window.sweepFigures.update('curves', {'full adamw': {from: 0, columns}}))""",
        points,
    )
    page.wait_for_timeout(300)
    assert page.evaluate(f"() => ({SOURCE})('curves/full adamw').data.step") == [0, 10, 20, 30]


def test_every_kind_of_figure_takes_the_height_kept_free_for_it_and_fits_a_telephone(opened: Opened) -> None:
    rates = draw_learning_rates(ARMS, [], "validation_loss")
    drawn = (curves(), draw_pareto(FRONTS, ARM_STYLES), rates, draw_parallel(ARMS))
    figures = {figure.name: figure for figure in drawn if figure}
    assert len(figures) == 4
    page = opened(figure_page(figures))
    for name, figure in figures.items():
        page.wait_for_selector(f"#plot-{name}[data-shown]")
        assert page.locator(f"#plot-{name}").evaluate("(box) => box.offsetHeight") == figure.height
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.select_option("#plot-pareto [data-control=x]", "parameters")
    front = page.evaluate(
        "() => window.sweepFigures.figures.get('pareto').plot.renderers.find((one) => one.name === 'pareto/front')"
        ".data_source.data.x"
    )
    assert front == sorted(front)
    assert len(front) >= 1
