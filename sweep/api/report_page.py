"""The page of a report as a notebook shows it."""

import html
from dataclasses import dataclass
from pathlib import Path

HEIGHT = 720
"""Of the page in a notebook, in CSS pixels."""


@dataclass(frozen=True)
class ReportPage:
    """The report of an experiment: a notebook shows it inline.

    Attributes:
        path: the page, one self-contained HTML file.
    """

    path: Path

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that neither its style nor its scripts meet the notebook's.

        The frame holds the page itself and not its address, so that a notebook that is kept or sent shows it too.
        """
        page = html.escape(self.path.read_text(encoding="utf-8"))
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts allow-popups allow-downloads" title="Report" '
            f'style="width:100%;height:{HEIGHT}px;border:0"></iframe>'
        )
