"""`plan`: what a dry run says of a sweep."""

from typing import Any, Literal

from pydantic import Field

from basis.documents.part import Document, Number, Part


class PlannedTrialPart(Part):
    """A trial that the sweep will run, or may run."""

    trial: str = Field(description="Its name, which is that of its directory.")
    arm: str = Field(description="Its arm.")
    seed: int
    config: dict[str, Any] = Field(description="Every field of the trial; null where it has none.")
    micro_batch: int = Field(description="Windows per forward pass.")
    activation_checkpointing: bool
    predicted_peak_bytes: int | None = Field(description="null where it can't be predicted.")
    predicted_bytes: dict[str, int] = Field(description="The predicted peak by part; the parts add up to it.")


class PlannedArmPart(Part):
    """An arm, or for a search what shares a short name."""

    arm: str
    trials: int = Field(description="Of those listed.")
    seeds: list[int]


class DefaultRatePart(Part):
    """What `lr: default` has become for one method and optimizer."""

    method: str
    optimizer: str
    low: Number
    high: Number
    source: str


class PlanDocument(Document):
    """The answer of `sweep.run SPEC --dry-run --json`."""

    document: Literal["plan"] = "plan"
    name: str = Field(description="Of the sweep.")
    about: str
    search: str
    runs: str = Field(description="What will run, in words.")
    least_trials: int = Field(description="How many trials the sweep takes: with adaptive seeds the fewest.")
    trials: list[PlannedTrialPart] = Field(description="Those known beforehand; for Optuna the corners of its space.")
    arms: list[PlannedArmPart]
    device: str = Field(description="What trials would train on: cpu or cuda.")
    budget_bytes: int | None = Field(description="Memory that a trial may take; null where nobody knows the device.")
    resources: dict[str, Any] = Field(description="What one trial asks of Ray.")
    default_learning_rates: list[DefaultRatePart]
    data: list[str] = Field(description="What the sweep trains and tests on, a line each.")
    warnings: list[str] = Field(description="What else was said.")
