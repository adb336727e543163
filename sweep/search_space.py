"""From a spec to trials: grids and random draws as a list, Optuna as a define-by-run space, and arms to be tuned.

Every way of searching walks the same branches (`SweepSpec.space`). A field such as rank exists only in the branches
that have it, and every trial is a validated TrialConfig before it starts.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from analysis.comparison.choices import Group, group_of
from basis.errors import SpecError
from basis.fields import PrecisionChoice
from basis.stages import Stage
from sweep.mistakes.gathered import Mistakes, mistake
from sweep.schema.seeds import AdaptiveSeeds
from sweep.schema.sweep_spec import SweepSpec
from sweep.space.branches import (
    Branch,
    Choice,
    Range,
    count_configs,
    ranges_of,
    read_branches,
    refuse_many,
    refuse_ranges,
    require_ranges,
    values_of,
)
from sweep.space.configs import trial_at, trials_at
from sweep.space.learning_rates import DefaultRate, asks_for_default, settle_learning_rates, with_stand_ins
from sweep.space.points import Point, product, random_points, spread
from sweep.trial.config import TrialConfig

SUGGESTED = "suggested"
"""What the name of each of Optuna's own values begins with. Ray puts them under this key of a trial's config."""


@dataclass(frozen=True)
class SweepPlan:
    """A sweep and its trials, enumerated once.

    Attributes:
        spec: the sweep, with a range in place of each `lr: default`.
        candidates: the trials that it will or may run: all of a grid, all of a random or tuned search that are listed
            beforehand, and for Optuna every combination of choices and of ends of ranges.
        groups: the candidates by the groups in which they compete for being tested; empty where nothing is chosen on
            validation windows.
        least_trials: how many trials the sweep takes: with adaptive seeds the fewest, and for Optuna as if it tried
            something of every group.
        default_rates: what each `lr: default` has become.
    """

    spec: SweepSpec
    candidates: list[TrialConfig]
    groups: list[list[TrialConfig]]
    least_trials: int
    default_rates: tuple[DefaultRate, ...] = ()

    @property
    def search_seeds(self) -> tuple[int, ...]:
        """The seeds with which each config that Optuna proposes runs."""
        return _search_seeds(self.spec)

    @property
    def precisions(self) -> tuple[PrecisionChoice, ...]:
        """What its trials ask for, each once."""
        return tuple(dict.fromkeys(trial.precision for trial in self.candidates))

    @property
    def compiles(self) -> bool:
        """Whether some trial is compiled."""
        return any(trial.compile for trial in self.candidates)


def plan_sweep(spec: SweepSpec) -> SweepPlan:
    """Enumerate the trials of a sweep.

    Raises:
        SpecError: naming each branch, field and value that no trial can have.
    """
    if not asks_for_default(spec):
        return _planned(spec)
    mistakes = Mistakes()
    try:
        _planned(with_stand_ins(spec))  # what is wrong is told with its place in the spec as it was written
    except SpecError as error:
        mistakes.add_all(map(mistake, error.messages))
    settled, became = settle_learning_rates(spec, mistakes)
    mistakes.refuse()
    return replace(_planned(settled), default_rates=tuple(became))


def _planned(spec: SweepSpec) -> SweepPlan:
    seeds = len(spec.first_seeds)
    if spec.search == "optuna":
        corners, tried = _corners(spec), spec.trials or 1
        if not spec.chooses_on_validation:
            return SweepPlan(spec, corners, [], tried * seeds)
        groups = groups_of(spec, corners)
        return SweepPlan(spec, corners, groups, tried + seeds * min(tried, len(groups)))
    if spec.chooses_on_validation:
        groups = tuning_trials(spec)
        listed = [trial for group in groups for trial in group]
        return SweepPlan(spec, listed, groups, len(listed) + seeds * len(groups))
    trials = enumerate_trials(spec)
    return SweepPlan(spec, trials, [], len(trials))


def candidate_trials(spec: SweepSpec) -> list[TrialConfig]:
    """The trials that the sweep will or may run, see `SweepPlan`.

    Raises:
        SpecError: see `plan_sweep`.
    """
    return plan_sweep(spec).candidates


def enumerate_trials(spec: SweepSpec) -> list[TrialConfig]:
    """The trials that a grid or random sweep begins with, in the order of the spec, replicates next to each other.

    Configs that two branches share come once.

    Raises:
        SpecError: see `plan_sweep`.
    """
    mistakes = Mistakes()
    branches = read_branches(spec.space, mistakes)
    points: Iterable[Point]
    if spec.search == "grid":
        refuse_ranges(branches, mistakes)
        refuse_many(map(count_configs, branches.values()), len(spec.first_seeds), mistakes)
        points = (Point(index, values) for index, branch in branches.items() for values in product(values_of(branch)))
    else:
        refuse_many([spec.trials or 1], len(spec.first_seeds), mistakes)
        points = random_points(branches, spec.trials or 0, spec.search_seed)
    trials = trials_at(spec, points, spec.first_seeds, mistakes)
    mistakes.refuse()
    return trials


def tuning_trials(spec: SweepSpec) -> list[list[TrialConfig]]:
    """The trials by which a tuned or a random sweep chooses on validation windows, group by group.

    Under search 'tuned' each arm has `spec.trials` of them: one range is tried at points spaced evenly from end to
    end, several at those of a Halton sequence. A random search has that many in all, which compete as
    `analysis.comparison.choices` tells.

    Raises:
        SpecError: as `plan_sweep`, and under search 'tuned' for a branch without a range.
    """
    return _drawn_groups(spec) if spec.search == "random" else _tuned_arms(spec)


def _drawn_groups(spec: SweepSpec) -> list[list[TrialConfig]]:
    mistakes = Mistakes()
    branches = read_branches(spec.space, mistakes)
    refuse_many([spec.trials or 1], len(spec.first_seeds), mistakes)
    points = random_points(branches, spec.trials or 0, spec.search_seed)
    trials = trials_at(spec, points, [tuning_seed(spec)], mistakes, Stage.TUNING)
    mistakes.refuse()
    return groups_of(spec, trials)


def _tuned_arms(spec: SweepSpec) -> list[list[TrialConfig]]:
    mistakes = Mistakes()
    branches = read_branches(spec.space, mistakes)
    require_ranges(branches, mistakes)
    per_config = (spec.trials or 1) + len(spec.first_seeds)
    refuse_many([count_configs(branch) * per_config for branch in branches.values()], 1, mistakes)
    seed = tuning_seed(spec)
    arms: dict[tuple[TrialConfig, ...], None] = {}
    for index, branch in branches.items():
        settings = spread(ranges_of(branch), spec.trials or 1, spec.search_seed)
        for values in product(values_of(branch)):
            points = [Point(index, {**values, **setting}) for setting in settings]
            arms[tuple(trials_at(spec, points, [seed], mistakes, Stage.TUNING))] = None
    mistakes.refuse()
    return [list(arm) for arm in arms]


def _corners(spec: SweepSpec) -> list[TrialConfig]:
    """What Optuna may propose, at every choice and both ends of every range."""
    mistakes = Mistakes()
    branches = {
        index: {field: _ends(choice) for field, choice in branch.items()}
        for index, branch in read_branches(spec.space, mistakes).items()
    }
    refuse_many([count_configs(branch) for branch in branches.values()], 1, mistakes, noun="corners")
    refuse_many([spec.trials or 1], len(spec.first_seeds), mistakes)
    points = (Point(index, values) for index, branch in branches.items() for values in product(branch))
    trials = trials_at(spec, points, _search_seeds(spec)[:1], mistakes, _searched_on(spec))
    mistakes.refuse()
    return trials


def _ends(choice: Choice) -> tuple[Any, ...]:
    return (choice.low, choice.high) if isinstance(choice, Range) else choice


def groups_of(spec: SweepSpec, trials: Iterable[TrialConfig]) -> list[list[TrialConfig]]:
    """Trials by which a sweep chooses, by the groups in which they compete, in the order of the space."""
    plain = spec.model_dump(mode="json", include={"search", "choose_on", "space", "tables"})
    groups: dict[Group, dict[TrialConfig, None]] = {}
    for trial in trials:
        groups.setdefault(group_of(plain, trial.model_dump(mode="json")), {})[trial] = None
    return [list(groups[key]) for key in sorted(groups, key=lambda key: key[0])]


def tuning_seed(spec: SweepSpec) -> int:
    """A seed that no arm will run with, so that the choice of its settings owes nothing to the luck of its seeds."""
    return next(number for number in itertools.count() if number not in _possible_seeds(spec))


def _possible_seeds(spec: SweepSpec) -> Collection[int]:
    return range(spec.seeds.max) if isinstance(spec.seeds, AdaptiveSeeds) else spec.seeds


def _search_seeds(spec: SweepSpec) -> tuple[int, ...]:
    return (tuning_seed(spec),) if spec.chooses_on_validation else spec.first_seeds


def _searched_on(spec: SweepSpec) -> Stage:
    return Stage.TUNING if spec.chooses_on_validation else Stage.PLAIN


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
        branches: Mapping[int, Branch] = read_branches(self.spec.space, Mistakes())  # `plan_sweep` has checked them
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
        seed, *_ = _search_seeds(self.spec)
        return self.propose(trial_at(self.spec, Point(index, values), seed, _searched_on(self.spec)))
