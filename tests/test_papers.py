"""What the papers say can be followed: links lead to files, the README's spec is valid, its commands are accepted."""

import re
import shlex
from pathlib import Path

import pytest

from basis.packages import ROOT
from sweep.run import main
from sweep.spec_file.load import load_trials

PAPERS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language in a Markdown text."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def heading_anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(paper: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", paper.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = paper.parent / name if name else paper
        assert target.exists(), f"{paper.name} links to {link}"
        assert not anchor or anchor in heading_anchors(target), f"{paper.name} links to {link}"


def test_the_readmes_spec_is_valid(tmp_path: Path) -> None:
    (spec_text,) = blocks(README, "yaml")
    (tmp_path / "mine.yaml").write_text(spec_text)
    (tmp_path / "dialogues.jsonl").write_text('{"chosen": "\\n\\nHuman: Hello\\n\\nAssistant: Hello!"}\n')
    spec, trials = load_trials(str(tmp_path / "mine.yaml"), [])
    assert spec.search == "tuned"
    assert len(trials) == 4 * 5  # arms, and learning rates tried for each


def test_the_readmes_flags_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    accepted = capsys.readouterr().out
    for line in "\n".join(blocks(README, "sh")).splitlines():
        words = shlex.split(line, comments=True)
        if "sweep.run" in words:
            assert all(flag in accepted for flag in words if flag.startswith("--")), line
