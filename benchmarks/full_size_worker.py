"""The parts of the full-size benchmark that run in fresh processes. Each calls the sweep's own code."""

import shutil
import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks.full_size_inputs import Files, Size, quiet, short_spec
from benchmarks.made_up import dialogues
from benchmarks.step_pace import status_bytes
from benchmarks.study_time import Pace, Work, count_work, evaluation_windows
from sweep.data.tokenizer import load_tokenizer
from sweep.driver.dry_run import planned_device
from sweep.inputs import SweepInputs
from sweep.machine.hardware import allowed_cpus
from sweep.memory.device import Device
from sweep.memory.packing import budget_on
from sweep.memory.plan import plan_trial
from sweep.memory.shape import read_shape
from sweep.preparation.prepare import prepare
from sweep.reward_metric import score
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import enumerate_trials, plan_sweep
from sweep.trial.config import TrialConfig
from sweep.worker.opening import open_trial

FULL, LORA = "full adamw", "lora r1 adamw"
"""The arms, by their labels."""


@dataclass(frozen=True)
class Case:
    """A trial of the study (variant None) or of a variant of it."""

    variant: str | None
    arm: str
    precision: str

    @property
    def name(self) -> str:
        """Such as "published, full adamw, bf16"."""
        return ", ".join(part for part in (self.variant, self.arm, self.precision) if part)


@dataclass(frozen=True)
class Measured:
    """A trial's rows, and the time and memory of its process.

    Attributes:
        config: the trial.
        work: the operations that it needs.
        first: its row before the first step.
        last: its row after the last one, judged.
        asked_bytes: memory that Ray would set aside for it.
        process_bytes: resident memory of its process at the most.
        seconds: from the command to the last row.
    """

    config: TrialConfig
    work: Work
    first: dict[str, Any]
    last: dict[str, Any]
    asked_bytes: int
    process_bytes: int
    seconds: float

    @property
    def responses(self) -> int:
        """The number of responses that were judged."""
        return int(self.last["wins"] + self.last["ties"] + self.last["losses"])

    @property
    def pace(self) -> Pace:
        """Seconds of a step, of an evaluation window and of a response with its judging."""
        return Pace(
            self.work,
            self.last["step_seconds"],
            self.last["evaluation_seconds"] / evaluation_windows(self.config),
            self.last["reward_seconds"] / self.responses,
        )


@dataclass(frozen=True)
class Judged:
    """One judged batch of pairs: seconds, the loading of the reward model included, and the process's peak memory."""

    pairs: int
    seconds: float
    process_bytes: int


def prepare_variant(files: Files, size: Size, variant: str | None) -> SweepInputs:
    """Do what a sweep's driver does before the first trial: make tokens and base weights, and judge a first pair."""
    spec = short_spec(files, size, variant)
    prepared = prepare(plan_sweep(spec), files.cache, say=lambda _: None)
    return prepared.inputs(
        files.experiment(variant),
        Device("cpu"),  # each case has its own
        cpus=float(spec.resources.with_cpus(allowed_cpus()).cpu),
    )[None]


def choose_trial(spec: SweepSpec, arm: str) -> TrialConfig:
    """The trial of `spec` with that label."""
    (found,) = (trial for trial in enumerate_trials(spec) if trial.label == arm)
    return found


def run_case(case: Case, files: Files, size: Size, inputs: SweepInputs) -> Measured:
    """Do what a sweep's worker does with a trial: plan it for the free memory, train, test and judge it.

    Raises:
        UserError: it does not fit into what is free.
        OutOfMemoryError: it was planned to fit and did not.
    """
    quiet()
    started = time.perf_counter()
    spec = short_spec(files, size, case.variant, case.precision)
    config = choose_trial(spec, case.arm)
    device = planned_device(spec, gpus=())
    packing = replace(inputs.packing, device=device)
    shape = read_shape(inputs.base_model, "model.name")
    plan = plan_trial(config, shape, device, budget_on(device, spec.resources, spec.memory.budget))
    trial = open_trial(config, replace(inputs, packing=packing), plan=plan, limit_bytes=packing.cap_bytes(gpu_share=0))
    rows = [trial.advance()]
    while not rows[-1].get("finished"):
        rows.append(trial.advance())
    trial.close()
    shutil.rmtree(trial.folder)  # gigabytes of weights
    return Measured(
        config,
        count_work(config, shape),
        rows[0],
        rows[-1],
        packing.demand_bytes(plan),
        status_bytes("VmHWM"),
        time.perf_counter() - started,
    )


def judge_batch(inputs: SweepInputs) -> Judged:
    """Judge one batch by itself: the prompts, each with a made-up response as long as the study's may be."""
    assert inputs.reward.model is not None  # the study has one
    quiet()
    torch.set_num_threads(max(1, int(inputs.cpus)))
    tokenizer = load_tokenizer(inputs.tokenizer)
    tokens = [tokenizer.encode(text)[: inputs.reward.new_tokens] for text in dialogues(len(inputs.prompts), seed=1)]
    responses = [tokenizer.decode(ids) for ids in tokens]
    started = time.perf_counter()
    prompts = [prompt.text for prompt in inputs.prompts]
    score(inputs.reward.model, prompts, responses, len(responses), torch.device("cpu"), inputs.reading)
    return Judged(len(responses), time.perf_counter() - started, status_bytes("VmHWM"))
