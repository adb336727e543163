"""How answers are shown: as they come, one below the other's question, two side by side; in a pipe as plain lines."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweep.chatting.speaker import Speaker

NARROWEST = 50
"""Letters of a terminal that two columns fit into."""


def answer_all(speakers: Sequence[Speaker], said: str, number: int, console: Console) -> None:
    """Have each speaker answer, show it as it comes, and have it remembered. Ctrl-C stops the answers.

    Raises:
        UserError: see `Speaker.answer`.
    """
    streams = [speaker.answer(said, number) for speaker in speakers]
    if any(speaker.dropped for speaker in speakers):
        dropped = max(speaker.dropped for speaker in speakers)
        console.print(f"(the context is full: the oldest {dropped} of {number} turns are left out)", style="dim")
    answers = [""] * len(speakers)
    in_columns = console.is_terminal and len(speakers) > 1 and console.width >= NARROWEST
    try:
        if in_columns:
            _show_columns(speakers, streams, answers, console)
        else:
            _show_in_turn(speakers, streams, answers, console)
    finally:  # an answer that was stopped has been given as far as it went
        for speaker, answer in zip(speakers, answers, strict=True):
            speaker.keep(said, answer)


def _show_in_turn(
    speakers: Sequence[Speaker], streams: Sequence[Iterator[str]], answers: list[str], console: Console
) -> None:
    for place, (speaker, stream) in enumerate(zip(speakers, streams, strict=True)):
        if len(speakers) > 1:
            console.print(Text(f"{speaker.name}:", style="bold"), soft_wrap=True)
        try:
            for piece in stream:
                answers[place] += piece
                console.print(Text(printable(piece)), end="", soft_wrap=True)
                console.file.flush()
        finally:
            console.print()
    console.print()


def _show_columns(
    speakers: Sequence[Speaker], streams: Sequence[Iterator[str]], answers: list[str], console: Console
) -> None:
    def table() -> Table:
        drawn = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0))
        for speaker in speakers:
            drawn.add_column(Text(speaker.name, style="bold"), ratio=1)
        drawn.add_row(*(Text(printable(answer), overflow="fold") for answer in answers))
        return drawn

    try:
        with Live(console=console, get_renderable=table, transient=True, redirect_stdout=False, redirect_stderr=False):
            for new in zip_longest(*streams, fillvalue=""):
                for place, piece in enumerate(new):
                    answers[place] += piece
    finally:
        console.print(table())  # whole, where it is longer than the terminal
        console.print()


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
