"""Compares predicted with measured peak memory, for configs drawn at random.

python -m benchmarks.memory [--quick]
"""

import gc
import random
import time
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from basis.optimizers import OWN
from benchmarks.measured import largest_part_off, run_alone
from benchmarks.table import Row, Table, Target
from model.batch import Batch
from model.ledger import MemoryParts
from model.peak_meter import PeakMeter
from sweep.memory.device import Device
from sweep.memory.plan import predict
from sweep.trial.config import TrialConfig
from sweep.trial.model import adapt, as_configured, build_run

CONFIGS, SEED = 30, 4
MIB = 2**20
TOLERANCE = 0.10
"""The largest relative error of a predicted peak that is promised on a CPU. On CUDA: see `benchmarks.gpu.memory`."""


@dataclass(frozen=True)
class Case:
    """A trial on a base model of some shape."""

    layers: int
    width: int
    vocabulary: int
    config: TrialConfig

    @property
    def shape(self) -> GPT2Config:
        """The base model's configuration."""
        return GPT2Config(
            n_layer=self.layers, n_embd=self.width, n_head=max(1, self.width // 64), vocab_size=self.vocabulary,
            n_positions=1024, bos_token_id=0, eos_token_id=0,
        )  # fmt: skip


def measure(quick: bool) -> Table:
    """Measure the error of the predicted peak of each random config. Under `quick` take few and tiny ones."""
    draw = random.Random(SEED)
    cases = [draw_case(draw, quick) for _ in range(4 if quick else CONFIGS)]
    rows, errors, seconds = [], [], []
    for case in cases:
        started = time.perf_counter()
        predicted = predict(case.config, case.shape, Device("cpu"), as_configured(case.config))
        seconds.append(time.perf_counter() - started)
        measured = measure_parts(case)
        errors.append(abs(predicted.total / measured.total - 1))
        rows.append(_row(case, predicted, measured, seconds[-1]))
    about = (
        f"{len(cases)} configs drawn at random (seed {SEED}). `predicted` comes from the config alone, on tensors "
        "without storage, `seconds` being the time that took; `measured` is the peak of two real steps by the account "
        "of PyTorch's CPU allocator, weights included. `largest part off` is the part whose prediction differs most, "
        "in percent of the peak. The same on a GPU: `python -m benchmarks gpu --parts memory`."
    )
    targets = [
        Target("largest error of a predicted peak", max(errors), TOLERANCE, at_least=False),
        Target("seconds that a prediction takes, the longest", max(seconds), 2.0, at_least=False),
    ]
    return Table("memory", "Peak memory, predicted and measured", about, rows, targets)


def draw_case(draw: random.Random, quick: bool) -> Case:
    """Draw a config that a spec could contain, small enough to run on a CPU.

    Whatever a kernel may allocate for itself depends on the dtype, on which weights train, on how many passes a step
    has, on the vocabulary and on the optimizer, so that each is drawn by itself.
    """
    batch = draw.choice([1, 2, 3, 4, 5, 6, 8])
    config = TrialConfig.model_validate(
        {
            **_draw_method(draw),
            "optimizer": draw.choice([name for name in OWN for _ in range(2 if name == "adamw" else 1)]),
            "weight_decay": draw.choice([0.0, 0.1]),
            "lr": 1e-3,
            "steps": 2,
            "batch_size": batch,
            "micro_batch": draw.choice([None, 1, 1, max(1, batch // 2), max(1, batch - 1)]),
            "block_size": draw.choice([32, 33, 64, 100, 256] if quick else [33, 64, 128, 200, 257, 512, 1024]),
            "precision": draw.choice(["fp32", "bf16"]),
            "activation_checkpointing": draw.random() < 0.3,
            "dropout": draw.choice([0.0, 0.0, 0.1]),
            "clip_norm": draw.choice([None, 1.0]),
            "test_every": 1,
            "test_windows": 1,
        }
    )
    layers, width = draw.choice([(2, 64), (3, 128), (5, 96)] if quick else [(2, 256), (4, 384), (6, 512), (12, 256)])
    return Case(layers, width, draw.choice([500, 1009, 5003] if quick else [257, 1009, 8192, 20_011, 50_257]), config)


def _draw_method(draw: random.Random) -> dict[str, Any]:
    """Draw the method with its fields, and whether the head is tied to the embedding."""
    if draw.random() < 0.5:
        return {"method": "full", "tie_head": draw.random() < 0.6}
    targets: list[tuple[str, ...]] = [("attention_in",), ("attention_in", "mlp_out"), ("mlp_in",)]
    targets += [("attention_out", "head"), ("attention_in", "attention_out", "mlp_in", "mlp_out")]
    return {
        "method": "lora",
        "rank": draw.choice([1, 2, 4, 8, 16, 64, 100]),
        "targets": draw.choice(targets),
        "also_train": draw.choice([(), (), ("biases",), ("layernorms", "embeddings"), ("biases", "head")]),
        "tie_head": False,
    }


def measure_parts(case: Case) -> MemoryParts:
    """Measure the parts of the peak of real steps: two steps are profiled, the third one's tensors are counted."""
    config = case.config
    gc.collect()  # what was measured before would be freed within this record, and count
    torch.manual_seed(0)
    model = adapt(GPT2LMHeadModel(case.shape), config)
    run = build_run(model, config, as_configured(config), torch.device("cpu"))
    meter = PeakMeter(run)
    windows = torch.randint(0, case.vocabulary, (config.batch_size, config.block_size + 1))
    for _ in range(3):
        meter.train_step(Batch(windows))
    assert meter.parts is not None
    return meter.parts


def _row(case: Case, predicted: MemoryParts, measured: MemoryParts, seconds: float) -> Row:
    config = case.config
    method = config.label + ("" if config.targets is None else f" on {'+'.join(config.targets)}")
    extras = [
        *(config.also_train or ()),
        "checkpointed" * config.activation_checkpointing,
        "dropout" * bool(config.dropout),
    ]
    return {
        "arm": ", ".join([method, *(extra for extra in extras if extra)]),
        "model": f"{case.layers}x{case.width}, V {case.vocabulary}",
        "step": f"{config.batch_size} x {config.block_size}, {config.micro_batch or config.batch_size} at once",
        "precision": config.precision,
        "predicted MiB": predicted.total / MIB,
        "measured MiB": measured.total / MIB,
        "error %": f"{100 * (predicted.total / measured.total - 1):+.3f}",
        "largest part off": largest_part_off(predicted, measured),
        "seconds": seconds,
    }


if __name__ == "__main__":
    run_alone(measure)
