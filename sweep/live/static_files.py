"""The scripts and styles of the pages: files of ours, those of the report, and Bokeh's."""

from functools import cache
from pathlib import Path

from aiohttp import web

from analysis.figures.embed import script as bokeh_script
from analysis.page.assets import BODY_SCRIPTS, HEAD_SCRIPTS, joined_scripts, page_style

ASSETS = Path(__file__).parent / "assets"
TYPES = {".js": "text/javascript", ".css": "text/css"}


@cache
def static_texts() -> dict[str, str]:
    """The text of each file by its name."""
    ours = {path.name: path.read_text(encoding="utf-8") for path in ASSETS.iterdir() if path.suffix in TYPES}
    report = {
        "head.js": joined_scripts(HEAD_SCRIPTS),
        "page.js": joined_scripts(BODY_SCRIPTS),
        "page.css": page_style(),
    }
    return {**report, "bokeh.js": bokeh_script(), **ours}


async def static_file(request: web.Request) -> web.Response:
    """GET /static/NAME: one of these files, and no other."""
    name = request.match_info["file"]
    if (text := static_texts().get(name)) is None:
        raise web.HTTPNotFound(text="There is no file of that name.\n")
    return web.Response(text=text, content_type=TYPES[Path(name).suffix])
