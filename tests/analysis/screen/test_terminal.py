"""The first screen on a terminal: how many lines, how wide, and where a line may end."""

import io
import math
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from analysis.screen.terminal import summary_lines
from analysis.verdict.summary import Summary
from basis.outcomes import Outcome
from tests.analysis.verdict.test_summarise import FULL, RANKS, Config, loss_of, summary_of, sweep_of
from tests.planted_sweep import grid, planted

MANY: list[Config] = grid(rank=[1, 10, 100], lr=[1e-5, 1e-4, 1e-3], weight_decay=[0.0, 0.1], warmup_steps=[0, 10, 20])


@pytest.fixture(scope="module")
def usual() -> Summary:
    wins: dict[str, Any] = {"wins": lambda c: 70, "losses": lambda c: 30, "ties": lambda c: 20}
    lost: Config = {"optimizer": "sgd", "outcome": Outcome.DIVERGED}
    return summary_of(replace(sweep_of(FULL, *RANKS, lost, seeds=(1,), **wins), sweep={"data": {"overlap_exact": 1}}))


@pytest.fixture(scope="module")
def many() -> Summary:
    """54 arms whose labels name four settings each."""
    return summary_of(planted(lambda c: loss_of(c) + c["lr"], [{**one, "seed": 1} for one in MANY]))


def printed(summary: Summary, width: int | None) -> list[str]:
    return [line.plain for line in summary_lines(summary, width)]


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("name", ["usual", "many"])
def test_lines_are_few_fit_the_terminal_and_end_between_words(
    name: str, width: int, request: pytest.FixtureRequest
) -> None:
    summary = request.getfixturevalue(name)
    lines, whole = printed(summary, width), printed(summary, None)
    assert max(map(len, lines)) <= width
    words = {word for line in whole for word in line.split()}
    assert {word for line in lines for word in line.split()} <= words
    assert len(lines) <= (18 if width > 60 else 27)  # at 60 a label of this sweep takes two lines


def test_verdicts_trust_and_the_best_arms_come_in_this_order(usual: Summary) -> None:
    lines = printed(usual, 80)
    titles = [line[:13].strip() for line in lines if line[:1].isupper()]
    assert titles == ["LOWEST LOSS", "SAVES MEMORY", "AVOID", "AVOID", "TRUST low"]
    board = lines[lines.index("") + 1 :]
    assert [row.split()[0] for row in board[1:5]] == ["1", "2", "3", "4"]
    assert board[1].split()[1:4] == ["full", "adamw", "1.5020"]
    assert board[1].rstrip().endswith("#######")
    assert "1 arm diverged" in board[-1]


def test_of_many_arms_five_are_shown_and_the_others_counted(many: Summary) -> None:
    lines = printed(many, 200)
    assert [line.split()[0] for line in lines if line[:1].isdigit()] == ["1", "2", "3", "4", "5"]
    assert "49 more arms" in lines[-1]


def test_marks_say_what_the_tests_said(usual: Summary) -> None:
    board = usual.boards[0]
    untold = replace(usual, boards=(replace(board, places=tuple(replace(p, differs=False) for p in board.places)),))
    assert "~ not told apart from the best" in printed(untold, 80)[-1]
    assert "~" not in "".join(printed(usual, 80))
    bare = tuple(replace(p, differs=None, p_value=math.nan) for p in board.places)
    assert "? untested" in printed(replace(usual, boards=(replace(board, places=bare),)), 80)[-1]


def test_what_goes_into_a_file_has_no_colours_and_one_line_for_each_verdict(usual: Summary) -> None:
    stream = io.StringIO()
    for line in summary_lines(usual, None):
        Console(file=stream, width=80).print(line, soft_wrap=True)
    text = stream.getvalue()
    assert "\x1b" not in text
    assert sum(line[:1].isupper() for line in text.splitlines()) == len(usual.verdicts) + 1
    assert text.splitlines() == [line.rstrip() for line in printed(usual, None)]


def test_a_sweep_without_a_finished_trial_says_what_became_of_its_arms() -> None:
    summary = summary_of(sweep_of({**FULL, "outcome": Outcome.FAILED}))
    assert printed(summary, 80) == [
        "TRUST low     no finished trial · 3 of 3 trials unfinished",
        "1 arm failed",
    ]
