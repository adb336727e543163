"""The bars of peak memory, whatever draws them: which arms share one, and what each is stacked from."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from analysis.tables.peak_memory import ArmMemory
from basis.fields import arm_label
from basis.metrics import LASTING_PARTS, MEMORY_PARTS, PEAK_SOURCE
from basis.outcomes import Outcome

REST = "rest up to the peak"
"""The part of a peak whose own parts are unknown."""


class MemoryBar(NamedTuple):
    """A bar.

    Attributes:
        arm: label of the first arm that it stands for.
        name: what it is called: the arm's label, or a short name that several arms share.
        parts: bytes by name of a part, from the left; none where the arm ran out of memory.
        measured: the peak in bytes; NaN without one.
        predicted: likewise.
    """

    arm: str
    name: str
    parts: tuple[tuple[str, float], ...]
    measured: float
    predicted: float

    @property
    def end(self) -> float:
        """The larger peak."""
        return max(value for value in (self.measured, self.predicted, 0.0) if math.isfinite(value))


def memory_bars(memory: Sequence[ArmMemory]) -> list[MemoryBar]:
    """The bars of what arms took, in the order of the arms.

    Args:
        memory: what `memory_of_arms` returned; arms of the same short name and the same bytes share one bar.

    Returns:
        The bars; none where no peak was measured.
    """
    bars: dict[tuple[object, ...], MemoryBar] = {}
    for usage in memory:
        if usage.measured or (usage.predicted and usage.arm.outcome == Outcome.OUT_OF_MEMORY):
            config, label = usage.arm.config, usage.arm.label
            short = arm_label(config) if {"method", "rank", "optimizer"} <= set(config) else label
            parts = tuple(_parts(usage).items())
            peaks = [peak.total if peak else None for peak in (usage.measured, usage.predicted)]
            key = (short, parts, *peaks)
            measured, predicted = (math.nan if peak is None else peak for peak in peaks)
            own = MemoryBar(label, label, parts, measured, predicted)
            bars[key] = bars[key]._replace(name=short) if key in bars else own
    return list(bars.values()) if any(usage.measured for usage in memory) else []


def largest_bars(bars: Sequence[MemoryBar], most: int) -> list[MemoryBar]:
    """Those of the largest peaks, in their own order."""
    return [bars[place] for place in sorted(sorted(range(len(bars)), key=lambda place: -bars[place].end)[:most])]


def about_bars(memory: Sequence[ArmMemory], shown: Sequence[MemoryBar], known: int) -> str:
    """Sentences on where bars come from and what is marked in them.

    Args:
        memory: as in `memory_bars`.
        shown: the bars that are drawn.
        known: how many there are.
    """
    sources = sorted({source for usage in memory if usage.measured and (source := usage.arm.text(PEAK_SOURCE))})
    drawn = {name for bar in shown for name, _ in bar.parts}
    parts = [f"Measured by: {', '.join(sources) or 'unknown'}."]
    if MEMORY_PARTS["activation"] in drawn:
        parts.append("Activations are all that is none of the other parts.")
    if REST in drawn:
        parts.append("The rest up to the peak is activations and work space.")
    if any(math.isfinite(bar.predicted) for bar in shown):
        parts.append("An upright tick marks the peak that was predicted before the trial ran.")
    if len(shown) < known:
        parts.append(f"Of {known:,} different peaks these are the {len(shown)} largest.")
    return " ".join(parts)


def _parts(usage: ArmMemory) -> dict[str, float]:
    """The parts of the measured peak; where they are unknown, what is allocated all the time, and the rest."""
    if usage.measured is None:
        return {}
    if usage.measured.parts:
        return {MEMORY_PARTS[name]: value for name, value in usage.measured.parts.items()}
    lasting = {MEMORY_PARTS[name]: usage.arm.largest(f"{name}_bytes") for name in LASTING_PARTS}
    lasting = {name: value for name, value in lasting.items() if math.isfinite(value)}
    return {**lasting, REST: max(0.0, usage.measured.total - sum(lasting.values()))}
