"""Compares the losses of two runs of a trial: as pairs, as a verdict, and as a table."""

import math
from dataclasses import dataclass
from typing import Any

from rich.table import Table

LOSSES = ("train_loss", "validation_loss", "test_loss", "general_loss")

RELATIVE_TOLERANCE = 5e-4
"""Largest relative difference between two losses that still match, where the arithmetic is not the same.

Another order of additions changes the last bits of a gradient, and training amplifies the change. The tolerance lies
between that drift and the difference that another seed makes. Both were measured with the tests' model under AdamW at
lr 1e-3; a batch summed window by window stood for other arithmetic:

    drift in fp32, within 500 steps    at most 2e-4
    drift in bf16, within 100 steps    at most 1e-4
    another seed                       2e-3 and more

`tests/sweep/provenance/test_loss_match.py` holds the tolerance to both.

At the edge of stability (lr 1e-2 there) the two orders of addition differ by 3e-2, as much as two seeds do. No useful
tolerance covers that: a mismatch there proves no fault, and only a run on the same CPU and versions can decide.
"""


@dataclass(frozen=True)
class LossPair:
    """One loss of both runs, in nats/token.

    Attributes:
        step: the optimizer step after which it was taken.
        name: the loss's column, one of LOSSES.
        then: the recorded loss.
        again: the loss of the second run; None if that run has none.
    """

    step: int
    name: str
    then: float
    again: float | None

    @property
    def difference(self) -> float:
        """The difference relative to the larger of the two; infinite if one is missing or no finite number."""
        if self.again is None or not (math.isfinite(self.then) and math.isfinite(self.again)):
            return math.inf
        return abs(self.again - self.then) / max(abs(self.again), abs(self.then), math.ulp(0.0))

    def __str__(self) -> str:
        return f"{self.name.replace('_', ' ')} at step {self.step}"


def pair_losses(then: list[dict[str, Any]], again: list[dict[str, Any]]) -> list[LossPair]:
    """Pair every recorded loss with the second run's loss of the same step and name.

    Args:
        then: rows of result.json as recorded.
        again: rows of the second run.
    """
    found = {row["step"]: row for row in again}
    return [
        LossPair(row["step"], name, row[name], found.get(row["step"], {}).get(name))
        for row in then
        for name in LOSSES
        if name in row
    ]


def judge_losses(pairs: list[LossPair], tolerance: float) -> tuple[bool, str]:
    """Decide whether all losses match.

    Args:
        pairs: the losses of both runs, at least one.
        tolerance: the largest relative difference that counts as a match; 0 asks for equality to the bit.

    Returns:
        Whether all match, and a sentence that says so.
    """
    count, worst = len(pairs), max(pairs, key=lambda pair: pair.difference)
    if worst.difference == 0:
        return True, f"the {count} losses match to the bit"
    largest = f"largest relative difference {worst.difference:.1e}, {worst}"
    if worst.difference <= tolerance:
        return True, f"the {count} losses match within {tolerance:g} ({largest})"
    first = next(pair for pair in pairs if pair.difference > tolerance)
    again = "missing" if first.again is None else repr(first.again)
    wanted = f"within {tolerance:g}" if tolerance else "to the bit"
    unproven = "; where the arithmetic differs, a high learning rate alone can do that" if tolerance else ""
    return (
        False,
        f"the losses do NOT match {wanted}: first {first}, {first.then!r} then, {again} now ({largest}){unproven}",
    )


def loss_table(pairs: list[LossPair]) -> Table:
    """The losses as a table: one row per step, each loss then and again, and the largest relative difference."""
    names = [name for name in LOSSES if any(pair.name == name for pair in pairs)]
    table = Table(title="Losses in nats/token", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for column in ("step", *(f"{name.removesuffix('_loss')} {run}" for name in names for run in ("then", "again"))):
        table.add_column(column, justify="right", vertical="bottom", min_width=max(map(len, column.split())))
    table.add_column("differ by", justify="right", vertical="bottom")
    for step in dict.fromkeys(pair.step for pair in pairs):
        of_step = {pair.name: pair for pair in pairs if pair.step == step}
        cells = []
        for name in names:
            pair = of_step.get(name)
            losses = (pair.then, pair.again) if pair else (None, None)
            cells += ["" if loss is None else f"{loss:.6f}" for loss in losses]
        difference = max(pair.difference for pair in of_step.values())
        table.add_row(str(step), *cells, "0" if difference == 0 else f"{difference:.1e}")
    return table
