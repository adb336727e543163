"""A small experiment directory made by real Ray Tune from fabricated numbers, for the tests of `analysis`.

`directory()` makes it once per test session, in a process of its own: whatever another test does with Ray stays apart.
Every number is a formula of the config, so that a test can say by hand what a report has to show.
"""

import functools
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from filelock import FileLock

from analysis.results.arm_labels import arm_key, label_arms
from analysis.results.experiment import Results
from analysis.results.trial_numbers import summarize
from basis.outcomes import Outcome
from basis.packages import ROOT

STEPS = 40
TEST_EVERY = 10
PROMPTS = 40
MIB = 2**20

CONFIG: dict[str, Any] = {
    "method": "lora",
    "rank": 1,
    "alpha": 1.0,
    "targets": ["attn.c_attn"],
    "also_train": [],
    "tie_head": True,
    "optimizer": "adamw",
    "lr": 1e-3,
    "momentum": 0.9,
    "betas": [0.9, 0.95],
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup_steps": 0,
    "clip_norm": 1.0,
    "steps": STEPS,
    "batch_size": 8,
    "micro_batch": 8,
    "block_size": 64,
    "precision": "fp32",
    "test_every": TEST_EVERY,
    "test_windows": 4,
    "seed": 1,
}
ARMS: list[dict[str, Any]] = [
    {"method": "full", "rank": None, "lr": 2e-4},
    {"rank": 1},
    {"rank": 10},
    {"rank": 100},
    {"optimizer": "sgd"},
    {"optimizer": "momentum"},
    {"optimizer": "nesterov"},
    {"optimizer": "adafactor"},  # fails in its second report
    {"optimizer": "muon", "lr": 1.0},  # diverges in its third report
    {"optimizer": "muon", "lr": 0.1},  # is ended in its second report because its loss is no number
    {"rank": 100, "optimizer": "momentum"},  # runs out of memory in its second report, for good
]
FINAL_TEST_LOSS = {"full": 1.38, 1: 2.00, 10: 1.98, 100: 1.97}
RAN_OUT = {"during": "training", "micro_batch": 8, "activation_checkpointing": False}
ATTEMPTS: dict[tuple[Any, str], list[dict[str, Any]]] = {
    (100, "adamw"): [{**RAN_OUT, "predicted_bytes": 1400 * MIB, "reached_bytes": 1500 * MIB, "limit_bytes": None}],
    (100, "momentum"): [
        {**RAN_OUT, "micro_batch": windows, "predicted_bytes": predicted, "reached_bytes": reached * MIB,
         "asked_bytes": asked * MIB, "limit_bytes": 1250 * MIB}
        for windows, predicted, reached, asked in ((8, 1224 * MIB, 1300, 90), (4, None, 1260, 60))
    ],
}  # fmt: skip
"""What out_of_memory.json holds, by rank and optimizer: the first trial finishes with fewer windows, the second never.
"""
STATES = {"sgd": 0, "momentum": 1, "nesterov": 1, "adamw": 2, "adafactor": 1, "muon": 1}
WINS = {"full": 34, 1: 26, 10: 20, 100: 21}

SPEC: dict[str, Any] = {
    "name": "study",
    "about": "Full fine-tuning, LoRA ranks and optimizers <compared>.",
    "variant": "published",
    "published_figures": True,
    "seeds": [1],
    "tables": [
        {"title": "Full fine-tuning", "where": {"method": "full"}},
        {"title": "LoRA rank", "factor": "rank", "where": {"optimizer": "adamw"}},
        {"title": "Optimizer at LoRA rank 1", "factor": "optimizer", "where": {"method": "lora", "rank": 1}},
    ],
}
SWEEP: dict[str, Any] = {
    "name": "study",
    "started_at": "2026-01-01T10:00:00",
    "finished_at": "2026-01-01T10:05:00",
    "command": "python -m sweep.run study",
    "versions": {"torch": "2.13.0", "ray": "2.60.0"},
    "hardware": {"device": "cpu", "cpus": 2},
    "data": {"train_dialogues": 100, "test_dialogues": 10, "overlap": {"exact": 0, "opening": 2}},
    "base": {"model": "gpt2"},
}


def rows(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that a trial reports, in order; a row of None stands for a failure."""
    key = config["rank"] if config["method"] == "lora" else "full"
    end = FINAL_TEST_LOSS[key] + {"sgd": 0.4, "momentum": 0.25, "nesterov": 0.24}.get(config["optimizer"], 0.0)
    end += 0.01 * (config["seed"] - 1)
    made = []
    for step in range(0, STEPS + 1, TEST_EVERY):
        left = 1 - step / STEPS
        overfit = 0.6 * max(0.0, 0.5 - left) if key == "full" else 0.0
        row: dict[str, Any] = {
            "step": step,
            "test_loss": end + 2 * left**2 + overfit,
            "train_loss": None if step == 0 else end - (0.6 if key == "full" else 0.1) + 2 * left**2,
            "tokens_seen": step * 8 * 64,
            "tokens_per_second": 1000.0 + step,
        }
        row = {name: value for name, value in row.items() if value is not None}
        made.append({**row, **memory(config), "test_perplexity": math.exp(row["test_loss"])})
    if config["optimizer"] == "muon" and config["lr"] == 1.0:
        made[2:] = [{**row, "test_loss": math.nan, "train_loss": math.inf} for row in made[2:]]
    if key == 10:  # resumed: the row of step 20 comes twice, and the first one is not to be used
        made.insert(2, {**made[2], "test_loss": 99.0})
    last = {**made[-1], **rewards(config), "finished": True}
    if config["optimizer"] == "muon":
        last = {**made[-1], "finished": True}
    return [*made[:-1], last]


def memory(config: dict[str, Any]) -> dict[str, Any]:
    """Memory figures in whole MiB: 500 of weights, gradients of 10 (LoRA) or 500 (full), whole optimizer states.

    The other 700 of the peak are 100 of logits and 600 of activations; predicted are 4 more (with SGD 10 less).
    """
    trains = (10 if config["method"] == "lora" else 500) * MIB
    state = STATES[config["optimizer"]] * trains
    predicted = (590 if config["optimizer"] == "sgd" else 604) * MIB
    return {
        "weight_bytes": 500 * MIB,
        "gradient_bytes": trains,
        "optimizer_state_bytes": state,
        "peak_bytes": 500 * MIB + trains + state + 700 * MIB,
        **parts("peak", trains, state, 600 * MIB),
        "predicted_peak_bytes": 500 * MIB + trains + state + 100 * MIB + predicted,
        **parts("predicted", trains, state, predicted),
        "micro_batch": 4 if (config["rank"], config["optimizer"]) == (100, "adamw") else config["micro_batch"],
        "activation_checkpointing": 0,
        "retained_delta_bytes": 16 * MIB + state,
        "peak_source": "cpu tensors",
        "trainable_parameters": trains // 4,
        "total_parameters": 125 * MIB,
    }


def parts(prefix: str, gradients: int, state: int, activations: int) -> dict[str, int]:
    """The columns of a peak's parts."""
    sizes = {"weight": 500 * MIB, "gradient": gradients, "optimizer_state": state, "logits": 100 * MIB}
    return {f"{prefix}_{name}_bytes": size for name, size in {**sizes, "activation": activations}.items()}


def margins(config: dict[str, Any]) -> list[float]:
    """Reward minus the base model's for each prompt: WINS wins, two ties, the rest losses.

    Each further seed moves them on by one prompt, so that seeds agree in the counts and not in every prompt.
    """
    key = config["rank"] if config["method"] == "lora" else "full"
    wins = WINS[key] if config["optimizer"] == "adamw" else 12
    size = 2.0 if key == "full" else 1.0
    places = [(i - config["seed"] + 1) % PROMPTS for i in range(PROMPTS)]
    return [size if i < wins else 0.0 if i < wins + 2 else -1.0 for i in places]


def rewards(config: dict[str, Any]) -> dict[str, float]:
    """The reward metrics of a finished trial, from its margins."""
    values = margins(config)
    wins, ties = sum(v > 0 for v in values), sum(v == 0 for v in values)
    counts = {"wins": wins, "ties": ties, "losses": PROMPTS - wins - ties, "win_rate": wins / PROMPTS}
    return {**counts, "reward_margin_mean": sum(values) / PROMPTS, "reward_seconds": 1.5}


def responses(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of responses.jsonl; one tries to break out of the page, another out of its line."""
    texts = [
        "<script>alert('x')</script> & more",
        *[f"Answer {i} of rank {config['rank']}." for i in range(1, PROMPTS)],
    ]
    texts[1] += "\u2028It goes on after a line separator."
    return [
        {
            "prompt": f"Question {i}?",
            "response": texts[i],
            "reward": -1.0 + margin,
            "base_response": f"Base answer {i}.",
            "base_reward": -1.0,
            "response_tokens": 5,
        }
        for i, margin in enumerate(margins(config))
    ]


class OutOfMemoryError(Exception):
    """Of the name that a sweep's own has; sweep.memory.attempts would bring torch along."""


def make(target: Path) -> None:
    """Run the trials under Ray Tune, with `target` as the experiment directory."""
    import ray
    from ray import tune

    class Fabricated(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.rows = iter(rows(config))
            failures = {
                ("adafactor", 1e-3): ValueError("no factor to adapt <at all>"),
                ("muon", 0.1): FloatingPointError("test loss became nan by step 10"),
            }
            self.fails = failures.get((config["optimizer"], config["lr"]))
            if (config["rank"], config["optimizer"]) == (100, "momentum"):
                self.fails = OutOfMemoryError("in training with micro-batch 4: reached 1.23 GiB")

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.setup(new_config)
            return True

        def step(self) -> dict[str, Any]:
            row = next(self.rows)
            if self.fails and row["step"] == TEST_EVERY:
                raise self.fails
            return {**row, "done": bool(row.get("finished"))}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            return None

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_resources(Fabricated, {"cpu": 1}),
        param_space=tune.grid_search([{**CONFIG, **arm, "suggested": {"branch": 0}} for arm in ARMS]),
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=2),
        run_config=tune.RunConfig(
            name=target.name,
            storage_path=str(target.parent),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    for result in tuner.fit():
        config = result.config or {}
        if attempts := ATTEMPTS.get((config.get("rank"), config.get("optimizer", ""))):
            Path(result.path, "out_of_memory.json").write_text(json.dumps(attempts))
        if result.metrics and result.metrics.get("wins") is not None:
            lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in responses(config))
            Path(result.path, "responses.jsonl").write_text("".join(lines))
    ray.shutdown()
    (target / "spec.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    (target / "sweep.json").write_text(json.dumps(SWEEP))


@functools.cache
def directory() -> Path:
    """Path of the experiment directory. Read it, copy it, but do not write into it.

    The processes that run tests share one.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return _made(Path(tempfile.mkdtemp(prefix="sft-sweep-test-")) / "study")
    folder = Path(tempfile.gettempdir()) / f"sft-sweep-test-{run}"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        done = folder / "done"
        if not done.exists():
            shutil.rmtree(folder / "study", ignore_errors=True)  # what an attempt that failed has left
            _made(folder / "study")
            done.touch()
    return folder / "study"


def _made(target: Path) -> Path:
    quiet = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # keeps Ray on the loopback address
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    }
    command = [sys.executable, "-m", "tests.synthetic_experiment", str(target)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **quiet}, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    return target


def in_memory(*changes: dict[str, Any], answered: bool = True) -> Results:
    """What `read_experiment` would return for finished trials of these configs, without a directory.

    Each change is laid over CONFIG; its key "outcome" says what became of the trial, if it did not finish.
    """
    trials, curves, answers, configs = [], [], [], {}
    made = [{**CONFIG, **{k: v for k, v in change.items() if k != "outcome"}} for change in changes]
    labels = label_arms(made)
    for number, (config, change) in enumerate(zip(made, changes, strict=True)):
        key = {"trial": f"trial-{number}", "arm": labels[arm_key(config)]}
        outcome = change.get("outcome", Outcome.FINISHED)
        trials.append({**key, "outcome": outcome, "reason": "", **config, **summarize(rows(config))})
        curves += [{**key, "seed": config["seed"], **row} for row in rows(config)]
        answers += [{**key, "seed": config["seed"], "index": i, **r} for i, r in enumerate(responses(config))]
        configs[key["trial"]] = config
    return Results(
        directory=Path("/nowhere"),
        trials=pd.DataFrame(trials),
        curves=pd.DataFrame(curves),
        responses=pd.DataFrame(answers if answered else [], columns=None if answered else ["trial", "arm", "index"]),
        attempts=pd.DataFrame(columns=["trial", "arm", "seed", "outcome"]),
        tuning=pd.DataFrame(columns=["trial", "outcome", "reason"]),
        window_losses=pd.DataFrame(columns=["trial", "arm", "seed", "window", "test_loss"]),
        general_losses=pd.DataFrame(columns=["trial", "arm", "seed", "window", "general_loss", "general_loss_base"]),
        records={},
        spec={},
        sweep={},
        configs=configs,
        damaged=[],
        control=[],
    )


def with_window_losses(results: Results, windows: int = 40) -> Results:
    """The same with the losses of windows: each trial's test loss, what a window adds, and some noise that cancels."""
    rng = np.random.default_rng(0)
    of_window = rng.normal(size=windows)
    made = []
    for key in results.trials[["trial", "arm", "seed", "test_loss"]].to_dict("records"):
        losses = of_window + 0.01 * rng.normal(size=windows)
        losses += key["test_loss"] - losses.mean()
        made += [{**key, "window": window, "test_loss": loss} for window, loss in enumerate(losses)]
    return replace(results, window_losses=pd.DataFrame(made))


def with_general_losses(results: Results, rises: Mapping[str, float], windows: int = 40) -> Results:
    """The same with losses of general text, which rise by so much in the finished trials of each arm, on average."""
    rng = np.random.default_rng(0)
    base = 3 + rng.normal(size=windows)
    trials, made = results.trials.copy(), []
    trials[["general_loss", "forgetting"]] = math.nan
    for index, key in trials[["trial", "arm", "seed"]].iterrows():
        noise = 0.01 * rng.normal(size=windows)
        losses = base + rises[key["arm"]] + noise - noise.mean()
        trials.loc[index, ["general_loss", "forgetting"]] = losses.mean(), losses.mean() - base.mean()
        made += [
            {**key, "window": window, "general_loss": loss, "general_loss_base": before}
            for window, (loss, before) in enumerate(zip(losses, base, strict=True))
        ]
    return replace(results, trials=trials, general_losses=pd.DataFrame(made))


BYTES_PER_TOKEN = {"words": 5.0, "letters": 1.25}
"""By the name of a tokenizer, for `of_models`."""


def of_models(models: Mapping[str, tuple[str, str]], *changes: dict[str, Any], seeds: int = 2) -> Results:
    """Finished trials of several base models, with losses of windows and records of what each was tested on.

    Args:
        models: name of its tokenizer and digest of its test rows, by each model's label.
        changes: laid over CONFIG, each for every model; none for one arm per model.
        seeds: seeds of each arm.
    """
    every = [{**change, "model": label} for label in models for change in (changes or ({},))]
    results = with_window_losses(in_memory(*({**one, "seed": seed} for one in every for seed in range(1, seeds + 1))))
    trials, records = results.trials.copy(), {}
    for index, trial, model in trials[["trial", "model"]].itertuples():
        tokenizer, rows_tested = models[model]
        bits = trials.loc[index, "test_loss"] / math.log(2) / BYTES_PER_TOKEN[tokenizer]
        trials.loc[index, "test_bits_per_byte"] = bits
        names = ("base_weights", "tokenizer", "train_tokens", "test_tokens", "general_tokens")
        hashes = {name: f"{name} of {model if name == 'base_weights' else tokenizer}" for name in names}
        records[trial] = {"hashes": hashes, "test_rows": rows_tested}
    curves = results.curves.merge(trials[["trial", "model"]])
    bytes_per_token = curves.pop("model").map(lambda model: BYTES_PER_TOKEN[models[model][0]])
    curves["test_bits_per_byte"] = curves["test_loss"] / math.log(2) / bytes_per_token
    return replace(results, trials=trials, curves=curves, records=records)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
