"""From a spec to trials: grids and random draws as a list, Optuna as a define-by-run space, and arms to be tuned.

Every way of searching walks the same branches (`SweepSpec.space`), so that a field such as rank exists only in the
branches that have it, and every trial is a validated TrialConfig before it starts.
"""

import itertools
import math
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from analysis.choices import LIST_FIELDS, Group, group_of
from sweep.errors import UserError
from sweep.explain import explain, first_problem
from sweep.seeds import AdaptiveSeeds
from sweep.spec import SweepSpec
from sweep.trial import EvaluateOn, TrialConfig

WHOLE_FIELDS = {name for name, field in TrialConfig.model_fields.items() if "int" in str(field.annotation)}
SUGGESTED = "suggested"
"""Key under which an Optuna trial's config keeps what Optuna itself chose, beside the TrialConfig made from it."""


@dataclass(frozen=True)
class Range:
    """Values between `low` and `high`, evenly on a linear or a logarithmic scale; whole numbers for a field of such."""

    low: float
    high: float
    log: bool
    whole: bool


Choice = tuple[Any, ...] | Range


def enumerate_trials(spec: SweepSpec) -> list[TrialConfig]:
    """The trials that a grid or random sweep begins with, in the order of the spec, replicates next to each other.

    Configs that two branches share come once.

    Raises:
        UserError: naming the branch, field and value that no trial can have.
    """
    if spec.search == "grid":
        arms = [(index, values) for index, branch in _branches(spec) for values in _grid(index, branch)]
    else:
        arms = list(_random(spec))
    trials = [_trial(spec, index, values, seed) for index, values in arms for seed in spec.first_seeds]
    return list(dict.fromkeys(trials))


def tuning_trials(spec: SweepSpec) -> list[list[TrialConfig]]:
    """The trials by which a tuned or a random sweep chooses on validation windows, group by group.

    Under search 'tuned' each arm has `spec.trials` of them: one range is tried at points spaced evenly from end to
    end, several at those of a Halton sequence. A random search has that many in all, which compete as
    `analysis.choices` tells.

    Raises:
        UserError: as `enumerate_trials`, and under search 'tuned' for a branch without a range.
    """
    seed = tuning_seed(spec)
    if spec.search == "random":
        return groups_of(spec, [_trial(spec, index, values, seed, "validation") for index, values in _random(spec)])
    arms: dict[tuple[TrialConfig, ...], None] = {}
    for index, branch in _branches(spec):
        ranges = {field: choice for field, choice in branch.items() if isinstance(choice, Range)}
        if not ranges:
            raise UserError(
                f"space[{index}]: search 'tuned' needs a range in every branch, such as lr: {{low: 1e-5, high: 1e-3}}"
            )
        points = _spread(ranges, spec.trials or 1, spec.search_seed)
        for values in _product({field: choice for field, choice in branch.items() if not isinstance(choice, Range)}):
            arms[tuple(_trial(spec, index, {**values, **point}, seed, "validation") for point in points)] = None
    return [list(dict.fromkeys(arm)) for arm in arms]


def tuning_seed(spec: SweepSpec) -> int:
    """A seed that no arm will run with, so that the choice of its settings owes nothing to the luck of its seeds."""
    return next(number for number in itertools.count() if number not in _possible_seeds(spec))


def groups_of(spec: SweepSpec, trials: Iterable[TrialConfig]) -> list[list[TrialConfig]]:
    """Trials by which a sweep chooses, by the groups in which they compete, in the order of the space."""
    plain = spec.model_dump(mode="json", include={"search", "choose_on", "space", "tables"})
    groups: dict[Group, dict[TrialConfig, None]] = {}
    for trial in trials:
        groups.setdefault(group_of(plain, trial.model_dump(mode="json")), {})[trial] = None
    return [list(groups[key]) for key in sorted(groups, key=lambda key: key[0])]


def candidate_trials(spec: SweepSpec) -> list[TrialConfig]:
    """Validated trials that the sweep will or may run: under Optuna each choice, and the ends of each range.

    Raises:
        UserError: see `enumerate_trials` and `tuning_trials`.
    """
    if spec.search != "optuna":
        return [t for arm in tuning_trials(spec) for t in arm] if spec.chooses_on_validation else enumerate_trials(spec)
    corners = [
        (index, values)
        for index, branch in _branches(spec)
        for values in _product({k: (c.low, c.high) if isinstance(c, Range) else c for k, c in branch.items()})
    ]
    return list(dict.fromkeys(_proposed(spec, index, values) for index, values in corners))


def least_trials(spec: SweepSpec) -> int:
    """How many trials the sweep takes; with adaptive seeds the fewest, and as if Optuna tried of everything."""
    seeds = len(spec.first_seeds)
    if spec.search == "optuna" and spec.chooses_on_validation:
        return (spec.trials or 1) + seeds * min(spec.trials or 1, len(groups_of(spec, candidate_trials(spec))))
    if spec.search == "optuna":
        return (spec.trials or 1) * seeds
    if spec.chooses_on_validation:
        return sum(len(arm) + seeds for arm in tuning_trials(spec))
    return len(enumerate_trials(spec))


class Suggester(Protocol):
    """The part of `optuna.Trial` that a define-by-run space needs."""

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> int: ...


@dataclass(frozen=True)
class OptunaSpace:
    """A define-by-run space for `ray.tune.search.optuna.OptunaSearch`: first a branch, then that branch's fields.

    Called with a trial that can suggest, it returns what `propose` makes of a complete TrialConfig.
    """

    spec: SweepSpec
    propose: Callable[[TrialConfig], dict[str, Any]]

    def __call__(self, suggester: Suggester) -> dict[str, Any]:
        branches = dict(_branches(self.spec))
        index = 0
        if len(branches) > 1:
            index = suggester.suggest_categorical(f"{SUGGESTED}/branch", list(branches))
        values: dict[str, Any] = {}
        for field, choice in branches[index].items():
            name = f"{SUGGESTED}/{index}.{field}"
            if isinstance(choice, Range) and choice.whole:
                values[field] = suggester.suggest_int(name, int(choice.low), int(choice.high), log=choice.log)
            elif isinstance(choice, Range):
                values[field] = suggester.suggest_float(name, choice.low, choice.high, log=choice.log)
            elif len(choice) > 1:
                position = suggester.suggest_categorical(name, list(range(len(choice))))
                values[field] = choice[position]
            else:
                values[field] = choice[0]
        return self.propose(_proposed(self.spec, index, values))


def _branches(spec: SweepSpec) -> Iterator[tuple[int, dict[str, Choice]]]:
    for index, branch in enumerate(spec.space):
        yield index, {field: _choice(index, field, value) for field, value in branch.items()}


def _choice(index: int, field: str, value: Any) -> Choice:
    where = f"space[{index}].{field}"
    if isinstance(value, dict):
        unknown = sorted(value.keys() - {"low", "high", "log"})
        if unknown:
            raise UserError(f"{where}.{unknown[0]}: unknown key; a range accepts low, high, log")
        low, high = value.get("low"), value.get("high")
        if isinstance(low, bool) or isinstance(high, bool):
            low = high = None  # true is no number
        if not isinstance(low, int | float) or not isinstance(high, int | float) or not low < high:
            raise UserError(f"{where}: {value} is not accepted; a range needs numbers low < high")
        if value.get("log") and low <= 0:
            raise UserError(f"{where}.low: {low} is not accepted; a logarithmic range lies above 0")
        whole = field in WHOLE_FIELDS
        if whole and not (float(low).is_integer() and float(high).is_integer()):
            raise UserError(f"{where}: {value} is not accepted; both ends of this range are whole numbers")
        return Range(low, high, bool(value.get("log")), whole)
    if field in LIST_FIELDS:  # a list is one value of such a field; choices are a list of lists
        many = isinstance(value, list) and bool(value) and isinstance(value[0], list)
        return tuple(value) if many else (value,)
    if isinstance(value, list) and not value:
        raise UserError(f"{where}: [] is not accepted; a list of choices needs one or more")
    return tuple(value) if isinstance(value, list) else (value,)


def _product(branch: dict[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(branch, values, strict=True)) for values in itertools.product(*branch.values()))


def _grid(index: int, branch: dict[str, Choice]) -> Iterator[dict[str, Any]]:
    fixed: dict[str, tuple[Any, ...]] = {}
    for field, choice in branch.items():
        if isinstance(choice, Range):
            raise UserError(
                f"space[{index}].{field}: a range is accepted under search 'random', 'optuna' or 'tuned'; list values"
            )
        fixed[field] = choice
    return _product(fixed)


def _random(spec: SweepSpec) -> Iterator[tuple[int, dict[str, Any]]]:
    draw = random.Random(spec.search_seed)
    branches = dict(_branches(spec))
    for _ in range(spec.trials or 0):
        index = draw.randrange(len(branches))
        yield index, {field: _draw(choice, draw) for field, choice in branches[index].items()}


def _draw(choice: Choice, draw: random.Random) -> Any:
    if not isinstance(choice, Range):
        return draw.choice(choice)
    if choice.whole and not choice.log:
        return draw.randint(int(choice.low), int(choice.high))
    return _at(choice, draw.random())


def _at(choice: Range, share: float) -> Any:
    """The value at `share` of the way from low to high."""
    if choice.log:
        value = math.exp(math.log(choice.low) + share * (math.log(choice.high) - math.log(choice.low)))
    else:
        value = choice.low + share * (choice.high - choice.low)
    value = min(max(value, choice.low), choice.high)  # the logarithm may round beyond an end
    return round(value) if choice.whole else value


def _spread(ranges: dict[str, Range], count: int, seed: int) -> list[dict[str, Any]]:
    """Points that cover the ranges evenly."""
    if len(ranges) == 1:
        shares = [[i / (count - 1)] for i in range(count)] if count > 1 else [[0.5]]
    else:
        from scipy.stats import qmc  # half a second, which plain questions need not wait for

        shares = qmc.Halton(len(ranges), rng=seed).random(count).tolist()
    return [{field: _at(c, share) for (field, c), share in zip(ranges.items(), point, strict=True)} for point in shares]


def _possible_seeds(spec: SweepSpec) -> Collection[int]:
    return range(spec.seeds.max) if isinstance(spec.seeds, AdaptiveSeeds) else spec.seeds


def _proposed(spec: SweepSpec, index: int, values: dict[str, Any]) -> TrialConfig:
    """A trial as Optuna proposes it, with the first seed that it runs with."""
    if spec.chooses_on_validation:
        return _trial(spec, index, values, tuning_seed(spec), "validation")
    return _trial(spec, index, values, spec.first_seeds[0])


def _trial(
    spec: SweepSpec, index: int, values: dict[str, Any], seed: int, evaluate_on: EvaluateOn = "test"
) -> TrialConfig:
    shared = {"seed": seed, "evaluate_on": evaluate_on, **spec.trial}
    method = values.get("method", spec.trial.get("method"))
    if method == "lora":
        shared |= spec.lora
    merged = {**shared, **values}
    try:
        return TrialConfig.model_validate(merged)
    except ValidationError as error:
        origin = _origin(spec, method, values, error) or f"space[{index}]."
        raise UserError(explain(error, TrialConfig, prefix=origin)) from None


def _origin(spec: SweepSpec, method: Any, values: dict[str, Any], error: ValidationError) -> str:
    """Where in the spec the offending field stands: in the branch, or in what branches share."""
    first = first_problem(error)
    field = str(first["loc"][0]) if first["loc"] else first["ctx"]["key"]
    if field not in values:
        if field in spec.lora and method == "lora":
            return "lora."
        if field in spec.trial:
            return "trial."
    return ""
