"""What the words of a command line ask for."""

from dataclasses import replace

import pytest

from basis.errors import UserError
from sweep.requests import (
    ExplainKey,
    KeptSweep,
    ListPresets,
    ListTrials,
    NewSweep,
    ReproduceTrial,
    Request,
    RunSweep,
    ShowData,
    WriteData,
    parse_request,
)
from sweep.schema.limits import Limits

DEMO = NewSweep("demo", (), None)


@pytest.mark.parametrize(
    ("words", "request_made"),
    [
        ("--list", ListPresets()),
        ("--list demo --dry-run", ListPresets()),
        ("--explain trial.lr", ExplainKey("trial.lr")),
        ("--reproduce x/trial", ReproduceTrial("x/trial")),
        ("demo --dry-run", ListTrials(DEMO)),
        ("--resume x --dry-run", ListTrials(KeptSweep("x"))),
        ("demo --write-data y", WriteData(DEMO, "y")),
        ("demo --show-data 3", ShowData(DEMO, 3)),
        ("demo --dry-run --write-data y", ListTrials(DEMO)),
        (
            "demo --set seeds=2 --set trial.steps=3 --output z",
            RunSweep(NewSweep("demo", ("seeds=2", "trial.steps=3"), "z"), None, False, ""),
        ),
        ("--resume x --address auto --dashboard", RunSweep(KeptSweep("x"), "auto", True, "")),
        ("demo --verbose", RunSweep(NewSweep("demo", (), None), None, False, "", verbose=True)),
        ("demo --json", RunSweep(NewSweep("demo", (), None), None, False, "", as_json=True)),
        ("demo --dry-run --json", ListTrials(DEMO, as_json=True)),
        (
            "--resume x --max-trials 3 --max-gpus 1.5",
            RunSweep(KeptSweep("x"), None, False, "", limits=Limits(trials=3, gpus=1.5)),
        ),
        ("--resume x --watch", RunSweep(KeptSweep("x"), None, False, "", watch="while it runs")),
        ("--resume x --keep-watching", RunSweep(KeptSweep("x"), None, False, "", watch="until ended")),
    ],
)
def test_each_mode_is_a_request_of_its_own(words: str, request_made: Request) -> None:
    made = parse_request(words.split())
    if isinstance(made, RunSweep):
        kept = words.removesuffix(" --json")  # how a sweep is told is no part of it
        assert made.command.endswith(kept), "the command line is kept as it was typed"
        made = replace(made, command="")
    assert made == request_made


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "SPEC is missing; name a preset ("),
        ("demo --resume x", "SPEC demo is not accepted with --resume; a sweep continues as it was begun"),
        ("demo --or-resume", "--or-resume needs --output DIR"),
        ("--resume x --or-resume", "--or-resume is not accepted with --resume"),
        ("--resume x --set seeds=2", "--set seeds=2 is not accepted with --resume"),
        (
            "--reproduce x --resume y",
            "--resume y is not accepted with --reproduce; a trial runs again as it is recorded",
        ),
        ("--reproduce x --dashboard", "--dashboard is not accepted with --reproduce"),
        ("--reproduce x --max-trials 1", "--max-trials 1 is not accepted with --reproduce"),
        ("demo --max-trials 0", "--max-trials 0: is not accepted; accepted: a whole number from 1"),
        ("demo --max-gpus half", "--max-gpus half: is not accepted; accepted: a number from 1"),
        ("demo --max-gpus nan", "--max-gpus nan: is not accepted; accepted: a number from 1"),
        ("demo --unknown", "--help tells what is accepted"),
    ],
)
def test_words_that_do_not_go_together_are_refused_in_one_line(words: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_request(words.split())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
