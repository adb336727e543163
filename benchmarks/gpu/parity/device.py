"""What a device does beside arithmetic: no step waits for it, memory ends where it is told to, tokens are the same."""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from basis.fields import Precision
from benchmarks.generation import FULL, QUICK, greedy_rows_equal, random_model, random_prompts
from benchmarks.gpu.parity.references import TINY, Check, Small, new_run, optimizers_under
from benchmarks.gpu.runs import GIB, MIB
from model.batch import Batch
from model.memory_limit import asked_bytes, limit_memory, ran_out_of_memory

UNSTEADY = ("adafactor",)
"""Optimizers of PyTorch that read a tensor's value in each step."""
WARM_UP_STEPS = 3


def waiting_steps(device: torch.device, precision: Precision, quick: bool) -> Iterator[Check]:
    """Whether an operation of a step waits for the GPU. A CPU has nothing to wait for."""
    if device.type != "cuda":
        return
    shape = replace(TINY if quick else Small(), batch=4)
    for optimizer in (name for name in optimizers_under(precision) if name not in UNSTEADY):
        run = new_run(shape.model(2), optimizer, device, precision, micro_batch=2, clip_norm=1.0)
        for _ in range(WARM_UP_STEPS):
            run.train_step(Batch(shape.windows()))
        torch.cuda.set_sync_debug_mode("error")
        try:
            run.train_step(Batch(shape.windows()))
            waits = 0
        except RuntimeError as error:
            if "synchronizing" not in str(error):
                raise
            waits = 1
        finally:
            torch.cuda.set_sync_debug_mode("default")
        yield Check(f"steps that wait for the GPU, {precision}, {optimizer}", waits, 0, "PyTorch itself counts them")


def memory_limit(device: torch.device) -> Iterator[Check]:
    """An allocation beyond the limit fails, is recognised and says what it asked for; within it and after it none does.

    The limit is lifted in the end, whatever happens.
    """
    held_bytes = torch.cuda.memory_reserved(device) if device.type == "cuda" else 0
    limit_memory(device, held_bytes + 600 * MIB)
    try:
        error = math.inf
        try:
            torch.empty(GIB, dtype=torch.uint8, device=device)
        except Exception as refusal:
            if ran_out_of_memory(refusal):
                error = abs(asked_bytes(refusal) / GIB - 1)
        yield Check("1 GiB beyond a limit of 600 MiB: the bytes it asked for", error, 0.02, "the message is rounded")
        for _ in range(20):  # what is freed must not count
            torch.empty(500 * MIB, dtype=torch.uint8, device=device)
    finally:
        limit_memory(device, None)
    torch.empty(GIB, dtype=torch.uint8, device=device)  # raises if the limit is still there


def greedy_tokens(device: torch.device, quick: bool) -> Iterator[Check]:
    """Greedy responses against Hugging Face's `generate` on the same device."""
    size = QUICK if quick else FULL
    model = random_model(size).to(device)
    equal = greedy_rows_equal(model, random_prompts(size.prompts), size.greedy_tokens)
    reason = "two logits may lie closer together than fp32's rounding"
    yield Check("greedy responses that differ from Hugging Face's", 1 - equal, 0.1, reason)
