"""The command sft-sweep: which subcommand runs, and what a command line without one is answered."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from basis.packages import ROOT
from basis.scripts import SUBCOMMANDS
from sweep import main


def test_a_subcommand_finds_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, list[str]]] = []

    def imported(home: str) -> SimpleNamespace:
        return SimpleNamespace(script=lambda: seen.append((home, sys.argv[:])))

    monkeypatch.setattr("importlib.import_module", imported)
    monkeypatch.setattr(sys, "argv", ["/opt/bin/sft-sweep", "judge", "DIR", "--judge", "M"])
    main.script()
    assert seen == [("sweep.driver.rejudge", ["/opt/bin/sft-sweep", "DIR", "--judge", "M"])]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (
            ["demo"],
            "'demo' is no subcommand (did you mean: sft-sweep run demo?); accepted: run, submit, jobs, control, ",
        ),
        (["--resume", "my dir"], "(did you mean: sft-sweep run --resume 'my dir'?)"),
        (["reprot", "DIR"], "(did you mean: sft-sweep report DIR?)"),
        (
            [],
            "a subcommand is missing; accepted: run, submit, jobs, control, report, judge, export, chat, track, watch",
        ),
    ],
)
def test_a_command_line_without_a_subcommand_is_answered_with_what_was_meant(
    words: list[str], answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/bin/sft-sweep", *words])
    with pytest.raises(SystemExit) as ended:
        main.script()
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert told.err.startswith("error: ")
    assert answer in told.err
    assert told.err.count("\n") == 1


def test_help_has_a_line_for_each_subcommand_and_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from sweep.main import script\n"
        "script()\n"
        "print(sorted({'torch', 'ray', 'pandas', 'rich', 'transformers'} & sys.modules.keys()))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=True, cwd=ROOT)
    *lines, loaded = ran.stdout.splitlines()
    assert loaded == "[]"
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(SUBCOMMANDS)
