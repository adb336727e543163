"""What is said of the base models that arms start from, and that they are held against, each against its own."""

from collections.abc import Callable, Sequence

from analysis.comparison.arms import Arm
from analysis.wording.numbers import MISSING


def several_base_models(arms: Sequence[Arm]) -> bool:
    """Whether these arms start from more than one base model."""
    return len({arm.model for arm in arms}) > 1


def base_model(arms: Sequence[Arm]) -> str:
    """What arms are held against, in words: "the base model", or each its own where they have several."""
    return "the arm's own base model" if several_base_models(arms) else "the base model"


def base_values(arms: Sequence[Arm], metric: str, show: Callable[[float], str]) -> str:
    """A number of the base model as text; of several base models each with its name."""
    shown: dict[str | None, str] = {}
    for arm in arms:
        for value in arm.values(metric)[:1]:
            shown.setdefault(arm.model, show(value))
    if len(shown) < 2:
        return next(iter(shown.values()), MISSING)
    return ", ".join(f"{value} ({model})" for model, value in shown.items())
