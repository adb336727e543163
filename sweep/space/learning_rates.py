"""Settles `lr: default`: the documented range of a branch's method and optimizer, in place of the word.

A branch of several methods or optimizers becomes one for each range. So what a sweep keeps has ranges alone, and means
the same wherever and whenever it goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from basis.learning_rates import DEFAULT_RANGES, LearningRates, default_range, trains_of
from sweep.mistakes.gathered import Mistakes
from sweep.schema.sweep_spec import SweepSpec

FIELD, DEFAULT = "lr", "default"


@dataclass(frozen=True)
class DefaultRate:
    """What `lr: default` has become in a branch.

    Attributes:
        method: of the branch.
        optimizer: likewise.
        rates: the range, and where it comes from.
    """

    method: str
    optimizer: str
    rates: LearningRates


def asks_for_default(spec: SweepSpec) -> bool:
    """Whether a spec says `lr: default` anywhere."""
    return any(DEFAULT in _listed(part.get(FIELD)) for part in (spec.trial, spec.lora, *spec.space))


def with_stand_ins(spec: SweepSpec) -> SweepSpec:
    """The spec with some learning rate in place of each `default`, its branches as they are: to look for mistakes."""
    stand_in: Any = 1e-4 if spec.search == "grid" else {"low": 1e-5, "high": 1e-3, "log": True}
    shared = DEFAULT in _listed(spec.trial.get(FIELD)) or DEFAULT in _listed(spec.lora.get(FIELD))
    space = tuple(
        {**branch, FIELD: stand_in}
        if (DEFAULT in _listed(branch[FIELD]) if FIELD in branch else shared)
        else dict(branch)
        for branch in spec.space
    )
    return _with(spec, space)


def settle_learning_rates(spec: SweepSpec, mistakes: Mistakes) -> tuple[SweepSpec, list[DefaultRate]]:
    """The spec with a range in place of each `default`.

    Args:
        spec: the sweep.
        mistakes: gets each `default` that stands for no range, or for one that the sweep can't take.

    Returns:
        The spec, and what the word has become, each method and optimizer once.
    """
    told: dict[DefaultRate, None] = {}
    space: list[dict[str, Any]] = []
    for index, branch in enumerate(spec.space):
        space += _settled(spec, index, branch, mistakes, told)
    return _with(spec, tuple(space)), list(told)


def _settled(
    spec: SweepSpec, index: int, branch: Mapping[str, Any], mistakes: Mistakes, told: dict[DefaultRate, None]
) -> list[dict[str, Any]]:
    """What a branch becomes: itself, or a branch for each range of its methods and optimizers."""
    methods, optimizers = (_names(spec, branch, field) for field in ("method", "optimizer"))
    by_method = {method: _learning_rate(spec, branch, method) for method in methods}
    if not any(DEFAULT in _listed(said) for said in by_method.values()):
        return [dict(branch)]
    place, wrong_names = f"space[{index}].{FIELD}", {f"space[{index}].optimizer", "trial.optimizer"}
    pieces: list[dict[str, Any]] = []
    for method, said in by_method.items():
        if said != DEFAULT:
            if DEFAULT in _listed(said):
                mistakes.add(f"{place}: {DEFAULT!r} is a range, and can't be one of a list; write {FIELD}: {DEFAULT}")
            pieces.append(_piece(branch, methods, method, {}))
            continue
        by_range: dict[tuple[float, float], list[str]] = {}
        for optimizer in optimizers:
            rates = default_range(trains_of(method), optimizer)
            if rates is None:
                if not wrong_names & {mistake.key for mistake in mistakes}:  # else it is told already
                    mistakes.add(_undocumented(place, method, optimizer))
            elif spec.search == "grid":
                mistakes.add(_no_range_in_grid(place, method, optimizer, rates))
            else:
                by_range.setdefault((rates.low, rates.high), []).append(optimizer)
                told[DefaultRate(method, optimizer, rates)] = None
        for (low, high), alike in by_range.items():
            named = {"optimizer": alike if len(alike) > 1 else alike[0]} if len(alike) < len(optimizers) else {}
            chosen = {**named, FIELD: {"low": low, "high": high, "log": True}}
            pieces.append(_piece(branch, methods, method, chosen))
    return pieces


def _piece(branch: Mapping[str, Any], methods: list[str], method: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a branch that has one of its methods, and what else is chosen for it."""
    return {**branch, **({"method": method} if len(methods) > 1 else {}), **chosen}


def _undocumented(place: str, method: str, optimizer: str) -> str:
    return (
        f"{place}: {DEFAULT!r} is not accepted for {method} {optimizer}, of which no range is documented; give one, "
        "such as {low: 1e-5, high: 1e-3, log: true}"
    )


def _no_range_in_grid(place: str, method: str, optimizer: str, rates: LearningRates) -> str:
    values = ", ".join(map(_number, (rates.low, (rates.low * rates.high) ** 0.5, rates.high)))
    return (
        f"{place}: {DEFAULT!r} is the range {_range(rates)} for {method} {optimizer}, and a range is accepted under "
        f"search 'random', 'optuna' or 'tuned'; list values, such as [{values}]"
    )


def describe_default(rate: DefaultRate) -> str:
    """What `lr: default` has become, and where that comes from, in a line."""
    return f"lr {DEFAULT} for {rate.method} {rate.optimizer}: {_range(rate.rates)}, {rate.rates.source}"


def default_lines() -> list[str]:
    """Every range that `lr: default` can stand for, with its source, a line each."""
    named = {"full": "full fine-tuning", "adapter": "adapters such as lora"}
    return [
        f"{DEFAULT} for {named[trains]} by {optimizer}: {_range(rates)}, {rates.source}"
        for optimizer, ranges in DEFAULT_RANGES.items()
        for trains, rates in ranges.items()
    ]


def _range(rates: LearningRates) -> str:
    """A range as a spec has it."""
    return f"{{low: {_number(rates.low)}, high: {_number(rates.high)}, log: true}}"


def _number(value: float) -> str:
    return f"{value:g}".replace("e-0", "e-")


def _names(spec: SweepSpec, branch: Mapping[str, Any], field: str) -> list[str]:
    named = _listed(branch.get(field, spec.trial.get(field)))
    return list(dict.fromkeys(name for name in named if isinstance(name, str)))


def _learning_rate(spec: SweepSpec, branch: Mapping[str, Any], method: str) -> Any:
    """What trials of a method in a branch are told of their learning rate, by whoever says it first."""
    of_method = [spec.lora] if method == "lora" else []
    return next((part[FIELD] for part in (branch, *of_method, spec.trial) if FIELD in part), None)


def _with(spec: SweepSpec, space: tuple[dict[str, Any], ...]) -> SweepSpec:
    """The spec with this space, and no `default` beside it."""
    trial, lora = (
        {name: value for name, value in part.items() if name != FIELD or DEFAULT not in _listed(value)}
        for part in (spec.trial, spec.lora)
    )
    return spec.model_copy(update={"trial": trial, "lora": lora, "space": space})


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
