"""The first screen of a report: what it says on a terminal, and to programs."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from analysis.findings.finding import Finding
from analysis.screen.document import board_part, doubt_part, verdict_part
from analysis.screen.terminal import summary_lines
from analysis.verdict.summary import Summary
from basis.directory import REPORT_DIR
from basis.documents.verdict import FilesPart, FindingPart, VerdictDocument


@dataclass(frozen=True)
class Screen:
    """What is told of a report without opening it.

    Attributes:
        folder: where the report lies.
        summary: verdicts, trust and leaderboards.
        notes: what a reader should know besides, a few words each.
        findings: what the numbers show.
    """

    folder: Path
    summary: Summary
    notes: list[str]
    findings: list[Finding]

    @property
    def html(self) -> Path:
        """The page, one self-contained file."""
        return self.folder / "report.html"

    @property
    def markdown(self) -> Path:
        """The same in Markdown, with figures as files beside it."""
        return self.folder / "report.md"

    @property
    def trials_csv(self) -> Path:
        """The tidy DataFrame, one row per trial."""
        return self.folder / "trials.csv"

    @property
    def curves_csv(self) -> Path:
        """One row per trial and step."""
        return self.folder / "curves.csv"

    def document(self) -> VerdictDocument:
        """What the first screen and the findings say, as a JSON document."""
        return VerdictDocument(
            verdicts=list(map(verdict_part, self.summary.verdicts)),
            trust=self.summary.trust.level,
            doubts=list(map(doubt_part, self.summary.trust.doubts)),
            boards=list(map(board_part, self.summary.boards)),
            findings=[FindingPart(topic=finding.topic, sentences=finding.sentences) for finding in self.findings],
            files=FilesPart(
                html=str(self.html),
                markdown=str(self.markdown),
                trials_csv=str(self.trials_csv),
                curves_csv=str(self.curves_csv),
            ),
        )


def print_summary(screen: Screen, console: Console, stored: str | None = None) -> None:
    """Print the first screen, where the page is, and the command against the gravest doubt that has one.

    Args:
        screen: what is printed.
        console: where to print; in a terminal its width decides where lines end, elsewhere none is wrapped.
        stored: the address of the experiment, where its report is kept, too.
    """
    for line in summary_lines(screen.summary, console.width if console.is_terminal else None, screen.notes):
        console.print(line, soft_wrap=True)
    print_place(screen, console, stored)
    trust = screen.summary.trust
    if doubt := next((doubt for doubt in trust.doubts if doubt.remedy), None):
        aim = "To raise trust" if doubt.level == trust.level else f"Against the doubt “{doubt.reason}”"
        console.print(Text(f"{aim}: {doubt.remedy}"), soft_wrap=True)


def print_place(screen: Screen, console: Console, stored: str | None) -> None:
    """Print where the page is: at the experiment's address, and where one can open it."""
    place = f"{stored}/{REPORT_DIR}/{screen.html.name}, here {screen.html}" if stored else str(screen.html)
    console.print(Text(f"Report: {place}"), soft_wrap=True)
