"""Measures what a report of 1,000 arms takes, and Ray's list of their trials, with a trainable that trains nothing.

python -m benchmarks report [--quick]
"""

import json
import math
import os
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from basis.directory import REPORT_DIR, RESPONSES_FILE, SPEC_FILE, SWEEP_FILE, WINDOW_LOSSES_FILE
from basis.metrics import METRICS
from benchmarks.isolate import run_apart
from benchmarks.table import Row, Table, Target
from sweep.cluster.environment import set_ray_environment

MIB = 2**20
REPORTS, WINDOWS, PROMPTS = 5, 100, 20
BOUND_SECONDS, BOUND_MIB, BOUND_PAGE_MB = 20.0, 1024.0, 3.0


@dataclass(frozen=True)
class Swept:
    """Ray's cost of trials that do nothing: seconds in all, bytes of its list of trials, seconds between its writes."""

    seconds: float
    state_bytes: int
    period_seconds: float


@dataclass(frozen=True)
class Built:
    """A report's cost: seconds, CPU seconds, peak memory of its process in bytes, and bytes of its page."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    page_bytes: int


def measure(quick: bool) -> Table:
    """Measure sweep and report of few arms and of many, with one seed each. Under `quick` both are few."""
    rows: list[Row] = []
    targets: list[Target] = []
    sizes = (4, 16) if quick else (100, 1000)
    for arms in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "experiment"
            swept = run_apart(sweep_nothing, folder, arms)
            built = run_apart(build_report, folder)
        rows.append(
            {
                "arms": arms,
                "report, s": built.seconds,
                "report, CPU s": built.cpu_seconds,
                "its memory, MiB": built.peak_bytes / MIB,
                "page, MB": built.page_bytes / 1e6,
                "sweep, s": swept.seconds,
                "Ray's list, MB": swept.state_bytes / 1e6,
                "written every, s": swept.period_seconds,
            }
        )
        if arms == sizes[-1]:
            targets = [
                Target(f"report of {arms:,} arms, s", built.seconds, BOUND_SECONDS, False),
                Target(f"its memory, MiB, {arms:,} arms", built.peak_bytes / MIB, BOUND_MIB, False),
                Target(f"its page, MB, {arms:,} arms", built.page_bytes / 1e6, BOUND_PAGE_MB, False),
            ]
    about = (
        f"Trials of one seed that train nothing and report made-up numbers {REPORTS} times, with the losses of "
        f"{WINDOWS} windows and {PROMPTS} judged responses each, run by Ray Tune on two CPUs; then the report is "
        "built in a fresh process, whose imports count. Ray writes its whole list of trials anew each time."
    )
    return Table("report", "Reports of many arms", about, rows, targets)


def sweep_nothing(folder: Path, arms: int) -> Swept:
    """Make an experiment directory with `arms` arms, and measure what Ray took."""
    set_ray_environment(None)
    import ray
    from ray import tune

    from sweep.tune.tuning import snapshot_seconds

    class Nothing(tune.Trainable):  # type: ignore[misc]  # Ray has no types
        def setup(self, config: dict[str, Any]) -> None:
            self.rows = iter(_rows(config))

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.setup(new_config)
            return True

        def step(self) -> dict[str, Any]:
            return next(self.rows)

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            return None

    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(period := snapshot_seconds(arms))
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    began = time.monotonic()
    tune.Tuner(
        tune.with_resources(Nothing, {"cpu": 1}),
        param_space=tune.grid_search([_config(arm) for arm in range(arms)]),
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()
    seconds = time.monotonic() - began
    ray.shutdown()
    for trial in folder.glob("*/params.json"):
        config = json.loads(trial.read_text(encoding="utf-8"))
        rng = np.random.default_rng(config["arm"])
        losses = _loss(config) + 0.3 * np.random.default_rng(0).normal(size=WINDOWS) + 0.02 * rng.normal(size=WINDOWS)
        (trial.parent / WINDOW_LOSSES_FILE).write_text(json.dumps({"test_loss": list(losses)}), encoding="utf-8")
        lines = (json.dumps(one) for one in _responses(rng))
        (trial.parent / RESPONSES_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / SPEC_FILE).write_text(json.dumps({"name": "many", "seeds": [0]}), encoding="utf-8")
    (folder / SWEEP_FILE).write_text(json.dumps({"name": "many"}), encoding="utf-8")
    return Swept(seconds, max(path.stat().st_size for path in folder.glob("experiment_state-*.json")), period)


def build_report(folder: Path) -> Built:
    """Build the report of an experiment directory, and measure what it took with its imports."""
    began, cpu = time.monotonic(), time.process_time()
    from analysis.report import build

    build(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    page = (folder / REPORT_DIR / "report.html").stat().st_size
    return Built(time.monotonic() - began, time.process_time() - cpu, peak, page)


def _config(arm: int) -> dict[str, Any]:
    rng = np.random.default_rng(arm)
    rank, optimizer = (1, 8, 64)[arm % 3], ("adamw", "sgd", "momentum")[arm // 3 % 3]
    shared = {"steps": 100, "batch_size": 8, "micro_batch": 8, "block_size": 64, "test_windows": WINDOWS}
    lr = float(10 ** rng.uniform(-5, -2))
    return {"method": "lora", "rank": rank, "optimizer": optimizer, "lr": lr, **shared, "seed": 0, "arm": arm}


def _loss(config: dict[str, Any]) -> float:
    """A made-up loss: lowest at a learning rate of 1e-3, with small effects of rank and optimizer."""
    return 2.0 + 0.1 * abs(math.log10(config["lr"]) + 3) + (0.01 if config["rank"] < 8 else 0.0)


def _rows(config: dict[str, Any]) -> list[dict[str, Any]]:
    numbers = {metric.name: float(place) for place, metric in enumerate(METRICS)}
    numbers |= {"wins": 10.0, "ties": 2.0, "losses": 8.0, "win_rate": 0.5}
    made = []
    for number in range(REPORTS):
        left = 1 - number / (REPORTS - 1)
        loss = {"step": 25 * number, "test_loss": _loss(config) + 2 * left, "train_loss": _loss(config) + 2 * left}
        made.append({**numbers, **loss, "peak_source": "cpu tensors", "device": "a CPU"})
    return [*made[:-1], {**made[-1], "finished": True, "done": True}]


def _responses(rng: np.random.Generator) -> list[dict[str, Any]]:
    margins = [1.0] * 10 + [0.0] * 2 + [-1.0] * 8
    return [
        {
            "prompt": f"Question {number}? {'word ' * 40}",
            "response": "word " * int(rng.integers(20, 60)),
            "reward": margin,
            "base_response": "word " * 40,
            "base_reward": 0.0,
            "response_tokens": 40,
        }
        for number, margin in enumerate(margins)
    ]
