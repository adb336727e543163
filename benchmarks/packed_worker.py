"""One process of the packed benchmark. It holds LoRA trials on one frozen base, which step when it gets an order."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from benchmarks.packed_step import PackedRuns, with_shared_base
from benchmarks.step_shapes import Shape
from model.batch import Batch
from model.gpt2_lora import add_adapters, gpt2_config, select_trainable
from model.lora_linear import LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from model.sft import SFTRun, SFTSettings

Way = Literal["alone", "packed"]

TRIALS: dict[int, float] = {1: 1e-3, 4: 3e-4, 8: 2e-4, 16: 1e-4}
"""The learning rate of each trial by its rank."""


@dataclass(frozen=True)
class Order:
    """`steps` optimizer steps of every trial, `alone` (in turn) or `packed`, on `shape.batch` windows each."""

    way: Way
    shape: Shape
    steps: int


@dataclass(frozen=True)
class Done:
    """The last step's loss by rank, in nats per token, and the process's peak of private memory so far, in MiB."""

    losses: dict[int, float]
    peak_mib: float | None


def serve(orders: Connection, shape: Shape, ranks: Sequence[int], threads: int) -> None:
    """Build the trials of `ranks` on a base of `shape`, report that they are ready, and follow orders."""
    torch.set_num_threads(threads)
    base = random_base(shape)
    runs = {rank: lora_run(with_shared_base(base), rank, TRIALS[rank]) for rank in ranks}
    packed = PackedRuns(list(runs.values()))
    orders.send(None)
    while True:  # until the process is ended
        orders.send(Done(take_steps(runs, packed, orders.recv()), private_peak_mib()))


def random_base(shape: Shape) -> GPT2LMHeadModel:
    """A GPT-2 at random weights, the same in every process, without dropout."""
    sizes = {"n_layer": shape.layers, "n_embd": shape.width, "n_head": shape.heads, "vocab_size": shape.vocabulary}
    inside = {"bos_token_id": 0, "eos_token_id": 0}  # of the smallest vocabulary
    config = gpt2_config("gpt2", sizes | inside)
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    torch.manual_seed(0)
    return GPT2LMHeadModel(config)


def lora_run(model: GPT2LMHeadModel, rank: int, lr: float) -> SFTRun:
    """An SFTRun with AdamW that trains adapters of `rank` on all projections of the model's blocks."""
    add_adapters(model, LoRASettings(rank, alpha=16), torch.Generator().manual_seed(rank))
    select_trainable(model, "lora")
    optimizers = build_optimizers(model, OptimizerSettings("adamw", lr))
    return SFTRun(model, optimizers, SFTSettings(steps=1000, lr=lr, micro_batch=64), torch.device("cpu"))


def take_steps(runs: dict[int, SFTRun], packed: PackedRuns, order: Order) -> dict[int, float]:
    """Follow one order, and return the last step's loss by rank, in nats per token."""
    losses: dict[int, Tensor] = {}
    for _ in range(order.steps):
        windows = {rank: _windows(order.shape, rank, run.step) for rank, run in runs.items()}
        if order.way == "packed":
            losses = dict(zip(runs, packed.train_step(list(windows.values())), strict=True))
        else:
            losses = {rank: run.train_step(Batch(windows[rank])) for rank, run in runs.items()}
    return {rank: float(loss) for rank, loss in losses.items()}


def _windows(shape: Shape, rank: int, step: int) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * rank + step)
    return torch.randint(shape.vocabulary, (shape.batch, shape.block + 1), generator=generator)


def private_peak_mib() -> float | None:
    """Peak resident memory in MiB, without the pages of files that processes share; None outside Linux."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        kib = {name: int(re.findall(rf"^{name}:\s*(\d+) kB$", status, re.M)[0]) for name in ("VmHWM", "RssFile")}
    except (OSError, IndexError):
        return None
    return (kib["VmHWM"] - kib["RssFile"]) / 1024
