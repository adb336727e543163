"""The page's scripts and style sheets, which a server of live pages has without what works a report out."""

from collections.abc import Sequence
from pathlib import Path

from analysis.figures.embed import PAGE_SCRIPTS, PAGE_STYLE

FOLDER = Path(__file__).parent
HEAD_SCRIPTS = ("view", "theme")
"""The page's own scripts that run before it is drawn, so that it never changes its colours before a reader's eyes."""
BODY_SCRIPTS = ("table", "leaderboard", "arms", "copy", "responses", *PAGE_SCRIPTS)
"""Those that run when it is whole, in this order; each does nothing where the page has nothing for it."""
STYLES = ("colours", "page", "summary", "tables", "leaderboard", PAGE_STYLE, "responses", "print")
"""Its style sheets, in order."""
MOST_COLUMNS = 40
"""Columns of a table that can be hidden; further ones are always shown."""


def joined_scripts(names: Sequence[str]) -> str:
    """Some of the page's own scripts as one."""
    return "\n".join((FOLDER / "scripts" / f"{name}.js").read_text(encoding="utf-8") for name in names)


def page_style() -> str:
    """The page's style sheets as one, with the rules by which a table's class hides one of its columns."""
    hiding = "".join(f".hide-{n}>*>tr>:nth-child({n}){{display:none}}" for n in range(1, MOST_COLUMNS + 1))
    sheets = [(FOLDER / "style" / f"{name}.css").read_text(encoding="utf-8") for name in STYLES]
    return "\n".join([*sheets, f"@media (scripting: enabled) {{{hiding}}}\n"])
