"""How much a sweep takes at once of a machine or cluster that it shares with other sweeps: no part of its spec."""

import argparse
import math
from dataclasses import dataclass

from basis.errors import UserError

TRIALS_FLAG, GPUS_FLAG = "--max-trials", "--max-gpus"


@dataclass(frozen=True)
class Limits:
    """What the running trials of a sweep may take together; None: as much as there is.

    Attributes:
        trials: how many run at once.
        gpus: how many GPUs they hold at once; trials that share one hold parts of it.
    """

    trials: int | None = None
    gpus: float | None = None

    @property
    def words(self) -> list[str]:
        """As a command line has them."""
        given = ((TRIALS_FLAG, self.trials), (GPUS_FLAG, self.gpus))
        return [word for flag, value in given if value is not None for word in (flag, str(value))]


UNLIMITED = Limits()


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Give a command line the flags that `limits_of` reads."""
    parser.add_argument(
        TRIALS_FLAG, type=_trials, metavar="N", help="run at most N trials at once, and leave the rest to other sweeps"
    )
    parser.add_argument(
        GPUS_FLAG, type=_gpus, metavar="N", help="hold at most N GPUs at once; trials that share one hold parts of it"
    )


def limits_of(arguments: argparse.Namespace) -> Limits:
    """What the flags of `add_limits` say."""
    return Limits(arguments.max_trials, arguments.max_gpus)


def _trials(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise UserError(f"{TRIALS_FLAG} {word}: is not accepted; accepted: a whole number from 1")
    return int(word)


def _gpus(word: str) -> float:
    try:
        gpus = float(word)
    except ValueError:
        gpus = math.nan
    if not 1 <= gpus < math.inf:
        raise UserError(f"{GPUS_FLAG} {word}: is not accepted; accepted: a number from 1")
    return gpus
