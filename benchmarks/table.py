"""The value that every benchmark returns: a table with its rows, its targets and how it was measured."""

from dataclasses import dataclass, field

Row = dict[str, str | float | int | None]


@dataclass(frozen=True)
class Target:
    """A bound that the project promises to keep. It is met if `value` lies on the right side of `bound`."""

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
    """One benchmark's result. `about` says how it was measured, in sentences that a reader can check."""

    name: str
    title: str
    about: str
    rows: list[Row]
    targets: list[Target] = field(default_factory=list)
