"""From a point of the space to a validated TrialConfig, and mistakes told with the place in the spec they stand at."""

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from basis.fields import shared_by_adapters
from basis.stages import Stage
from sweep.mistakes.explain import mistakes as mistakes_in
from sweep.mistakes.gathered import Mistakes
from sweep.schema.sweep_spec import SweepSpec
from sweep.space.points import Point
from sweep.trial.config import TrialConfig

MOST_FAILED = 100
"""Points that are no trial's, after which nobody looks further."""


def trial_at(spec: SweepSpec, point: Point, seed: int, evaluate_on: Stage = Stage.PLAIN) -> TrialConfig:
    """The trial at a point of a spec's space: its own values, and for other fields what all trials share.

    Raises:
        ValidationError: no trial can have these values.
    """
    shared = {"seed": seed, "evaluate_on": evaluate_on, **spec.trial}
    shared |= shared_by_adapters(spec.lora, _method(spec, point))
    return TrialConfig.model_validate({**shared, **point.values})


def trials_at(
    spec: SweepSpec,
    points: Iterable[Point],
    seeds: Iterable[int],
    mistakes: Mistakes,
    evaluate_on: Stage = Stage.PLAIN,
) -> list[TrialConfig]:
    """The trials at points of a spec's space, each point with every seed; a trial that comes twice is listed once.

    Args:
        spec: the sweep.
        points: where to look, in this order.
        seeds: those of each point, next to each other.
        mistakes: gets the mistakes of points that no trial can have.
        evaluate_on: what the trials are evaluated on.
    """
    trials: dict[TrialConfig, None] = {}
    seeds = tuple(seeds)
    failed = 0
    for point in points:
        for seed in seeds:
            try:
                trials[trial_at(spec, point, seed, evaluate_on)] = None
            except ValidationError as error:
                mistakes.add_all(mistakes_in(error, TrialConfig, prefix=_origin_in(spec, point)))
                failed += 1
                if failed == MOST_FAILED:
                    return list(trials)
    return list(trials)


def _method(spec: SweepSpec, point: Point) -> Any:
    return point.values.get("method", spec.trial.get("method"))


def _origin_in(spec: SweepSpec, point: Point) -> Callable[[str], str]:
    """Tells where in the spec a field of the point's trial stands: in the branch, or in what branches share."""

    def origin(field: str) -> str:
        if field not in point.values:
            if field in shared_by_adapters(spec.lora, _method(spec, point)):
                return "lora."
            if field in spec.trial:
                return "trial."
        return f"space[{point.branch}]."

    return origin
