"""The tables of the full-size benchmark: memory, its parts, time, and what the whole study would take."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import GPT2Config

from basis.units import show_bytes
from benchmarks.full_size_inputs import Size, whole_spec
from benchmarks.full_size_worker import LORA, Case, Judged, Measured
from benchmarks.measured import largest_part_off
from benchmarks.memory import TOLERANCE
from benchmarks.study_time import A100, GPUS, RECORDED_HOURS, count_work
from benchmarks.table import Row, Table, Target
from model.ledger import MemoryParts
from sweep.data.prompts import read_questions
from sweep.machine.hardware import cpu_has_bf16
from sweep.memory.gpu_time import UTILISATION
from sweep.memory.shape import planned_shape
from sweep.preparation.sources import STUDY_PROMPTS
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import enumerate_trials

GIB = 2**30


@dataclass(frozen=True)
class Figures:
    """All that was measured. A case that failed has the reason in place of its figures."""

    cases: dict[Case, Measured | str]
    judged: Judged
    free_bytes: int

    @property
    def measured(self) -> dict[Case, Measured]:
        """The cases that ran through."""
        return {case: found for case, found in self.cases.items() if isinstance(found, Measured)}


def tables_of(figures: Figures, size: Size) -> list[Table]:
    """Memory, its parts, time, and the whole study."""
    return [_memory_table(figures, size), _parts_table(figures), _time_table(figures), _study_table(figures, size)]


# -------------------------------------------------------------------------------------------------------------- memory


def parts_of(row: Mapping[str, Any], prefix: str) -> MemoryParts:
    """The parts of a predicted or measured peak in a trial's row."""
    return MemoryParts(
        weights=row[f"{prefix}_weight_bytes"],
        gradients=row[f"{prefix}_gradient_bytes"],
        optimizer_state=row[f"{prefix}_optimizer_state_bytes"],
        logits=row[f"{prefix}_logits_bytes"],
        activations=row[f"{prefix}_activation_bytes"],
    )


def _memory_table(figures: Figures, size: Size) -> Table:
    rows, targets = [], []
    for case, found in figures.cases.items():
        row: Row = {"variant": case.variant or "study", "arm": case.arm, "precision": case.precision}
        if isinstance(found, str):
            rows.append({**row, "micro-batch": None, "not measured": found})
            continue
        predicted, measured = found.last["predicted_peak_bytes"], found.last["peak_bytes"]
        error = predicted / measured - 1
        row |= {
            "micro-batch": found.last["micro_batch"],
            "activation checkpointing": "yes" if found.last["activation_checkpointing"] else "no",
            "predicted GiB": predicted / GIB,
            "measured GiB": measured / GIB,
            "error %": f"{100 * error:+.3f}",
            "largest part off": largest_part_off(parts_of(found.last, "predicted"), parts_of(found.last, "peak")),
            "asked of Ray GiB": found.asked_bytes / GIB,
            "process GiB": found.process_bytes / GIB,
        }
        rows.append(row)
        targets.append(Target(f"error of a predicted peak, {case.name}", abs(error), TOLERANCE, at_least=False))
    targets.append(Target("cases that ran through", len(figures.measured), len(figures.cases)))
    return Table("full_size", "Memory at the study's real shapes", _about(figures, size), rows, targets)


def _parts_table(figures: Figures) -> Table:
    rows: list[Row] = [
        {"case": case.name, "of the peak": kind}
        | {f"{name.replace('_', ' ')} GiB": size / GIB for name, size in parts_of(found.last, prefix).as_dict().items()}
        for case, found in figures.measured.items()
        for kind, prefix in (("predicted", "predicted"), ("measured", "peak"))
    ]
    about = "The parts of the peaks above; activations are all that is none of the others."
    return Table("full_size parts", "What the peaks at the real shapes consist of", about, rows)


# ---------------------------------------------------------------------------------------------------------------- time


def _time_table(figures: Figures) -> Table:
    rows: list[Row] = []
    for case, found in figures.measured.items():
        pace = found.pace
        rows.append(
            {
                "case": case.name,
                "s per step": pace.step_seconds,
                "TFLOP per step": pace.work.step_flops / 1e12,
                "GFLOP/s": pace.work.step_flops / pace.step_seconds / 1e9,
                "s per window": pace.window_seconds,
                "s per response": pace.response_seconds,
                "test loss before": found.first["test_loss"],
                "test loss after": found.last["test_loss"],
                "whole trial s": found.seconds,
            }
        )
    judged = figures.judged
    rows.append(
        {
            "case": f"judging alone, {judged.pairs} pairs",
            "s per pair": judged.seconds / judged.pairs,
            "process GiB": judged.process_bytes / GIB,
        }
    )
    about = (
        "Of the same trials. `s per step` is the mean of the steps, the first and what measures memory included; "
        "`s per window` evaluation without gradients, `s per response` an answer of the trained model and its judging, "
        "`s per pair` judging alone, in one batch, with the reward model's loading. Needed operations as in the table "
        "below."
    )
    return Table("full_size time", "Time at the study's real shapes", about, rows)


def _study_table(figures: Figures, size: Size) -> Table:
    spec = whole_spec(size, variant=None)
    shape, responses = planned_shape(spec.models[None]), len(read_questions(STUDY_PROMPTS))
    paces = {(f.config.method, c.precision): f.pace for c, f in figures.measured.items() if c.variant is None}
    rows: list[Row] = []
    for config in enumerate_trials(spec):
        work = count_work(config, shape)
        here = {precision: paces.get((config.method, precision)) for precision in ("fp32", "bf16")}
        rows.append(
            {
                "arm": config.label,
                "PFLOP": work.trial_flops(config) / 1e15,
                **{
                    f"days here, {precision}": None if pace is None else pace.trial_hours(config, work, responses) / 24
                    for precision, pace in here.items()
                },
                **{f"hours on {gpu.name}, {gpu.precision}": gpu.hours(work.trial_flops(config)) for gpu in GPUS},
                "hours recorded": RECORDED_HOURS[config.method, config.rank, config.optimizer],
            }
        )
    rows.append({"arm": "all, one after another", **{name: _sum(rows, name) for name in rows[0] if name != "arm"}})
    return Table("full_size study", "What the whole study would take", _about_study(spec, shape), rows)


def _sum(rows: Sequence[Row], column: str) -> float | None:
    """The sum of a column; None if a value is missing."""
    values = [row[column] for row in rows]
    return None if None in values else sum(float(value or 0) for value in values)


# ---------------------------------------------------------------------------------------------------------------- words


def _about(figures: Figures, size: Size) -> str:
    spec = whole_spec(size, variant=None, settings=size.part)
    shape, trial, reward = planned_shape(spec.models[None]), spec.trial, size.reward_model
    bf16 = "has instructions for bf16" if cpu_has_bf16() else "has no bf16 arithmetic: it is emulated"
    return (
        f"Trials of the preset `study` and of its variant `published`, on {len(os.sched_getaffinity(0))} CPU cores "
        f"with {show_bytes(figures.free_bytes)} free at the start; the processor {bf16}. A GPT-2 of {shape.n_layer} "
        f"layers, width {shape.n_embd} and vocabulary {shape.vocab_size} at random weights (`init: random`), batches "
        f"of {trial['batch_size']} x {trial['block_size']} tokens of made-up dialogues. Each trial runs in a process "
        "of its own by the sweep's own code: prepared, planned for the memory that is free, "
        f"{trial['steps']} steps, two evaluations of {trial['test_windows']} windows, {spec.reward.max_prompts} of the "
        f"study's prompts answered and judged by a DeBERTa-v3 of {reward['num_hidden_layers']} layers and width "
        f"{reward['hidden_size']} at random weights. `predicted` is what the plan says before the weights are loaded, "
        "`measured` the peak of two steps by the account of PyTorch's CPU allocator. `asked of Ray` is what a sweep "
        "sets aside for the trial; `process` is its process's resident memory at the most, with judging and with what "
        "a prediction of tensors leaves out: libraries, the mapped file of base weights, gaps in the C library's heap."
    )


def _about_study(spec: SweepSpec, shape: GPT2Config) -> str:
    whole = {trial.label: trial for trial in enumerate_trials(spec)}[LORA]
    achieved = count_work(whole, shape).trial_flops(whole) / (RECORDED_HOURS["lora", 1, "adamw"] * 3600)
    return (
        f"The study's seven arms: {whole.steps:,} steps, evaluations every {whole.test_every} steps. None of it has "
        "been run: `here` multiplies the seconds above (an arm that was not run takes as long as its method's, in "
        "proportion to the operations of a step), and GPUs are an estimate that nobody has measured, from needed "
        f"operations, NVIDIA's peak rates and an assumed utilisation of {UTILISATION:.0%} (at half of it, twice the "
        "hours), without answers and judging. The preset trains in fp32 unless it is told otherwise; T4s have no bf16. "
        "`recorded` is what the published study noted on A100 and A800 GPUs of 80 GB; its LoRA rank 1 did "
        f"{achieved / 1e12:.1f} TFLOP/s by this count, {achieved / A100.peak_flops:.1%} of an A100's peak in bf16. "
        "Operations are counted in `benchmarks/study_time.py`, after Kaplan et al. 2020 and Chowdhery et al. 2022."
    )
