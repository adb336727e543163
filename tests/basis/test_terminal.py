"""basis.terminal: nothing that is printed can end a sweep."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from basis.packages import ROOT
from basis.terminal import LastingStream, console_on
from sweep.run import main
from tests.conftest import command


def test_letters_that_a_stream_has_not_are_spelled_in_plainer_ones() -> None:
    file = io.BytesIO()
    stream = io.TextIOWrapper(file, encoding="ascii")
    console_on(stream).print("a ≤ b – c × d · é ü 猫 \udcff …", soft_wrap=True)
    assert file.getvalue() == b"a <= b - c x d * e u ? ? ...\n"


def test_a_reader_that_leaves_and_a_full_disk_end_nothing(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    for stream in (os.fdopen(write, "w", encoding="utf-8"), open("/dev/full", "w", encoding="utf-8")):  # noqa: SIM115
        with pytest.raises(OSError, match=r"Broken pipe|No space left"):
            print("nobody reads this", file=stream, flush=True)
        for _ in range(2):
            console_on(stream).print("nobody reads this")
        stream.close()


class Notebook:
    """What a notebook's kernel may have as its standard output: a stream that is no file."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def test_a_notebooks_streams_and_variables_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Notebook()
    monkeypatch.setattr(sys, "stdout", notebook)
    monkeypatch.setenv("RAY_ADDRESS", "ray://elsewhere:1")
    before = dict(os.environ)
    assert main(["--list"]) == 0
    assert main(["demo", "--output", "s3://bucket/x"]) == 2
    assert "lora-ranks" in notebook.text
    assert dict(os.environ) == before
    assert sys.stdout is notebook


@pytest.mark.parametrize(
    ("shell", "code"), [("{} --list | head -1", 0), ("{} --list >&-", 0), ("{} nothing >&- 2>&- <&-", 2)]
)
def test_pipes_and_closed_streams_of_a_shell_cause_no_traceback(shell: str, code: int) -> None:
    words = " ".join(command())
    ran = subprocess.run(
        ["bash", "-c", "set -o pipefail; " + shell.format(words)], capture_output=True, text=True, cwd=ROOT
    )
    assert (ran.returncode, ran.stderr) == (code, "")


def test_a_width_of_zero_is_no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    file = io.StringIO()
    console_on(file).print("seen")
    assert file.getvalue() == "seen\n"


def test_a_stream_tells_what_it_is() -> None:
    stream = LastingStream(io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    assert (stream.encoding, stream.isatty()) == ("latin-1", False)
