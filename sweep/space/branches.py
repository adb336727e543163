"""The choices that a spec's `space` lists: per branch and field either values to choose from, or a range."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from basis.errors import UserError, shortened, shown
from basis.fields import LIST_FIELDS, MAPPING_FIELDS
from sweep.mistakes.gathered import Mistakes
from sweep.schema.sweep_spec import MOST_TRIALS
from sweep.trial.config import TrialConfig
from sweep.trial.part import LARGEST

WHOLE_FIELDS = {name for name, field in TrialConfig.model_fields.items() if "int" in str(field.annotation)}


@dataclass(frozen=True)
class Range:
    """Values between `low` and `high`, even on a linear or a logarithmic scale; whole numbers for a field of such."""

    low: float
    high: float
    log: bool
    whole: bool

    def at(self, share: float) -> float:
        """The value at `share` (0 to 1) of the way from low to high."""
        if self.log:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        value = min(max(value, self.low), self.high)  # the logarithm may round beyond an end
        return round(value) if self.whole else value


Choice = tuple[Any, ...] | Range
Branch = Mapping[str, Choice]
"""The choices of one branch by field."""


def read_branches(space: Sequence[Mapping[str, Any]], mistakes: Mistakes) -> dict[int, Branch]:
    """The branches of a spec's `space` by their index.

    Args:
        space: as the spec has it.
        mistakes: gets every choice that is none. Its field is left out.
    """
    branches: dict[int, Branch] = {}
    for index, listed in enumerate(space):
        choices: dict[str, Choice] = {}
        for field, value in listed.items():
            try:
                choices[field] = _choice(f"space[{index}].{field}", field, value)
            except UserError as error:
                mistakes.add(str(error))
        branches[index] = choices
    return branches


def ranges_of(branch: Branch) -> dict[str, Range]:
    """The fields of a branch that have a range."""
    return {field: choice for field, choice in branch.items() if isinstance(choice, Range)}


def values_of(branch: Branch) -> dict[str, tuple[Any, ...]]:
    """The fields of a branch that list their values."""
    return {field: choice for field, choice in branch.items() if not isinstance(choice, Range)}


def count_configs(branch: Branch) -> int:
    """How many configs the listed values of a branch make; ranges do not count."""
    return math.prod(len(values) for values in values_of(branch).values())


def refuse_many(configs: Iterable[int], replicates: int, mistakes: Mistakes, noun: str = "trials") -> None:
    """Refuse a sweep that is too large to be listed, before it is listed.

    Args:
        configs: how many configs each branch has.
        replicates: with how many seeds each config runs.
        mistakes: those found so far; they are told along with this one.
        noun: what the message calls a config.

    Raises:
        SpecError: there are more than MOST_TRIALS.
    """
    count = sum(configs) * replicates
    if count > MOST_TRIALS:
        number = f"{count:,}" if count < 10**15 else f"more than 10^{len(str(count)) - 1}"
        each = f", {replicates} seeds each" if replicates > 1 else ""
        mistakes.add(f"space: has {number} {noun}{each}; accepted: {MOST_TRIALS:,} at most")
        mistakes.refuse()


def refuse_ranges(branches: Mapping[int, Branch], mistakes: Mistakes) -> None:
    """Tell `mistakes` of each range, which search 'grid' can't list."""
    for index, branch in branches.items():
        for field in ranges_of(branch):
            accepted = "a range is accepted under search 'random', 'optuna' or 'tuned'; list values"
            mistakes.add(f"space[{index}].{field}: {accepted}")


def require_ranges(branches: Mapping[int, Branch], mistakes: Mistakes) -> None:
    """Tell `mistakes` of each branch that has no range for search 'tuned' to tune."""
    in_doubt: Collection[str] = {mistake.key.partition(".")[0] for mistake in mistakes}
    for index, branch in branches.items():
        if f"space[{index}]" not in in_doubt and not ranges_of(branch):
            mistakes.add(
                f"space[{index}]: search 'tuned' needs a range in every branch, such as lr: {{low: 1e-5, high: 1e-3}}"
            )


def _choice(place: str, field: str, value: Any) -> Choice:
    if isinstance(value, dict) and field not in MAPPING_FIELDS:
        return _range(place, field, value)
    if field in LIST_FIELDS:  # a list is one value of such a field; choices are a list of lists
        many = isinstance(value, list) and bool(value) and isinstance(value[0], list)
        return tuple(value) if many else (value,)
    if isinstance(value, list) and not value:
        raise UserError(f"{place}: [] is not accepted; a list of choices needs one or more")
    return tuple(value) if isinstance(value, list) else (value,)


def _range(place: str, field: str, value: dict[str, Any]) -> Range:
    unknown = [key for key in value if key not in ("low", "high", "log")]
    if unknown:
        raise UserError(f"{place}.{shortened(str(unknown[0]), 60)}: unknown key; a range accepts low, high, log")
    low, high, log = (value.get(name) for name in ("low", "high", "log"))
    if not _is_number(low) or not _is_number(high) or not low < high:
        raise UserError(f"{place}: {shown(value)} is not accepted; a range needs numbers low < high")
    if log is not None and not isinstance(log, bool):
        raise UserError(f"{place}.log: {shown(log)} is not accepted; accepted: true or false")
    if log and low <= 0:
        raise UserError(f"{place}.low: {low} is not accepted; a logarithmic range lies above 0")
    whole = field in WHOLE_FIELDS
    if whole and not (float(low).is_integer() and float(high).is_integer()):
        raise UserError(f"{place}: {shown(value)} is not accepted; both ends of this range are whole numbers")
    return Range(low, high, bool(log), whole)


def _is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a number that can be calculated with; `true` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST < value < LARGEST
