"""Whole trials on one device by the sweep's own code without Ray: trained, judged, replayed, resumed, out of memory."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from basis.metrics import NOT_JUDGED
from basis.metrics import Row as TrialRow
from basis.units import show_bytes
from benchmarks.full_size_inputs import REWARD_MODEL, TINY, Size, short_spec, write_files
from benchmarks.full_size_worker import FULL, LORA, choose_trial, prepare_variant
from benchmarks.gpu.parts import rows_or_failure
from benchmarks.gpu.runs import release
from benchmarks.table import Row, Target
from sweep.inputs import SweepInputs
from sweep.machine.gpu_facts import machine_gpus
from sweep.machine.hardware import free_memory_bytes
from sweep.memory.attempts import OutOfMemoryError
from sweep.memory.device import Device, gpu_device
from sweep.memory.packing import budget_on
from sweep.memory.plan import MemoryPlan, plan_trial
from sweep.memory.shape import read_shape
from sweep.schema.sweep_spec import SweepSpec
from sweep.trial.config import TrialConfig
from sweep.worker.opening import open_trial
from sweep.worker.trial_run import TrialRun

TITLE = "A whole trial"
SECONDS = 70
STEPS, REPORT_EVERY, STOPPED_AFTER_ROWS = 6, 2, 2
SHARE_OF_NEED = 0.6
"""The memory that a trial gets which is to run out of it, as a share of its predicted peak."""

CPU_BLOCK = 1024
"""Tokens of a window that is to take more than there is on a CPU: tensors must outweigh stacks of threads there."""

PEAK_TOLERANCE = 0.05
RESUMED_TOLERANCE = {"cpu": 0.0, "cuda": 5e-4}
"""Losses of a resumed trial are equal to the bit on a CPU. On a GPU attention's backward adds in any order."""

MIB = 2**20
LEFT_MIB = 2.0
"""MiB that a trial may leave allocated on the GPU."""

ABOUT = f"""\
Trials of the preset `study` (gpt2-medium at random weights, 8 x 1024 tokens, bf16) on made-up dialogues, {STEPS} steps
with an evaluation every {REPORT_EVERY}, planned, opened and judged by the functions that a worker of the sweep calls.
The judge is a DeBERTa with relative attention at random weights, six layers of the large model's width. `predicted` is
what the plan says, `measured` the row's `peak_bytes`. *Replayed*: a finished trial is opened again. *Resumed*: a trial
is let go of after {STOPPED_AFTER_ROWS} rows and opened again; its losses are compared with those of the trial that
never stopped. *Out of memory*: a trial may allocate {SHARE_OF_NEED:.0%} of its predicted peak; it runs out, and opened
again it is planned smaller. On a CPU the model is tiny, and only the first try is held to the limit."""

REAL = Size(
    shape={},
    part={
        "trial.steps": STEPS,
        "trial.test_every": REPORT_EVERY,
        "trial.test_windows": 8,
        "reward.max_prompts": 16,
        "reward.new_tokens": 32,
        "resources.gpu": 1,
    },
    reward_model={**REWARD_MODEL, "num_hidden_layers": 6, "vocab_size": 8000},
    vocabulary=8000,
    dialogues=1000,
    limit_seconds=SECONDS,
)
QUICK = replace(TINY, part={**TINY.part, "trial.steps": STEPS, "trial.test_every": REPORT_EVERY})


@dataclass(frozen=True)
class Place:
    """The inputs that all trials share, and where they run."""

    folder: Path
    spec: SweepSpec
    inputs: SweepInputs

    @property
    def device(self) -> Device:
        """What the trials train on."""
        return self.inputs.packing.device

    def trial(self, arm: str, **changes: object) -> TrialConfig:
        """The study's trial of an arm, at a rate at which few steps tell."""
        return choose_trial(self.spec, arm).model_copy(update={"lr": 1e-3, **changes})

    def plan(self, config: TrialConfig) -> MemoryPlan:
        """How the sweep would execute it."""
        shape = read_shape(self.inputs.base_model, "model.name")
        return plan_trial(config, shape, self.device, budget_on(self.device, self.spec.resources, None))

    def open(self, config: TrialConfig, experiment: str, limit_bytes: int | None = None) -> TrialRun:
        """Open a trial in an experiment directory as a worker does, within its share unless another limit is given."""
        directory = self.folder / experiment
        directory.mkdir(exist_ok=True)
        plan, packing = self.plan(config), self.inputs.packing
        if limit_bytes is None and self.device.type == "cuda":
            limit_bytes = packing.cap_bytes(packing.gpu_share(plan))
        # a checkpoint at each report, but not of all weights, which takes seconds
        checkpoint_seconds = 0.0 if config.method == "lora" else self.inputs.checkpoint_seconds
        inputs = replace(self.inputs, experiment_dir=directory, checkpoint_seconds=checkpoint_seconds)
        return open_trial(config, inputs, plan=plan, limit_bytes=limit_bytes)


def measure(device: torch.device, quick: bool) -> Iterator[Row | Target]:
    """Run the stages one after another; one that breaks says so in its row."""
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        place = prepare_place(Path(name), device, QUICK if quick else REAL)
        yield {"stage": "inputs made and prepared", "seconds": time.perf_counter() - started}
        for stage, rows in (
            (f"{LORA}: trained, judged and replayed", whole(place, LORA)),
            (f"{LORA}: out of memory", out_of_memory(place)),
            (f"{LORA}: resumed", resumed(place)),
            (f"{FULL}: trained, judged and replayed", whole(place, FULL)),
        ):
            yield from rows_or_failure({"stage": stage}, lambda rows=rows: rows)  # type: ignore[misc]  # as it is now
            release(device)


def prepare_place(folder: Path, device: torch.device, size: Size) -> Place:
    """Make the inputs, and do what a sweep's driver does before the first trial."""
    files = write_files(folder, size)
    inputs = prepare_variant(files, size, variant=None)
    if device.type == "cuda":
        trained_on = gpu_device(machine_gpus().gpus[:1], None)
    else:
        trained_on = Device("cpu", free_memory_bytes())
    inputs = replace(inputs, packing=replace(inputs.packing, device=trained_on))
    return Place(folder, short_spec(files, size, None, "bf16"), inputs)


def whole(place: Place, arm: str) -> Iterator[Row | Target]:
    """A trial from its first row to its last, then opened again.

    Its loss falls, its responses are judged, its peak is as predicted; a second time it returns the rows that it kept.
    """
    started = time.perf_counter()
    rows = finish(place.open(place.trial(arm), "whole"))
    first, last = rows[0], rows[-1]
    answers = 0 if NOT_JUDGED in last else last["wins"] + last["ties"] + last["losses"]
    error = abs(last["predicted_peak_bytes"] / last["peak_bytes"] - 1)
    targets = [
        Target(f"{arm}: test loss after / before", last["test_loss"] / first["test_loss"], 1.0, at_least=False),
        Target(f"{arm}: judged responses", answers, len(place.inputs.prompts)),
        Target(f"{arm}: error of a predicted peak", error, PEAK_TOLERANCE, at_least=False),
    ]
    if place.device.type == "cuda":
        left = torch.cuda.memory_allocated() / MIB
        targets.append(Target(f"{arm}: MiB left allocated after the trial", left, LEFT_MIB, at_least=False))
    seen = f"test loss {first['test_loss']:.3f} to {last['test_loss']:.3f}, {answers} responses judged"
    yield from _told(f"{arm}: trained and judged", started, last, str(last.get(NOT_JUDGED, seen)), targets)

    started = time.perf_counter()
    again = finish(place.open(place.trial(arm), "whole"))
    equal = sum(row == other for row, other in zip(again, rows, strict=True))
    targets = [Target(f"{arm}: rows replayed as they were", equal, len(rows))]
    yield from _told(f"{arm}: replayed", started, again[-1], f"{equal} of {len(rows)} rows are equal", targets)


def resumed(place: Place) -> Iterator[Row | Target]:
    """A trial is stopped midway and opened again: its losses are those of the trial that never stopped."""
    expected = finish(place.open(place.trial(LORA), "whole"))  # replayed, if it has run
    started = time.perf_counter()
    stopped = place.open(place.trial(LORA), "stopped")
    for _ in range(STOPPED_AFTER_ROWS):
        stopped.advance()
    stopped.close()
    rows = finish(place.open(place.trial(LORA), "stopped"))
    off = max(
        abs(row[loss] / other[loss] - 1)
        for row, other in zip(rows, expected, strict=True)
        for loss in ("train_loss", "test_loss")
        if loss in other
    )
    bound = RESUMED_TOLERANCE[place.device.type]
    targets = [Target(f"{LORA}: largest relative difference of a resumed loss", off, bound, at_least=False)]
    yield from _told(f"{LORA}: resumed", started, rows[-1], f"losses differ by {off:.1e} at most", targets)


def out_of_memory(place: Place) -> Iterator[Row | Target]:
    """A trial gets less than it needs: it runs out, and opened again it is planned smaller and finishes.

    Raises:
        RuntimeError: it did not run out, so that nothing is shown.
    """
    longer = {"block_size": CPU_BLOCK} if place.device.type == "cpu" else {}
    config = place.trial(LORA, seed=1, steps=1, test_every=1, **longer)
    predicted = place.plan(config).predicted
    assert predicted is not None  # as of all but some methods of PEFT's
    limit_bytes = int(SHARE_OF_NEED * predicted.total)
    started = time.perf_counter()
    try:
        finish(place.open(config, "short of memory", limit_bytes))
    except OutOfMemoryError as error:
        ran_out = str(error)
    else:
        raise RuntimeError(f"a trial that may allocate {show_bytes(limit_bytes)} did not run out of memory")
    again = limit_bytes if place.device.type == "cuda" else None  # a CPU's limit counts threads and libraries, too
    last = finish(place.open(config, "short of memory", again))[-1]
    most = config.batch_size // 2
    targets = [
        Target(f"{LORA}: micro-batch after memory ran out", last["micro_batch"], most, at_least=False),
        Target(f"{LORA}: peak after memory ran out / limit", last["peak_bytes"] / limit_bytes, 1.0, at_least=False),
    ]
    seen = f"ran out {ran_out}; then finished with micro-batch {last['micro_batch']}"
    yield from _told(f"{LORA}: out of memory", started, last, seen, targets)


def finish(trial: TrialRun) -> list[TrialRow]:
    """All rows of a trial, which is let go of whatever happens."""
    try:
        rows = [trial.advance()]
        while not rows[-1].get("finished"):
            rows.append(trial.advance())
    finally:
        trial.close()
    return rows


def _told(stage: str, started: float, last: TrialRow, seen: str, targets: Sequence[Target]) -> Iterator[Row | Target]:
    """A stage's row, then its targets."""
    yield {
        "stage": stage,
        "seconds": time.perf_counter() - started,
        "predicted MiB": last["predicted_peak_bytes"] / MIB,
        "measured MiB": last["peak_bytes"] / MIB,
        "predicted / measured": last["predicted_peak_bytes"] / last["peak_bytes"],
        "seen": seen,
        "met": "yes" if all(target.met for target in targets) else "no",
    }
    yield from targets
