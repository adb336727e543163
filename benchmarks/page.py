"""Measures the curves of many arms in headless Chromium: how long they take to appear, to grow, and their memory.

python -m benchmarks page [--quick]
"""

import shutil
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil
from playwright.sync_api import Page, sync_playwright

from analysis.figures.arm_styles import styles_of
from analysis.figures.curves import draw_curves
from analysis.figures.embed import PAGE_SCRIPTS, PAGE_STYLE, items, script
from analysis.figures.page_figure import PageFigure
from basis.errors import UserError
from basis.outcomes import Outcome
from basis.packages import ROOT
from benchmarks.table import Row, Table, Target

STEPS = 1000
UPDATES = 5
BOUND_SECONDS, BOUND_UPDATE_MS, BOUND_MB, BOUND_ITEM_MB = 2.0, 200.0, 300.0, 1.5
PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
THEME = (
    ":root { --paper: #fff; --raised: #f5f7f9; --ink: #1f2933; --muted: #5c6875; --grid: #dde2e7; --accent: #0072b2 }"
)


class Shown(NamedTuple):
    """What a browser took: seconds until the curves were painted, milliseconds of an update, bytes of its memory."""

    seconds: float
    update_ms: float
    heap_bytes: float
    private_bytes: float


def measure(quick: bool) -> Table:
    """Measure pages of few arms and of many. Under `quick` both are few."""
    rows: list[Row] = []
    targets: list[Target] = []
    for arms in (4, 16) if quick else (20, 200, 1000):
        figure = curves_of(arms, 50 if quick else STEPS)
        shown = show(figure, arms)
        item_mb = len(items({figure.name: figure})[figure.name]) / 1e6
        rows.append(
            {
                "arms": arms,
                "figure, MB": item_mb,
                "painted after, s": shown.seconds,
                "an update, ms": shown.update_ms,
                "JS heap, MB": shown.heap_bytes / 1e6,
                "renderer, MB": shown.private_bytes / 1e6,
            }
        )
        if arms in (16, 200):
            targets = [
                Target(f"painted, {arms} arms, s", shown.seconds, BOUND_SECONDS, False),
                Target(f"an update, {arms} arms, ms", shown.update_ms, BOUND_UPDATE_MS, False),
                Target(f"renderer, {arms} arms, MB", shown.private_bytes / 1e6, BOUND_MB, False),
            ]
        if arms == 1000:
            targets.append(Target("figure of 1,000 arms, MB", item_mb, BOUND_ITEM_MB, False))
    about = (
        f"Curves of arms with {STEPS:,} reports each, made up, opened from a file by headless Chromium at 1280 x 800. "
        "Painted: from the start of loading, Bokeh's script included. An update: one more point for every arm, until "
        "it is painted; the median. Renderer: the memory that its process alone has, heap included."
    )
    return Table("page", "Figures of a page", about, rows, targets)


def curves_of(arms: int, steps: int) -> PageFigure:
    """The figure of the curves of so many arms, each with so many rows."""
    rng = np.random.default_rng(0)
    step = np.arange(steps)
    frames = []
    for arm in range(arms):
        losses = {
            name: 2 + np.exp(-step / 200) + 0.3 * arm / arms + 0.02 * rng.normal(size=steps)
            for name in ("test_loss", "train_loss")
        }
        columns = {"step": step, "tokens_seen": 1024 * step, "train_seconds": 0.25 * step, **losses}
        frames.append(pd.DataFrame({"arm": f"arm {arm}", "trial": f"trial {arm}", **columns}))
    ranks = {f"arm {arm}": {"method": "lora", "optimizer": "adamw", "rank": 1 + arm} for arm in range(arms)}
    figure = draw_curves(pd.concat(frames), styles_of(ranks), dict.fromkeys(ranks, Outcome.FINISHED))
    assert figure is not None
    return figure


def show(figure: PageFigure, arms: int) -> Shown:
    """Open a page with this figure in Chromium, and have it grow.

    Raises:
        UserError: no chromium is installed.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise UserError("no chromium is installed; benchmark 'page' needs it (apt-get install chromium)")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "page.html"
        file.write_text(page_of(figure), encoding="utf-8")
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--enable-precise-memory-info"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        began = time.monotonic()
        page.goto(file.as_uri())
        page.wait_for_selector(f"#plot-{figure.name}[data-shown]")
        page.evaluate(PAINTED)
        seconds = time.monotonic() - began
        updates = [grow(page, figure.name, arms) for _ in range(UPDATES)]
        heap = float(page.evaluate("performance.memory.usedJSHeapSize"))
        private = max(process.memory_full_info().uss for process in renderers())
        browser.close()
    return Shown(seconds, float(np.median(updates)), heap, float(private))


GROW = f"""async ([name, arms]) => {{
  const began = performance.now();
  const columns = {{step: [1000], tokens: [1e6], seconds: [250], mean: [2], low: [2], high: [2], seeds: [1]}};
  const {{arms: named, others}} = Object.values(window.sweepFigures.figures.get(name).spec.data.metrics)[0];
  const delta = {{}};
  for (let place = 0; place < arms; place += 1) {{
    const arm = `arm ${{place}}`;
    delta[arm] = {{from: (named[arm]?.step ?? others.step[others.arm.indexOf(arm)]).length, columns}};
  }}
  window.sweepFigures.update(name, delta);
  await {PAINTED};
  return performance.now() - began;
}}"""


def grow(page: Page, name: str, arms: int) -> float:
    """Add a point to every curve; milliseconds until it is painted."""
    return float(page.evaluate(GROW, [name, arms]))


def renderers() -> list[psutil.Process]:
    """The processes of this one's browser that show pages."""
    children = psutil.Process().children(recursive=True)
    return [process for process in children if "--type=renderer" in " ".join(process.cmdline())]


def page_of(figure: PageFigure) -> str:
    """A page with this figure alone."""
    folder = ROOT / "analysis" / "page"
    scripts = [script(), *((folder / "scripts" / f"{name}.js").read_text(encoding="utf-8") for name in PAGE_SCRIPTS)]
    style = THEME + (folder / "style" / f"{PAGE_STYLE}.css").read_text(encoding="utf-8")
    item = items({figure.name: figure})[figure.name]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><style>{style}</style></head><body>'
        f'<div class="plot" id="plot-{figure.name}" data-figure="{figure.name}"></div>'
        f'<script type="application/json" id="figure-{figure.name}">{item}</script>'
        f"{''.join(f'<script>{text}</script>' for text in scripts)}</body></html>"
    )
