"""Compares trials that are packed by their predicted memory with one trial at a time.

python -m benchmarks.packing [--quick]
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import transformers
import yaml

from basis.units import show_bytes
from benchmarks.declared_gpu import Order, Schedule, Stub, schedule
from benchmarks.made_up import dialogues, sweep_spec, write_dialogues, write_tokenizer
from benchmarks.measured import paired, run_alone, single, spread
from benchmarks.overhead import ROOT, Trial, read_trials
from benchmarks.step_shapes import SHAPES
from benchmarks.table import Row, Table, Target
from sweep.machine.gpu_facts import GpuFacts
from sweep.machine.hardware import allowed_cpus
from sweep.memory.device import Device
from sweep.memory.packing import Packing
from sweep.memory.plan import plan_trial
from sweep.memory.shape import planned_shape
from sweep.schema.resources import MOST_AUTO_CPUS
from sweep.search_space import enumerate_trials
from sweep.spec_file.load import load_spec
from sweep.trial.config import TrialConfig

VOCABULARY = 512
RANKS = [1, 2, 4]
GPU = Device("cuda", 80 * 2**30, (GpuFacts("declared H100", (9, 0), 80 * 2**30, 80 * 2**30, 132, 1.98e9, 3.35e12),))


@dataclass(frozen=True)
class Way:
    """How real trials run: how many fit into the declared memory, and which share of the cores each gets.

    `from_round` is the first round that has it; start-up makes a sweep of small trials dear.
    """

    fitting: int
    share_of_cores: float
    from_round: int = 0


PACKED = "packed"
IN_TURN = "one at a time"
WAYS = {
    PACKED: Way(fitting=2, share_of_cores=0.5),
    IN_TURN: Way(fitting=1, share_of_cores=0.5),
    "one at a time on all cores": Way(fitting=1, share_of_cores=1.0, from_round=1),
}


@dataclass(frozen=True)
class Size:
    """How much runs: rounds, real trials, their steps, and the seconds that the shortest stub waits."""

    rounds: int
    trials: int
    steps: int
    seconds: float


QUICK = Size(rounds=1, trials=2, steps=10, seconds=0.5)
FULL = Size(rounds=2, trials=6, steps=50, seconds=3)


@dataclass
class Measured:
    """The sweeps of one way, by round: makespans in seconds, and the most bytes that were granted at once."""

    makespans: dict[int, float] = field(default_factory=dict)
    granted: dict[int, int] = field(default_factory=dict)

    def ratios(self, below: "Measured") -> list[float]:
        """This way's makespan over another way's, for each round that has both."""
        rounds = self.makespans.keys() & below.makespans.keys()
        return paired([self.makespans[index] for index in rounds], [below.makespans[index] for index in rounds])


def measure(quick: bool) -> Table:
    """Measure makespans with and without packing: of real trials on the CPU, and of stubs on a declared GPU."""
    size = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = dialogues(400, words=60)
        write_dialogues(folder / "dialogues.jsonl", texts)
        write_tokenizer(folder / "tokenizer", texts, VOCABULARY)
        demand_bytes = common_demand(folder, size)
        real = _real_sweeps(folder, size, demand_bytes)
        packed, in_turn = schedule(_orders(folder, size))
    granted = max(real[PACKED].granted.values()) / (WAYS[PACKED].fitting * demand_bytes)
    ratio = statistics.median(real[PACKED].ratios(real[IN_TURN]))
    targets = [
        Target("CPU: makespan, packed / one at a time", ratio, 1.0, False),
        Target("CPU: granted at once / declared", granted, 1.0, False),
        Target("declared GPU: largest sum of shares", packed.largest_sum, 1.0, False),
    ]
    rows = _real_rows(real, demand_bytes) + _declared_rows(packed, in_turn)
    return Table("packing", "Packing trials by predicted memory", _about(size, demand_bytes), rows, targets)


# ------------------------------------------------------------------------------------------------ real trials on a CPU


def makespan(trials: Sequence[Trial]) -> float:
    """Seconds from the first trial's beginning to the last one's end."""
    return max(trial.ended for trial in trials) - min(trial.began for trial in trials)


def most_at_once(trials: Sequence[Trial]) -> int:
    """The most trials that run at any moment."""
    return max(sum(other.began <= trial.began < other.ended for other in trials) for trial in trials)


def common_demand(folder: Path, size: Size) -> int:
    """The bytes that each real trial asks for.

    Raises:
        RuntimeError: they differ, so that a number of them does not say what they take.
    """
    transformers.utils.logging.set_verbosity_error()  # a made-up vocabulary lacks GPT-2's end of text
    spec = load_spec(str(_write_spec(folder, "demand", size, WAYS["packed"], 2**40)))
    shape, device = planned_shape(spec.models[None]), Device("cpu")
    plans = [plan_trial(trial, shape, device, None) for trial in enumerate_trials(spec)]
    demands = {Packing(device).demand_bytes(plan) for plan in plans}
    if len(demands) > 1:
        raise RuntimeError(f"the trials are to ask for the same memory, and ask for {sorted(demands)}")
    return demands.pop()


def _real_sweeps(folder: Path, size: Size, demand_bytes: int) -> dict[str, Measured]:
    """Run the sweep in each way, in interleaved rounds. Each begins with another way."""
    real: dict[str, Measured] = {}
    for index in range(size.rounds):
        ways = [name for name, way in WAYS.items() if index >= way.from_round]
        for name in ways if index % 2 == 0 else ways[::-1]:
            trials = _run_sweep(folder, f"{index} {name}", size, WAYS[name], demand_bytes)
            measured = real.setdefault(name, Measured())
            measured.makespans[index] = makespan(trials)
            measured.granted[index] = most_at_once(trials) * demand_bytes
    return real


def _run_sweep(folder: Path, name: str, size: Size, way: Way, demand_bytes: int) -> list[Trial]:
    """Run the sweep with the real command, into `folder`/`name`.

    Raises:
        RuntimeError: the command failed; with the end of what it said.
    """
    spec = _write_spec(folder, name, size, way, demand_bytes)
    ran = subprocess.run(
        [sys.executable, "-m", "sweep.run", str(spec), "--output", str(folder / name)],
        cwd=ROOT,
        env={**os.environ, "SFT_SWEEP_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
    )
    trials = read_trials(folder / name)
    if ran.returncode or len(trials) != size.trials:
        raise RuntimeError(f"the sweep failed ({ran.returncode}):\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return trials


def _write_spec(folder: Path, name: str, size: Size, way: Way, demand_bytes: int) -> Path:
    ranks = RANKS[: min(size.trials, len(RANKS))]
    shape = {"n_layer": 2, "n_embd": 128, "n_head": 2, "n_positions": 128, "vocab_size": VOCABULARY}
    trial = {"steps": size.steps, "batch_size": 8, "block_size": 128, "test_every": size.steps, "test_windows": 16}
    space = {
        "method": "lora",
        "rank": ranks,
        "optimizer": "adamw",
        "lr": [1e-4 * (number + 1) for number in range(size.trials // len(ranks))],
    }
    spec = sweep_spec(folder, "packing", shape, trial, space, allowed_cpus() * way.share_of_cores)
    spec["memory"] = {"device": way.fitting * demand_bytes}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return path


# ----------------------------------------------------------------------------------------- stub trials, a declared GPU


def _orders(folder: Path, size: Size) -> list[Order]:
    """Two orders of the study's arms as stubs: packed by their memory, and with a whole GPU each."""
    spec = load_spec("study", ["trial.precision=bf16"])
    arms = enumerate_trials(spec)
    least = min(map(_flops, arms))
    resources = spec.resources.with_cpus(MOST_AUTO_CPUS)
    packed = Order(
        stubs=tuple(Stub(arm, size.seconds * _flops(arm) / least) for arm in arms),
        shape=planned_shape(spec.models[None]),
        device=GPU,
        resources=resources.model_copy(update={"gpu": "share"}),
        cpus=len(arms) * round(float(resources.cpu)),
        experiment_dir=folder / "declared packed",
    )
    whole = resources.model_copy(update={"gpu": 1.0})
    return [packed, replace(packed, resources=whole, experiment_dir=folder / "declared in turn")]


def _flops(arm: TrialConfig) -> int:
    """Floating-point operations of one step of an arm."""
    return replace(SHAPES["medium"], batch=arm.batch_size, block=arm.block_size).flops(arm.method)


# ----------------------------------------------------------------------------------------------------------- reporting


def _real_rows(real: dict[str, Measured], demand_bytes: int) -> list[Row]:
    rows = [spread(f"CPU: makespan, {name}", "s", [*measured.makespans.values()]) for name, measured in real.items()]
    for name, measured in real.items():
        if name != PACKED:
            rows.append(spread(f"CPU: makespan, packed / {name}", "ratio", real[PACKED].ratios(measured)))
    for name, measured in real.items():
        mib = [granted / 2**20 for granted in measured.granted.values()]
        declared = f"of {show_bytes(WAYS[name].fitting * demand_bytes)} declared"
        rows.append(spread(f"CPU: largest sum granted at once, {name}", "MiB", mib, declared))
    return rows


def _declared_rows(packed: Schedule, in_turn: Schedule) -> list[Row]:
    seconds = [span.ended - span.began for span in in_turn.spans]
    rows: list[Row] = []
    for how, done in (("packed", packed), ("a whole GPU each", in_turn)):
        rows.append(single(f"declared GPU: makespan, {how}", "s", done.makespan, f"{len(done.spans)} stubs"))
        rows.append(single(f"declared GPU: mean number of trials at once, {how}", "trials", done.mean_at_once))
        rows.append(single(f"declared GPU: largest sum of shares, {how}", "GPU", done.largest_sum))
    rows += [
        single("declared GPU: makespan, packed / a whole GPU each", "ratio", packed.makespan / in_turn.makespan),
        single("declared GPU: longest stub / all of them", "ratio", max(seconds) / sum(seconds), "the least possible"),
        single("declared GPU: longest wait of a trial that would fit", "s", packed.longest_wait()),
    ]
    return rows


def _about(size: Size, demand_bytes: int) -> str:
    return (
        f"*CPU*: real training by `python -m sweep.run`, {size.trials} LoRA trials of {size.steps} steps of 8 x 128 "
        f"tokens of a GPT-2 of 2 layers and width 128, on {os.cpu_count()} CPU cores. By its predicted memory each "
        f"trial asks for {show_bytes(demand_bytes)}, its process included. *Packed*: `memory.device` declares twice "
        "that, and each trial has half of the cores. *One at a time*: the same spec with memory for one trial, so half "
        "of the cores idle. *On all cores*: that, with all cores for the one trial, from the second round on. A "
        "makespan is the time from the first trial's beginning to the last one's end, without the start of Ray; "
        f"interleaved rounds ({size.rounds}), and ratios are of the same round. What is granted is what the trials "
        "that run at a moment ask for.\n\n"
        "*Declared GPU*: scheduling alone. Ray Tune schedules the seven arms of the study in bf16, with the plans and "
        f"CPUs of a sweep, on a Hopper GPU of {show_bytes(GPU.capacity_bytes or 0)} that is declared and not "
        "there. Nothing trains: a trial waits, in proportion to the floating-point operations of its arm, "
        f"{size.seconds:g} s for LoRA. *Packed* is `resources.gpu: share`. On a real GPU such trials, each of which is "
        "predicted to keep it busy, take turns and gain nothing, so `gpu: auto` gives each a whole GPU. That workers "
        "start, one for each trial that runs beside others, counts in the makespan except for the first; in the "
        "study, whose trials take hours, it would not matter."
    )


if __name__ == "__main__":
    run_alone(measure)
