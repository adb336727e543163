"""The part `seeds` of a spec: the replicates of each arm, as many for all or more where arms are tied."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from basis.errors import problem
from sweep.trial.part import AcceptedWords, Part

MOST_SEEDS = 1000
"""Most seeds that a number stands for; a larger number is likely meant as a seed."""

ACCEPTED = f"how many seeds (1 to {MOST_SEEDS}), a list of seeds, or {{min, max}}"
LISTED_TAG, ADAPTIVE_TAG = "<listed>", "<adaptive>"
"""Steps in the location of a validation error: which form the seeds have."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]


class AdaptiveSeeds(Part):
    """Seeds 0 to `min` - 1 for every arm; then one more at a time, up to `max` in all, for arms tied with the leader.

    `min` is 2 or more, since a single seed tells nothing of how far seeds differ.
    """

    min: int = Field(ge=2, description="Seeds that every arm runs with.")
    max: int = Field(ge=3, le=MOST_SEEDS, description="Most seeds of one arm.")

    @model_validator(mode="after")
    def _a_range(self) -> "AdaptiveSeeds":
        if self.max <= self.min:
            raise problem("max", f"{self.max} is not more than min {self.min}")
        return self


def _listed(value: Any) -> Any:
    """The seeds, where a number of them is given."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_SEEDS:
        return tuple(range(value))
    if not isinstance(value, list | tuple | dict | AdaptiveSeeds) or value in ([], ()):
        raise ValueError(f"accepted: {ACCEPTED}")
    return value


def _tag(value: Any) -> str:
    return ADAPTIVE_TAG if isinstance(value, dict | AdaptiveSeeds) else LISTED_TAG


Seeds = Annotated[
    Annotated[tuple[Seed, ...], Tag(LISTED_TAG)] | Annotated[AdaptiveSeeds, Tag(ADAPTIVE_TAG)],
    Discriminator(_tag),
    BeforeValidator(_listed),
    AcceptedWords(ACCEPTED),
]
