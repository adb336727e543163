"""What is printed, and where it goes: terminals that know only ASCII, pipes whose reader has left, closed streams.

A sweep outlives all of these: what can't be shown is shown in plainer letters, what nobody reads goes nowhere.
"""

import codecs
import os
import sys
import unicodedata
from typing import Any, TextIO, cast

from rich.console import Console

PLAIN = "sft-sweep-plain"
"""Name of the codec error handler that spells in plainer letters."""
PLAINER = str.maketrans(
    {"≤": "<=", "≥": ">=", "×": "x", "·": "*", "–": "-", "—": "-", "−": "-", "…": "...", "±": "+-", "→": "->"}
    | dict.fromkeys("‘’", "'")
    | dict.fromkeys("“”", '"')
)


def console_on(stream: TextIO) -> Console:
    """A console on one of the process's streams that takes all text, whatever becomes of the stream."""
    columns = os.environ.get("COLUMNS", "")
    unknown = columns != "" and not columns.strip("0")  # some containers say 0, and nothing would be printed
    return Console(file=cast(TextIO, LastingStream(stream)), width=80 if unknown else None, emoji=False)


class LastingStream:
    """A text stream that takes every text for ever: spelled in letters that it has, and dropped once it is gone."""

    def __init__(self, stream: TextIO) -> None:
        """`stream` is where texts go as long as it lasts."""
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        """Whatever else one asks a stream, such as its encoding or whether it is a terminal."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text`."""
        encoding = getattr(self._stream, "encoding", None)
        try:
            self._stream.write(text.encode(encoding, PLAIN).decode(encoding) if encoding else text)
        except OSError:
            leave(self._stream)
        return len(text)

    def flush(self) -> None:
        """Bring what was written to its reader, if there is one."""
        try:
            self._stream.flush()
        except OSError:
            leave(self._stream)


def leave(stream: TextIO) -> None:
    """Send what a stream still holds, and all that follows, nowhere: its reader or its terminal is gone."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return  # no file of the system
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def open_closed_streams() -> None:
    """Give the numbers 0, 1 and 2 to the null device where they are free; the next file opened would get them."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # as long as the process


def flush_streams() -> None:
    """Write what the process's streams still hold, so that Python finds nothing to complain of at its end."""
    for stream in (sys.stdout, sys.stderr):
        LastingStream(stream).flush()


def _spell_plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(PLAINER)
    letters = unicodedata.normalize("NFKD", text)  # letters apart from their accents
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return "".join(letter if letter.isascii() else "?" for letter in plain), error.end


codecs.register_error(PLAIN, _spell_plainly)
