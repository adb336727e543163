"""One variant in a process of its own: `python -m benchmarks.step_worker METHOD VARIANT SHAPE`, orders on stdin."""

import os
import sys

import torch

from basis.methods import Method
from benchmarks.step_pace import Pace
from benchmarks.step_peers import run_variant
from benchmarks.step_shapes import SHAPES


def main(method: Method, variant: str, shape: str) -> None:
    """Build the variant and let it step until the orders end."""
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not come between the reports
    torch.set_num_threads(1)
    run_variant(method, variant, SHAPES[shape], Pace(sys.stdin, reports))


if __name__ == "__main__":
    _, method_, variant_, shape_ = sys.argv
    main("lora" if method_ == "lora" else "full", variant_, shape_)
