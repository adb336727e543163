"""The report as one HTML page, and its sections one by one for a page that follows a running sweep."""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jinja2

from analysis.figures.embed import items, script
from analysis.page.assets import BODY_SCRIPTS, FOLDER, HEAD_SCRIPTS, joined_scripts, page_style
from analysis.page.content import Content
from analysis.page.excerpts import MOST_ROWS, excerpt_note
from analysis.page.glossary import GLOSSARY, terms_of
from analysis.page.grid import grids_of
from analysis.page.leaderboard import leaderboards_of
from analysis.page.told import entry_names, told_of

FIGURE_SECTIONS = {
    "pareto": "mattered",
    "parallel": "mattered",
    "learning_rates": "tuning",
    "memory": "memory",
    "wins": "win-rate",
}
"""The sections that show figures, by the figure's name; all others stand below the leaderboard."""


class Section(NamedTuple):
    """A section: its id, its name in the navigation, its template and what that gets besides the content."""

    anchor: str
    title: str
    template: str
    values: dict[str, Any] = {}  # noqa: RUF012 (read, never written)


def to_html(content: Content) -> str:
    """The page: one file that loads nothing from elsewhere.

    A browser runs the page's own script alone, told by its hash, and loads nothing, whatever a response holds.
    """
    environment = _environment(content)
    scripts = [joined_scripts(HEAD_SCRIPTS), *([script()] if content.figures else []), joined_scripts(BODY_SCRIPTS)]
    sections = [
        (section.anchor, section.title, _rendered(environment, section)) for section in _sections_shown(content)
    ]
    return environment.get_template("page.html.j2").render(
        sections=sections,
        style=page_style(),
        head_script=scripts[0],
        body_scripts=scripts[1:],
        policy=policy_of(scripts),
    )


def sections_of(content: Content) -> dict[str, str]:
    """The sections of the page in its order, by id, so that a live page swaps those that changed."""
    environment = _environment(content)
    return {section.anchor: _rendered(environment, section) for section in _sections_shown(content)}


def policy_of(scripts: Sequence[str]) -> str:
    """The Content-Security-Policy of a page that runs these scripts, told by their hashes, and loads nothing."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {allowed}"


def _environment(content: Content) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "sections"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.globals.update(
        report=content,
        grids=grids_of(content),
        boards=leaderboards_of(content),
        told=told_of(content),
        glossary=GLOSSARY,
        terms_of=terms_of,
        entry_names=entry_names,
        most_rows=MOST_ROWS,
        placed=_figures_by_section(content),
        excerpt_note=excerpt_note,
        figure_items=items(content.figures),
    )
    return environment


def _rendered(environment: jinja2.Environment, section: Section) -> str:
    template = environment.get_template(f"{section.template}.html.j2")
    return template.render(anchor=section.anchor, title=section.title, **section.values)


def _sections_shown(content: Content) -> Iterator[Section]:
    """The sections that have something to show, in reading order."""
    placed = _figures_by_section(content)
    yield Section("summary", "In short", "summary")
    if placed["leaderboard"] or content.summary.boards:
        yield Section("leaderboard", "Leaderboard", "leaderboard")
    for table in content.tables:
        yield Section(f"table-{table.anchor}", table.title, "table", {"table": table})
    optional = (
        ("mattered", "What mattered", content.mattered is not None),
        ("tuning", "Tuning", content.tuning is not None),
        ("memory", "Memory", content.memory is not None),
        ("win-rate", "Win rate", bool(placed["win-rate"])),
        ("published", "Published figures", content.published is not None),
        ("published-memory", "Published “GPU memory”", content.published_memory is not None),
        ("responses", "Responses", content.responses is not None),
        ("unfinished", "Unfinished trials", len(content.unfinished) > 0),
    )
    for anchor, title, shown in optional:
        if shown:
            yield Section(anchor, title, anchor)
    yield Section("setting", "Setting", "setting")
    yield Section("glossary", "Glossary", "glossary")


def _figures_by_section(content: Content) -> defaultdict[str, list[str]]:
    """The names of the figures by the section that shows them."""
    shown = {"leaderboard", "memory", "win-rate"}
    shown |= {"mattered"} if content.mattered is not None else set()
    shown |= {"tuning"} if content.tuning is not None else set()
    placed: defaultdict[str, list[str]] = defaultdict(list)
    for name in content.figures:
        section = FIGURE_SECTIONS.get(name, "leaderboard")
        placed[section if section in shown else "leaderboard"].append(name)
    return placed
