"""What died with one node is told in one line, and not in one for each trial."""

from collections.abc import Iterator
from dataclasses import dataclass, field

TOGETHER_SECONDS = 2
"""What dies with one node is heard of within so long."""
OF_A_NODE = ("NodeDiedError: ", "UnreachableError: ")
"""How the reasons begin that name a node."""


@dataclass
class _Death:
    """Trials that a node took with it, by what becomes of them; `heard` is when the first was heard of."""

    heard: float
    trials: dict[str, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join(
            f"{len(names)} trial{'s' * (len(names) > 1)} {outcome} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
            for outcome, names in self.trials.items()
        )


class DeadNodes:
    """Keeps trials that died with their node until all of them have been heard of."""

    def __init__(self) -> None:
        self._deaths: dict[str, _Death] = {}

    def take(self, trial: str, outcome: str, reason: str, now: float) -> bool:
        """Keep a trial if its node took it along; else False.

        Args:
            trial: its name.
            outcome: what becomes of it.
            reason: why it failed.
            now: in seconds.
        """
        if not reason.startswith(OF_A_NODE):
            return False
        death = self._deaths.setdefault(reason.partition(": ")[2], _Death(now))
        death.trials.setdefault(outcome, []).append(trial)
        return True

    def told(self, heard_before: float) -> Iterator[str]:
        """A line for each node that was first heard of by then; each is told once."""
        for node, death in list(self._deaths.items()):
            if death.heard <= heard_before:
                del self._deaths[node]
                yield f"{node}: {death}"
