"""Writes the report of an experiment directory: one HTML page, Markdown, CSV and figures.

python -m analysis.report EXPERIMENT_DIR    rebuilds all of it from the directory alone
python -m analysis.report DIR1 DIR2 ...     one report of several sweeps, in a folder of its own
"""

import argparse
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__" and not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parent.parent):
    del sys.path[0]  # python -m looks into the working directory first, which may hold somebody else's packages

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.comparison.pair_choice import MOST_ARMS
from analysis.drawings.drawing import to_png
from analysis.fairness.ledger import Ledger
from analysis.fairness.reasons import HARMLESS_TO_LOSSES
from analysis.page.content import Content, content_of
from analysis.page.excerpts import TABLES_DIR, long_frames
from analysis.page.html_page import to_html
from analysis.page.markdown import to_markdown
from analysis.page.report_folder import checked_folder, folder_for
from analysis.page.stored_experiments import folders_of
from analysis.results.experiment import Results
from analysis.results.several import read_sweeps
from analysis.screen.kept import SCREEN_FILE, kept_screen
from analysis.screen.screen import Screen, print_place, print_summary
from analysis.tables.columns import console_columns
from analysis.tables.comparison_table import ComparisonTable
from analysis.tables.tuning_trials import TUNING_CSV
from basis.directory import REPORT_DIR
from basis.documents.documents import JSON_FLAG, ErrorDocument, print_document
from basis.errors import UserError, name_failure
from basis.files import whole_file
from basis.scripts import as_called
from basis.terminal import console_on, flush_streams, open_closed_streams

FIGURES_DIR = "figures"
"""Folder of the figures, beside the page."""
PRINTED_ROWS = 40
"""Rows of a table that are printed; the page has more."""


@dataclass(frozen=True)
class Report(Screen):
    """What `build` wrote, and what is printed of it.

    Attributes:
        tables: the comparison tables.
        ledgers: what each table's rows differ in, by its anchor.
    """

    tables: list[ComparisonTable]
    ledgers: dict[str, Ledger]


def build(experiment_dir: Path, all_pairs: bool = False) -> Report:
    """Write the report of an experiment into its directory `report/`.

    Args:
        experiment_dir: an experiment directory; whatever of its trials finished is reported.
        all_pairs: test every pair of arms, however many there are.

    Returns:
        Paths of the files written, and the tables.

    Raises:
        UserError: the directory is missing or holds no experiment.
        OSError: a file cannot be read or written, as on a full disk.
    """
    return build_together([experiment_dir], None, all_pairs)


def build_together(directories: Sequence[Path], folder: Path | None = None, all_pairs: bool = False) -> Report:
    """Write one report of one experiment or of several.

    Args:
        directories: experiment directories, each counted once.
        folder: where to write; None for `report/` of a single experiment, for several `report-NAMES` in the working
            directory.
        all_pairs: test every pair of arms, however many there are.

    Raises:
        UserError: a directory is missing or holds no experiment, or the folder is somebody else's.
        OSError: a file cannot be read or written, as on a full disk.
    """
    target = checked_folder(folder) if folder else None
    with collector_paused():
        results = read_sweeps(directories)
        if target is None:
            of_several = checked_folder(folder_for(results.parts)) if results.parts else None
            target = of_several or results.directory / REPORT_DIR
        content = content_of(results, all_pairs)
        files = report_files(results, content)
    flagged = {flag.reason for ledger in content.ledgers.values() for flag in ledger.flagged}
    report = Report(
        folder=target,
        summary=content.summary,
        notes=[reason.value for reason in HARMLESS_TO_LOSSES if reason in flagged],
        findings=content.findings,
        tables=content.tables,
        ledgers=content.ledgers,
    )
    if target == results.directory / REPORT_DIR:
        files[SCREEN_FILE] = kept_screen(report, results.made_of, list(files))
    for name, file in files.items():
        write(target / name, file)
    for stale in {*(target / FIGURES_DIR).glob("*.png"), *(target / TABLES_DIR).glob("*.csv")}:
        if str(stale.relative_to(target)) not in files:
            stale.unlink()  # of an earlier report with other tables
    return report


@contextmanager
def collector_paused() -> Iterator[None]:
    """Within, Python looks for no garbage in cycles: of thousands of arms, that takes a quarter of a report's time.

    What a report is made of stays until it is written, and each look would go through all of it.
    """
    was_enabled = gc.isenabled()
    gc.collect()  # once before, as after a sweep there is much: what Ray had of its trials
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def report_files(results: Results, content: Content) -> dict[str, bytes]:
    """The files of a report by their path within its directory, the pages last since they name the others."""
    frames = {f"{TABLES_DIR}/{name}.csv": frame for name, frame in long_frames(content.frames).items()}
    frames |= {"trials.csv": results.trials, "curves.csv": results.curves}
    frames |= {TUNING_CSV: results.tuning} if len(results.tuning) else {}
    return {
        **{f"{FIGURES_DIR}/{drawing.name}.png": to_png(drawing) for drawing in content.drawings.values()},
        **{name: frame.to_csv(index=False).encode() for name, frame in frames.items()},
        "report.md": to_markdown(content).encode(),
        "report.html": to_html(content).encode(),
    }


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, so that nobody ever reads half a report.

    Raises:
        OSError: naming the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, shared=True, permissions=0o644) as partial:
            partial.write_bytes(content)
    except OSError as error:  # of a write that fails, it does not say itself which file that was for
        if error.strerror is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def print_tables(report: Report, console: Console, stored: str | None = None) -> None:
    """Print the tables and findings; columns that do not fit are left to the page.

    Args:
        report: what `build` returned.
        console: where to print; its width decides which columns stay.
        stored: see `print_summary`.
    """
    for table in report.tables:
        if table.frame.empty:
            continue
        names = console_columns(table.frame, console.width)
        printed = Table(title=table.title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for name in names:
            side: Any = "left" if name in ("arm", "state") else "right"
            printed.add_column(Text(name), justify=side, width=names[name], vertical="bottom")
        for row in table.frame[list(names)].head(PRINTED_ROWS).itertuples(index=False):
            printed.add_row(*(Text(str(cell)) for cell in row))
        console.print(printed)
        if len(table.frame) > PRINTED_ROWS:
            console.print(Text(f"(the first {PRINTED_ROWS} of {len(table.frame):,} rows)", style="dim"))
        ledger = report.ledgers[table.anchor]
        for word, entries in (("confound", ledger.confounds), ("flag", ledger.flags), ("remark", ledger.remarks)):
            for entry in entries:
                console.print(Text.assemble((f"{word}: ", "bold" if word == "remark" else "bold yellow"), entry))
        left_out = len(table.frame.columns) - len(names)
        console.print(Text(f"(the report has {left_out} more columns)\n" if left_out else "", style="dim"))
    for finding in report.findings:
        console.print(Text(f"{finding.topic}: ", style="bold") + Text(" ".join(finding.sentences), style="not bold"))
    print_place(report, console, stored)


class _Parser(argparse.ArgumentParser):
    """Ends in one line, as all else does."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help tells what is accepted")


def _parser() -> _Parser:
    parser = _Parser(
        prog=as_called("analysis.report"),
        description="Build the report of an experiment, or of several together, and print what it shows.",
    )
    parser.add_argument(
        "directories",
        nargs="+",
        metavar="EXPERIMENT_DIR",
        help="directory that a sweep has written, or its address; several make one report, their arms side by side",
    )
    parser.add_argument(
        "--to",
        type=Path,
        metavar="FOLDER",
        help="where to write the report: report/ of a single experiment if not given, of several a new folder "
        "report-NAMES in the working directory",
    )
    parser.add_argument(
        "--all-pairs",
        action="store_true",
        help=f"test every pair of arms even of a table of more than {MOST_ARMS}, where otherwise each is tested "
        "against the one of the lowest test loss and its neighbours in the ranking; the time grows with the square",
    )
    parser.add_argument("--verbose", action="store_true", help="print all tables and findings, not the verdicts alone")
    parser.add_argument(
        JSON_FLAG,
        action="store_true",
        help="print the verdicts as a JSON document on standard output, and what people read on standard error (see "
        "docs/json.md)",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Command line: build the report of an experiment, or of several together, and print what it shows.

    Args:
        arguments: the arguments; those of the process if None.

    Returns:
        Exit status: 0; 1 where the report is built, and its address took none of it for now; 2 where the directory is
        no experiment, or cannot be read or written to; 130 if interrupted.
    """
    words = sys.argv[1:] if arguments is None else arguments
    parser = _parser()
    open_closed_streams()
    as_json = JSON_FLAG in words
    said_on = sys.stderr if as_json else sys.stdout
    try:
        asked = parser.parse_args(words)
        print_report = print_tables if asked.verbose else print_summary
        with folders_of(asked.directories) as (directories, sent):
            report = build_together(directories, asked.to, asked.all_pairs)
        own = sent.address if len(directories) == 1 and asked.to is None and sent.failure is None else None
        print_report(report, console_on(said_on), own)
        if as_json:
            print_document(report.document(), sys.stdout)
        if sent.failure is not None:
            unsent = f"the report is kept here, and not sent: {sent.failure}"
            console_on(sys.stderr).print(Text(unsent), soft_wrap=True)
            return 0 if sent.is_final else 1  # who may only read has all that there is to have
    except (UserError, OSError) as error:
        console_on(sys.stderr).print(Text(f"error: {name_failure(error)}"), soft_wrap=True)
        if as_json:
            print_document(ErrorDocument(error=name_failure(error), exit_code=2), sys.stdout)
        return 2
    except KeyboardInterrupt:
        console_on(said_on).print("interrupted")
        if as_json:
            print_document(ErrorDocument(error="interrupted", exit_code=130), sys.stdout)
        return 130
    finally:
        flush_streams()
    return 0


def script() -> None:
    """The command, with the process to itself."""
    os._exit(main())  # nothing is left to do, and to free what a report of thousands of arms was made of takes seconds


if __name__ == "__main__":
    script()
