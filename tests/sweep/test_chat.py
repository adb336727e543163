"""The command `python -m sweep.chat` over a sweep that has run, with turns from a pipe."""

import subprocess

import pytest

from tests.conftest import Swept
from tests.warm import run_warm


def chat(swept: Swept, environment: dict[str, str], said: str, *words: str) -> subprocess.CompletedProcess[str]:
    return run_warm(["sweep.chat", swept.experiment, *words], environment, said)


def test_equal_arms_answer_a_pipe_alike_and_plainly(swept: Swept, environment: dict[str, str]) -> None:
    said = "Hello?\n\nWhat colour is the lamp?\n"
    ran = chat(swept, environment, said, "--arm", "full adamw", "--against", "full adamw", "--new-tokens", "12")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\x1b" not in ran.stdout
    first, second = ran.stdout.strip().split("\n\n\n") if "\n\n\n" in ran.stdout else ran.stdout.strip().split("\n\n")
    for answered in (first, second):
        _, one, other = answered.split("full adamw:\n")
        assert one.strip() == other.strip() != ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--arm", "full adam"], "did you mean 'full adamw'?"),
        (["--temperature", "0"], "--temperature 0 is not accepted; accepted: a number above 0"),
    ],
)
def test_what_can_not_be_is_told_in_a_line(
    swept: Swept, environment: dict[str, str], words: list[str], told: str
) -> None:
    ran = chat(swept, environment, "Hello?\n", *words)
    assert ran.returncode == 2
    assert told in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
