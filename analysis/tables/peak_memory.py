"""What each arm took of the device's memory beside what was predicted for it: the Memory section of a report."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.frame_rows import FrameRows
from analysis.wording.numbers import MIB, MISSING, show_number
from basis.metrics import CPU_PEAK, GPU_PEAK, MEMORY_PARTS, PEAK_SOURCE
from basis.outcomes import Outcome

SOURCES = {
    GPU_PEAK: "the most that CUDA's allocator had handed out at once, over the whole of training",
    CPU_PEAK: "what PyTorch's CPU allocator reports of the first two steps, on top of the weights",
}
"""How a peak was measured, by what `peak_source` calls it."""

DECIMALS = 2
"""Decimals of the MiB in which all bytes of the section are printed, so that they can be added up."""


@dataclass(frozen=True)
class Peak:
    """Bytes allocated when it was most, and by name of MEMORY_PARTS what they consisted of; no parts if unknown."""

    total: float
    parts: dict[str, float]


@dataclass(frozen=True)
class ArmMemory:
    """Peaks of an arm; of several seeds, those of the trial with the highest.

    Attributes:
        arm: the arm.
        measured: the measured peak; None where no training step was taken, or the trial failed.
        predicted: the predicted peak; None without a prediction.
    """

    arm: Arm
    measured: Peak | None
    predicted: Peak | None

    @property
    def error(self) -> float:
        """By how many percent of the measured peak the predicted one exceeds it; NaN unless there are both."""
        if self.measured is None or self.predicted is None:
            return math.nan
        return 100 * (self.predicted.total / self.measured.total - 1)


@dataclass(frozen=True)
class MemorySection:
    """What a report says of memory, as printable strings.

    Attributes:
        peaks: one row per arm: predicted and measured peak, and how the trial was executed.
        parts: what the peaks consist of, a row per arm for each of the two; empty where no parts are known.
        notes: what these numbers mean.
        attempts: one row per attempt that ran out of memory.
    """

    peaks: pd.DataFrame
    parts: pd.DataFrame
    notes: list[str]
    attempts: pd.DataFrame


def memory_of_arms(arms: list[Arm]) -> list[ArmMemory]:
    """Choose for each arm the peaks that the report shows.

    Args:
        arms: all arms of the sweep.

    Returns:
        One value per arm that has a peak, a prediction, or ran out of memory; in the order of the arms.
    """
    memory = []
    for arm in arms:
        row = _highest(arm)
        measured = _peak(row, "peak") if arm.trained else None
        predicted = _peak(row, "predicted")
        if measured or predicted or arm.outcome == Outcome.OUT_OF_MEMORY:
            memory.append(ArmMemory(arm, measured, predicted))
    return memory


def describe_memory(memory: list[ArmMemory], attempts: pd.DataFrame, trials: pd.DataFrame) -> MemorySection | None:
    """The tables and notes of the section.

    Args:
        memory: what `memory_of_arms` returned.
        attempts: see `Results.attempts`.
        trials: see `Results.trials`.

    Returns:
        The section, or None where nothing is known of any arm's memory.
    """
    if not memory and attempts.empty:
        return None
    return MemorySection(_peaks(memory), _parts(memory), _notes(memory, attempts), _attempts(attempts, trials))


def _highest(arm: Arm) -> FrameRows:
    """The trial of an arm with the highest peak, or the highest predicted one where none was measured."""
    for name in ("peak_bytes", "predicted_peak_bytes"):
        if values := arm.values(name):
            return arm.used.row(arm.used.numbers(name).index(max(values)))
    return arm.used.row(0)


def _peak(row: FrameRows, prefix: str) -> Peak | None:
    value = row.number("peak_bytes" if prefix == "peak" else f"{prefix}_peak_bytes")
    if not value > 0:
        return None
    parts = {name: row.number(f"{prefix}_{name}_bytes") for name in MEMORY_PARTS}
    return Peak(value, parts if all(map(math.isfinite, parts.values())) else {})


def _peaks(memory: list[ArmMemory]) -> pd.DataFrame:
    """One row per arm; a column that says nothing of any arm is left out."""
    rows = [
        {
            "arm": usage.arm.label,
            "predicted peak, MiB": _mib(usage.predicted.total) if usage.predicted else MISSING,
            "measured peak, MiB": _measured(usage),
            "error": f"{usage.error:+z.2f} %" if math.isfinite(usage.error) else MISSING,
            "reserved peak, MiB": _mib(usage.arm.largest("reserved_peak_bytes")) if usage.measured else MISSING,
            "micro-batch": _either(show_number(value, 0) for value in usage.arm.values("micro_batch")),
            "activation checkpointing": _either(_yes(value) for value in usage.arm.values("activation_checkpointing")),
        }
        for usage in memory
    ]
    return _without_empty(pd.DataFrame(rows, dtype=str))


def _measured(usage: ArmMemory) -> str:
    if usage.measured:
        return _mib(usage.measured.total)
    return Outcome.OUT_OF_MEMORY if usage.arm.outcome == Outcome.OUT_OF_MEMORY else MISSING


def _parts(memory: list[ArmMemory]) -> pd.DataFrame:
    """Rows that add up, a measured and a predicted one for each arm that has both."""
    rows = []
    for usage in memory:
        for kind, peak in (("measured", usage.measured), ("predicted", usage.predicted)):
            if peak and peak.parts:
                rows.append({"arm": usage.arm.label, "peak": kind, **_adding_up(peak)})
    frame = pd.DataFrame(rows, dtype=str)
    return frame.drop(columns="peak") if len(frame) and set(frame["peak"]) == {"measured"} else frame


def _adding_up(peak: Peak) -> dict[str, str]:
    """Parts and sum in MiB. Activations are the rest by definition, so they take up what rounding leaves."""
    total = round(peak.total / MIB, DECIMALS)
    named = {name: round(value / MIB, DECIMALS) for name, value in peak.parts.items() if name != "activation"}
    named["activation"] = total - sum(named.values())
    cells = {f"{MEMORY_PARTS[name]}, MiB": f"{value:z,.{DECIMALS}f}" for name, value in named.items()}
    return {**cells, "sum, MiB": f"{total:,.{DECIMALS}f}"}


def _attempts(attempts: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """One row per attempt that ran out of memory, with how its trial ended."""
    by_trial = {row["trial"]: row for _, row in trials[trials["trial"].isin(attempts["trial"])].iterrows()}
    rows = [
        {
            "arm": attempt["arm"],
            "seed": show_number(_number(attempt, "seed"), 0),
            "during": str(attempt.get("during", MISSING)),
            "micro-batch": show_number(_number(attempt, "micro_batch"), 0),
            "activation checkpointing": _yes(_number(attempt, "activation_checkpointing")),
            "predicted, MiB": _mib(_number(attempt, "predicted_bytes")),
            "reached, MiB": _mib(_number(attempt, "reached_bytes")),
            "asked last, MiB": _mib(_number(attempt, "asked_bytes")),
            "allowed, MiB": _mib(_number(attempt, "limit_bytes")),
            "how the trial ended": _ending(by_trial[attempt["trial"]]),
        }
        for _, attempt in attempts.iterrows()
    ]
    return _without_empty(pd.DataFrame(rows, dtype=str))


def _ending(trial: pd.Series) -> str:
    """How a trial ended that had run out of memory, and how it was executed if it finished all the same."""
    micro_batch = _number(trial, "micro_batch")
    if trial["outcome"] != Outcome.FINISHED or not math.isfinite(micro_batch):
        return str(trial["outcome"])
    checkpointed = ", activation checkpointing" if _number(trial, "activation_checkpointing") == 1 else ""
    return f"{Outcome.FINISHED} with micro-batch {micro_batch:.0f}{checkpointed}"


def _notes(memory: list[ArmMemory], attempts: pd.DataFrame) -> list[str]:
    notes = []
    measured = [usage for usage in memory if usage.measured]
    if measured:
        sources = sorted({source for usage in measured if (source := usage.arm.text(PEAK_SOURCE))})
        told = "; ".join(f"{name} ({SOURCES[name]})" if name in SOURCES else name for name in sources)
        mixed = " Figures from different sources must not be compared." if len(sources) > 1 else ""
        notes.append(f"The peak was measured by: {told or 'unknown'}.{mixed}")
    if any(len(usage.arm.used) > 1 for usage in memory):
        notes.append("Of several seeds the trial with the highest peak is shown.")
    if any(peak.parts for usage in memory for peak in (usage.measured, usage.predicted) if peak):
        notes.append(
            "Each row of parts adds up to its peak and says what was there at that moment, so gradients that the "
            "backward pass has yet to make are not among them. Activations are all that is not one of the others: what "
            "is kept for the backward pass, temporaries, kernels' workspaces; their last digit takes up the rounding."
        )
    if known := [usage for usage in memory if math.isfinite(usage.error)]:
        worst = max(known, key=lambda usage: abs(usage.error))
        notes.append(
            "Predictions were made before the trials ran. The error is predicted minus measured, in percent of "
            f"measured; the largest is {abs(worst.error):.2f} % ({worst.arm.label})."
        )
    if len(attempts):
        notes.append(
            "Of an attempt that ran out of memory, reached is the most that tensors had at once, with the allocation "
            "that failed, which asked for the last of it; allowed is the limit set for the process, which needs some "
            "of it for other things."
        )
    return notes


def _without_empty(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.loc[:, [not (frame[name] == MISSING).all() for name in frame]]


def _either(texts: Iterable[str]) -> str:
    """The values of several seeds, each once."""
    return " or ".join(sorted(set(texts), key=lambda text: (len(text), text))) or MISSING


def _number(row: Mapping[Any, Any] | pd.Series, name: str) -> float:
    """A number of a row; NaN where it is absent, or none."""
    value: Any = row.get(name)
    return float(value) if isinstance(value, Real) else math.nan


def _mib(value: float) -> str:
    return show_number(value / MIB, DECIMALS)


def _yes(value: float) -> str:
    return MISSING if math.isnan(value) else "yes" if value else "no"
