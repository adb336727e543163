"""Parity: is what the device computes right, and does it behave as the sweep relies on?"""

from collections.abc import Callable, Iterator
from functools import partial

import torch

from basis.fields import Precision
from benchmarks.gpu.parity import device as devices
from benchmarks.gpu.parity import execution, gradients
from benchmarks.gpu.parity.references import Check
from benchmarks.gpu.parts import rows_or_failure
from benchmarks.gpu.runs import precisions, release
from benchmarks.table import Row, Target

TITLE = "Parity"
ABOUT = (
    "Small GPT-2s at random weights, whole and with adapters of ranks 1, 3 and 10 (loralib's on Hugging Face's side). "
    "Gradients: the norm of the difference of all of them over the reference's norm. Losses and evaluation: the "
    "relative difference. References are Hugging Face's model in fp64 on the CPU, the same under autocast on this "
    "device, and our own run executed otherwise. A target is met where the error is within the tolerance."
)
SECONDS = 80

BY_PRECISION: tuple[Callable[[torch.device, Precision, bool], Iterator[Check]], ...] = (
    gradients.gradients_of_a_step,
    gradients.evaluation,
    execution.divided_and_checkpointed_steps,
    devices.waiting_steps,
    execution.resumed_runs,
)
ONCE: tuple[Callable[[torch.device, bool], Iterator[Check]], ...] = (
    gradients.cross_entropy,
    execution.optimizers,
    devices.greedy_tokens,
)


def measure(device: torch.device, quick: bool) -> Iterator[Row | Target]:
    """Make every check, in every precision that the device has."""
    checks: list[partial[Iterator[Check]]] = [
        *(partial(check, device, precision, quick) for check in BY_PRECISION for precision in precisions(device)),
        partial(devices.memory_limit, device),
        *(partial(check, device, quick) for check in ONCE),
    ]
    for check in checks:
        yield from rows_or_failure({"check": check.func.__name__.replace("_", " ")}, partial(rows, check))
        release(device)


def rows(checks: Callable[[], Iterator[Check]]) -> Iterator[Row | Target]:
    """The row and the target of each check."""
    for check in checks():
        yield {
            "check": check.name,
            "error": f"{check.error:.1e}",
            "tolerance": f"{check.tolerance:.1e}",
            "met": "yes" if check.met else "NO",
            "why this tolerance": check.reason,
        }
        yield Target(check.name, check.error, check.tolerance, at_least=False)
