"""The papers can be followed: links lead to files, the spec is valid, commands have their flags, files exist."""

import re
import shlex
from pathlib import Path

import pytest

from basis.packages import ROOT
from sweep.run import main
from sweep.spec_file.load import load_plan
from tests.test_imports import FLOORS

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
    (tmp_path / "chats.jsonl").write_text('{"chosen": "\\n\\nHuman: Hello\\n\\nAssistant: Hello!"}\n')
    plan = load_plan(str(tmp_path / "mine.yaml"))
    assert plan.spec.search == "tuned"
    assert len(plan.candidates) == 4 * 5  # arms, and learning rates tried for each


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_flags_in_a_paper_are_those_of_the_command(paper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    accepted = capsys.readouterr().out
    for line in "\n".join(blocks(paper.read_text(encoding="utf-8"), "sh")).replace("\\\n", "").splitlines():
        words = shlex.split(line.replace('"', ""), comments=True)  # some commands are in quotes, for `ray exec`
        if "sweep.run" in words:
            assert all(flag in accepted for flag in words if flag.startswith("--")), line


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_of_the_tree_that_a_paper_names_exist(paper: Path) -> None:
    if paper.name == "CHANGELOG.md":
        return  # names files of former times, too
    for path in re.findall(r"`((?:basis|model|sweep|analysis|benchmarks|tests|docs)/[\w./-]*)`", paper.read_text()):
        assert (ROOT / path).exists(), f"{paper.name} names {path}"


def test_the_tree_of_contributing_is_the_one_that_imports_are_held_to() -> None:
    rooms, package = [], ""
    for line in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"^    ((?:  )?)(\w+(?:/|\.py)) ", line):
            inner, name = found.groups()
            package = package if inner else name
            rooms.append((f"{package}{name}" if inner else name).rstrip("/"))
    assert [room for room in rooms if room in FLOORS] == list(FLOORS)
