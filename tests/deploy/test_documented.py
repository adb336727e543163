"""The page about clusters has a way for each file, and what the files run is what the command accepts."""

import re
import shlex
from pathlib import Path

import pytest

from basis.packages import ROOT
from sweep.requests import _parser

PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
FILES = [ROOT / "cluster.yaml", *sorted(path for path in (ROOT / "deploy").iterdir() if path.suffix != ".dockerignore")]
RUN = re.compile(r"(?:sft-sweep run|python -m sweep\.run) (.+?)(?: &)?$", re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_is_linked_and_its_command_is_accepted(path: Path) -> None:
    assert f"](../{path.relative_to(ROOT)})" in PAGE
    commands = RUN.findall(path.read_text(encoding="utf-8").replace("\\\n#", ""))
    assert commands, "runs no sweep"
    parser = _parser()
    for command in commands:
        quoted = command.count('"') % 2 == 1  # as a whole, for `ray exec`
        words = [word for word in shlex.split(command.removesuffix('"') if quoted else command) if word != "$@"]
        assert "--or-resume" in words
        asked = parser.parse_args(words)
        assert asked.spec
        assert asked.output
