"""From a spec to trials: grids and random draws as a list, Optuna as a define-by-run space, and arms to be tuned.

Every way of searching walks the same branches (`SweepSpec.space`), so that a field such as rank exists only in the
branches that have it, and every trial is a validated TrialConfig before it starts.
"""

import itertools
import math
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

from pydantic import ValidationError

from analysis.comparison.choices import Group, group_of
from basis.errors import UserError, shortened, shown
from basis.fields import LIST_FIELDS
from basis.stages import Stage
from sweep.mistakes.explain import mistakes
from sweep.mistakes.gathered import Mistakes
from sweep.spec.schema import MOST_TRIALS, SweepSpec
from sweep.spec.seeds import AdaptiveSeeds
from sweep.trial.config import TrialConfig
from sweep.trial.part import LARGEST

WHOLE_FIELDS = {name for name, field in TrialConfig.model_fields.items() if "int" in str(field.annotation)}
MOST_FAILED = 100
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
        SpecError: naming each branch, field and value that no trial can have.
    """
    found = Mistakes()
    branches = _branches(spec, found)
    arms: Iterable[tuple[int, dict[str, Any]]]
    if spec.search == "grid":
        grids = {index: _grid(index, branch, found) for index, branch in branches.items()}
        _check_count(spec, map(_size, grids.values()), found)
        arms = ((index, values) for index, grid in grids.items() for values in _product(grid))
    else:
        _check_count(spec, [spec.trials or 1], found)
        arms = _random(spec, branches)
    trials = _trials(spec, ((index, values, seed) for index, values in arms for seed in spec.first_seeds), found)
    found.refuse()
    return trials


def tuning_trials(spec: SweepSpec) -> list[list[TrialConfig]]:
    """The trials by which a tuned or a random sweep chooses on validation windows, group by group.

    Under search 'tuned' each arm has `spec.trials` of them: one range is tried at points spaced evenly from end to
    end, several at those of a Halton sequence. A random search has that many in all, which compete as
    `analysis.comparison.choices` tells.

    Raises:
        SpecError: as `enumerate_trials`, and under search 'tuned' for a branch without a range.
    """
    seed = tuning_seed(spec)
    found = Mistakes()
    branches = _branches(spec, found)
    if spec.search == "random":
        _check_count(spec, [spec.trials or 1], found)
        drawn = ((index, values, seed) for index, values in _random(spec, branches))
        trials = _trials(spec, drawn, found, Stage.TUNING)
        found.refuse()
        return groups_of(spec, trials)
    in_doubt = {one.key.partition(".")[0] for one in found}
    for index, branch in branches.items():
        if f"space[{index}]" not in in_doubt and not any(isinstance(choice, Range) for choice in branch.values()):
            found.add(
                f"space[{index}]: search 'tuned' needs a range in every branch, such as lr: {{low: 1e-5, high: 1e-3}}"
            )
    sizes = [_size({k: c for k, c in branch.items() if not isinstance(c, Range)}) for branch in branches.values()]
    _check_count(spec, [size * ((spec.trials or 1) + len(spec.first_seeds)) for size in sizes], found, seeds=1)
    arms: dict[tuple[TrialConfig, ...], None] = {}
    for index, branch in branches.items():
        ranges = {field: choice for field, choice in branch.items() if isinstance(choice, Range)}
        points = _spread(ranges, spec.trials or 1, spec.search_seed) if ranges else [{}]
        for values in _product({field: choice for field, choice in branch.items() if not isinstance(choice, Range)}):
            settings = ((index, {**values, **point}, seed) for point in points)
            arms[tuple(_trials(spec, settings, found, Stage.TUNING))] = None
    found.refuse()
    return [list(arm) for arm in arms]


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
        SpecError: see `enumerate_trials` and `tuning_trials`.
    """
    if spec.search != "optuna":
        return [t for arm in tuning_trials(spec) for t in arm] if spec.chooses_on_validation else enumerate_trials(spec)
    found = Mistakes()
    ends = {
        index: {field: (c.low, c.high) if isinstance(c, Range) else c for field, c in branch.items()}
        for index, branch in _branches(spec, found).items()
    }
    _check_count(spec, [_size(branch) for branch in ends.values()], found, seeds=1, noun="corners")
    _check_count(spec, [spec.trials or 1], found)
    seed, stage = _proposed_with(spec)
    corners = ((index, values, seed) for index, branch in ends.items() for values in _product(branch))
    trials = _trials(spec, corners, found, stage)
    found.refuse()
    return trials


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
        branches = _branches(self.spec, Mistakes())  # which have been checked
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
        return self.propose(_trial(self.spec, index, values, *_proposed_with(self.spec)))


def _branches(spec: SweepSpec, found: Mistakes) -> dict[int, dict[str, Choice]]:
    """The choices of each branch by its index; `found` is told of fields whose choices are none, which are left out."""
    branches: dict[int, dict[str, Choice]] = {}
    for index, branch in enumerate(spec.space):
        branches[index] = {}
        for field, value in branch.items():
            try:
                branches[index][field] = _choice(f"space[{index}].{field}", field, value)
            except UserError as error:
                found.add(str(error))
    return branches


def _choice(where: str, field: str, value: Any) -> Choice:
    if isinstance(value, dict):
        unknown = [key for key in value if key not in ("low", "high", "log")]
        if unknown:
            raise UserError(f"{where}.{shortened(str(unknown[0]), 60)}: unknown key; a range accepts low, high, log")
        low, high, log = (value.get(name) for name in ("low", "high", "log"))
        if not _is_number(low) or not _is_number(high) or not low < high:
            raise UserError(f"{where}: {shown(value)} is not accepted; a range needs numbers low < high")
        if log is not None and not isinstance(log, bool):
            raise UserError(f"{where}.log: {shown(log)} is not accepted; accepted: true or false")
        if log and low <= 0:
            raise UserError(f"{where}.low: {low} is not accepted; a logarithmic range lies above 0")
        whole = field in WHOLE_FIELDS
        if whole and not (float(low).is_integer() and float(high).is_integer()):
            raise UserError(f"{where}: {shown(value)} is not accepted; both ends of this range are whole numbers")
        return Range(low, high, bool(log), whole)
    if field in LIST_FIELDS:  # a list is one value of such a field; choices are a list of lists
        many = isinstance(value, list) and bool(value) and isinstance(value[0], list)
        return tuple(value) if many else (value,)
    if isinstance(value, list) and not value:
        raise UserError(f"{where}: [] is not accepted; a list of choices needs one or more")
    return tuple(value) if isinstance(value, list) else (value,)


def _is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a number, and one that can be reckoned with; true is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST < value < LARGEST


def _size(branch: Mapping[str, Any]) -> int:
    """How many configs a branch without ranges has."""
    return math.prod(len(choice) for choice in branch.values() if not isinstance(choice, Range))


def _check_count(
    spec: SweepSpec, configs: Iterable[int], found: Mistakes, seeds: int | None = None, noun: str = "trials"
) -> None:
    """Refuse a sweep that is too large to be listed, before it is."""
    replicates = len(spec.first_seeds) if seeds is None else seeds
    count = sum(configs) * replicates
    if count > MOST_TRIALS:
        number = f"{count:,}" if count < 10**15 else f"more than 10^{len(str(count)) - 1}"
        each = f", {replicates} seeds each" if replicates > 1 else ""
        found.add(f"space: has {number} {noun}{each}; accepted: {MOST_TRIALS:,} at most")
        found.refuse()


def _product(branch: dict[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(branch, values, strict=True)) for values in itertools.product(*branch.values()))


def _grid(index: int, branch: Mapping[str, Choice], found: Mistakes) -> dict[str, tuple[Any, ...]]:
    """The choices of a branch of search 'grid'; `found` is told of ranges."""
    for field, choice in branch.items():
        if isinstance(choice, Range):
            accepted = "a range is accepted under search 'random', 'optuna' or 'tuned'; list values"
            found.add(f"space[{index}].{field}: {accepted}")
    return {field: choice for field, choice in branch.items() if not isinstance(choice, Range)}


def _random(spec: SweepSpec, branches: Mapping[int, dict[str, Choice]]) -> Iterator[tuple[int, dict[str, Any]]]:
    draw = random.Random(spec.search_seed)
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


def _proposed_with(spec: SweepSpec) -> tuple[int, Stage]:
    """The first seed that a trial which Optuna proposes runs with, and its stage."""
    return (tuning_seed(spec), Stage.TUNING) if spec.chooses_on_validation else (spec.first_seeds[0], Stage.PLAIN)


def _trials(
    spec: SweepSpec,
    settings: Iterable[tuple[int, dict[str, Any], int]],
    found: Mistakes,
    stage: Stage = Stage.PLAIN,
) -> list[TrialConfig]:
    """The trials of settings, which are a branch's index, values for its fields and a seed; each trial once.

    `found` is told of settings that are none; after MOST_FAILED of them nobody looks further.
    """
    trials: dict[TrialConfig, None] = {}
    failed = 0
    for index, values, seed in settings:
        try:
            trials[_trial(spec, index, values, seed, stage)] = None
        except ValidationError as error:
            found.add_all(mistakes(error, TrialConfig, prefix=_origins(spec, index, values)))
            failed += 1
            if failed == MOST_FAILED:
                break
    return list(trials)


def _trial(spec: SweepSpec, index: int, values: dict[str, Any], seed: int, stage: Stage = Stage.PLAIN) -> TrialConfig:
    shared = {"seed": seed, "evaluate_on": stage, **spec.trial}
    if _method(spec, values) == "lora":
        shared |= spec.lora
    return TrialConfig.model_validate({**shared, **values})


def _method(spec: SweepSpec, values: dict[str, Any]) -> Any:
    return values.get("method", spec.trial.get("method"))


def _origins(spec: SweepSpec, index: int, values: dict[str, Any]) -> Callable[[str], str]:
    """What tells where in the spec a field stands: in the branch, or in what branches share."""

    def origin(field: str) -> str:
        if field not in values:
            if field in spec.lora and _method(spec, values) == "lora":
                return "lora."
            if field in spec.trial:
                return "trial."
        return f"space[{index}]."

    return origin
