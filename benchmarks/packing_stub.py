"""A trial that waits instead of training. The module imports little, so that its workers start fast."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ray import tune

from basis.outcome_file import keep_outcome
from basis.outcomes import Ending, Outcome

SPANS_FILE = "spans.jsonl"


class Wait(NamedTuple):
    """How long a trial waits, and what the file `out_of_memory` holds after each of its first attempts, which fail."""

    seconds: float
    out_of_memory: Path
    attempts: list[str]


class Bundles:
    """The resources that `sweep.tune.shares.Shares` asks for each config, worked out ahead: workers need no torch."""

    def __init__(self, proposals: list[dict[str, Any]], shares: Callable[[dict[str, Any]], Any]) -> None:
        self._bundles = {_key(proposal): shares(proposal) for proposal in proposals}

    def __call__(self, config: dict[str, Any]) -> Any:
        """The placement group for a trial of `config`."""
        return self._bundles[_key(config)]


def _key(config: dict[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)


class Waiting(tune.Trainable):  # type: ignore[misc]  # Ray has no types
    """Waits, and records when it had which share of the GPU. Its worker is reused, as a sweep's is."""

    def setup(self, config: dict[str, Any], waits: dict[str, Wait], folder: Path) -> None:
        """Begin a trial, one of `waits`; records go to `folder`."""
        self._waits, self._folder = waits, folder
        self._began = time.time()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same process."""
        self._began = time.time()
        return True

    def step(self) -> dict[str, Any]:
        """Wait, and end the trial or run out of memory."""
        wait = self._waits[self.trial_name]
        time.sleep(wait.seconds)
        share = self.trial_resources.required_resources["GPU"]
        span = {"name": self.trial_name, "share": share, "began": self._began, "ended": time.time()}
        with (self._folder / SPANS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(span) + "\n")
        failed = len(json.loads(wait.out_of_memory.read_text("utf-8"))) if wait.out_of_memory.exists() else 0
        if failed < len(wait.attempts):
            wait.out_of_memory.write_text(wait.attempts[failed], encoding="utf-8")
            keep_outcome(wait.out_of_memory.parent, Ending(Outcome.OUT_OF_MEMORY, "MemoryError"))
            raise MemoryError
        return {"done": True, "finished": True}
