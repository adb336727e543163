"""The report as one HTML page."""

import base64
import hashlib
from pathlib import Path

import jinja2

from analysis.page.content import Content
from analysis.page.excerpts import MOST_ROWS, excerpt_note
from analysis.page.figures import to_svg


def to_html(content: Content) -> str:
    """The page: one file that loads nothing from elsewhere.

    A browser runs the page's own script alone, told by its hash, and loads nothing, whatever a response holds.
    """
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined
    )
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    figures = {name: to_svg(drawing) for name, drawing in content.drawings.items()}
    return environment.get_template("report.html.j2").render(
        report=content,
        frames=content.frames,
        most_rows=MOST_ROWS,
        excerpt_note=excerpt_note,
        figures=figures,
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
