"""A page with nothing but figures, under the policy of a report: what a test of the figures opens."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape

from analysis.figures.embed import PAGE_SCRIPTS, PAGE_STYLE, items, script
from analysis.figures.page_figure import PageFigure
from basis.packages import ROOT

PAGE = ROOT / "analysis" / "page"
THEME = """
:root { --paper: #ffffff; --raised: #f5f7f9; --ink: #1f2933; --muted: #5c6875; --grid: #dde2e7; --accent: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181d; --raised: #1c2229; --ink: #e6eaee; --muted: #9aa7b4; --grid: #313a44; --accent: #62b4e8; }
}
body { margin: 1rem auto; padding: 0 1rem; max-width: 76rem; font: 16px/1.5 sans-serif;
  background: var(--paper); color: var(--ink); }
figcaption { color: var(--muted); font-size: .85rem; }
figure { margin: 1rem 0; }
"""


def figure_page(figures: Mapping[str, PageFigure]) -> str:
    """The figures as one HTML file that loads nothing and runs only Bokeh's script and ours."""
    scripts = [script(), *((PAGE / "scripts" / f"{name}.js").read_text(encoding="utf-8") for name in PAGE_SCRIPTS)]
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {' '.join(map(_hash, scripts))}"
    style = THEME + (PAGE / "style" / f"{PAGE_STYLE}.css").read_text(encoding="utf-8")
    texts = items(figures)
    bodies = [
        f'<h2>{escape(figure.title)}</h2><figure><div class="plot" id="plot-{name}" data-figure="{name}"></div>'
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
        f'<script type="application/json" id="figure-{name}">{texts[name]}</script>'
        for name, figure in figures.items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Figures</title>'
        '<meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{style}</style></head>'
        f"<body>{''.join(bodies)}{''.join(f'<script>{text}</script>' for text in scripts)}</body></html>"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
