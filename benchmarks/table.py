"""What every benchmark yields: one table with its rows, its targets and what it was measured on."""

from dataclasses import dataclass, field

Row = dict[str, str | float | int | None]


@dataclass(frozen=True)
class Target:
    """A figure that the project promises itself: met when `value` is on the right side of `bound`."""

    name: str
    value: float
    bound: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(frozen=True)
class Table:
    """One benchmark's result. `about` says how it was measured, in sentences a reader can check."""

    name: str
    title: str
    about: str
    rows: list[Row]
    targets: list[Target] = field(default_factory=list)
