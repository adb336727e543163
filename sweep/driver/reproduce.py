"""Runs a finished trial again, without Ray, and says whether its losses are the ones that it reported.

    python -m sweep.run --reproduce EXPERIMENT_DIR/TRIAL

The same inputs are required, by their hashes. On the same processor with as many threads, the same code and the same
packages for arithmetic the losses must then be equal to the bit; elsewhere they must agree within RELATIVE_TOLERANCE.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import PretrainedConfig

from basis.directory import FINISHED_FILE, RECORD_FILE, SPEC_FILE
from basis.errors import UserError
from basis.fields import PrecisionChoice
from basis.input_hashes import INPUT_HASHES
from basis.methods import METHODS
from basis.read_json import DamagedError
from basis.scripts import as_called
from model.predict_memory import DeviceType
from sweep.command import remarks_on
from sweep.inputs import SweepInputs
from sweep.machine.compiler import check_compiler
from sweep.machine.gpu_facts import CPU_PRECISIONS, lacking, precisions_of
from sweep.machine.quiet import quiet_libraries
from sweep.memory.attempts import OutOfMemoryError
from sweep.memory.device import Device
from sweep.memory.plan import MemoryPlan, predict
from sweep.preparation.prepare import prepare
from sweep.provenance.loss_match import RELATIVE_TOLERANCE, judge_losses, loss_table, pair_losses
from sweep.provenance.trial_record import TrialRecord, config_hash, make_trial_record, read_trial_record
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import SweepPlan
from sweep.spec_file.load import parse_kept_spec
from sweep.spec_file.read_yaml import read_yaml
from sweep.storage.finished import read_finished
from sweep.storage.kept_trials import check_finished
from sweep.trial.config import TrialConfig
from sweep.trial.model import Execution
from sweep.worker.opening import open_trial
from sweep.worker.trial_run import TrialRun

ARITHMETIC = ("torch", "transformers", "loralib", "peft", "pytorch-optimizer", "bitsandbytes", "numpy", "cuda")
"""Packages whose versions can change a loss: they compute it, or draw the windows. Python and the others read and
schedule, and what they read is held to its hashes; a difference in them is told and changes no expectation."""

SHOWN = 60
"""Characters of a circumstance that are printed: all but a hash's last."""


@dataclass(frozen=True)
class TrialToReproduce:
    """A finished trial as its directory has it: the spec of its sweep, its config, record and rows of metrics."""

    spec: SweepSpec
    config: TrialConfig
    record: TrialRecord
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Difference:
    """What is not as it was recorded; `matters`: losses may then differ in their last bits."""

    name: str
    then: object
    now: object
    matters: bool

    def __str__(self) -> str:
        return f"{self.name}: {_show(self.then)} then, {_show(self.now)} now"


def reproduce(trial_dir: Path, cache_dir: Path, console: Console) -> bool:
    """Run a finished trial again in a temporary directory, print both runs' losses and whether they match.

    Args:
        trial_dir: EXPERIMENT_DIR/TRIAL, which is only read.
        cache_dir: where tokens, random base weights and the demo's assets are kept.
        console: told what happens.

    Returns:
        Whether all losses match.

    Raises:
        UserError: no finished trial with a record is there, or data, tokenizer or base weights are not what they were.
    """
    quiet_libraries()
    say = remarks_on(console)
    trial = read_trial(trial_dir)
    unjudged = trial.spec.model_copy(update={"reward": trial.spec.reward.unjudged()})
    model = trial.config.model
    with TemporaryDirectory(prefix="sft-sweep-") as folder:
        prepared = prepare(SweepPlan(unjudged, [trial.config], groups=[], least_trials=1), cache_dir, say)
        on_cuda = trial.record["hardware"]["device_type"] == "cuda" and torch.cuda.is_available()
        inputs = prepared.inputs(
            Path(folder),
            Device("cuda" if on_cuda else "cpu"),
            cpus=trial.record["hardware"]["threads"],
            checkpoint_seconds=math.inf,
        )[model]
        execution = Execution(**trial.record["execution"])
        device, threads = torch.device(inputs.packing.device.type), int(inputs.cpus)
        now = make_trial_record(trial.config, inputs.provenance, execution, device, threads)
        check_hashes(trial.record["hashes"], now["hashes"])
        differing = differences(trial.record, now)
        to_the_bit = not on_cuda and not any(difference.matters for difference in differing)
        tolerance = 0.0 if to_the_bit else RELATIVE_TOLERANCE
        for difference in differing:
            say(str(difference))
        say(_expectation(tolerance, on_cuda))
        again = _run_again(trial, inputs, prepared.bases[model].models.shape, execution, console)
    pairs = pair_losses(trial.rows, again)
    console.print(loss_table(pairs))
    matches, verdict = judge_losses(pairs, tolerance)
    console.print(verdict, style="green" if matches else "red", highlight=False, soft_wrap=True)
    return matches


def read_trial(trial_dir: Path) -> TrialToReproduce:
    """What a trial's directory and its experiment hold of it.

    Raises:
        UserError: in one line, what is missing or not as a trial leaves it.
    """
    check_finished(trial_dir)
    experiment_dir = trial_dir.resolve().parent
    try:
        path = trial_dir / RECORD_FILE
        record = read_trial_record(path)
        path = trial_dir / FINISHED_FILE
        rows = read_finished(path).rows
    except DamagedError as damage:
        mend = as_called("sweep.run", "--resume", str(experiment_dir))
        raise UserError(f"{path}: {damage}; mend it with: {mend}") from None
    if config_hash(record["config"]) != record["config_hash"]:
        raise UserError(f"{trial_dir / RECORD_FILE}: its config is not the one that its config_hash was made from")
    try:
        config = TrialConfig.model_validate(record["config"])
    except ValidationError:
        raise UserError(f"{trial_dir / RECORD_FILE}: its config is not one that this version knows") from None
    return TrialToReproduce(parse_kept_spec(read_yaml(experiment_dir / SPEC_FILE)), config, record, rows)


def check_hashes(then: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse inputs from which other losses follow.

    Raises:
        UserError: naming what changed.
    """
    files = {**then["data_files"], **now["data_files"]}
    changed = [f"data file {name}" for name in files if then["data_files"].get(name) != now["data_files"].get(name)]
    inputs = [name for name in now if name in INPUT_HASHES and INPUT_HASHES[name].decides_losses]
    changed += [name.replace("_", " ") for name in inputs if then.get(name) != now[name]]
    if changed:
        raise UserError(f"changed since the trial ran: {', '.join(changed)}; its losses could not match")


def differences(then: TrialRecord, now: TrialRecord) -> list[Difference]:
    """How the circumstances of a record differ from those of now. What is unknown, then or now, is never the same."""
    differing = _code_differences(then["code"], now["code"])
    for name in {**then["versions"], **now["versions"]}:
        before, after = (record["versions"].get(name, "none") for record in (then, now))
        if before != after:
            differing.append(Difference(f"versions {name}", before, after, name in ARITHMETIC))
    for name in {**then["hardware"], **now["hardware"]}:
        before, after = (_known_hardware(record["hardware"], name) for record in (then, now))
        if before != after or before is None:
            differing.append(Difference(f"hardware {name}", before, after, True))
    if "earlier" in then:
        differing.append(Difference("circumstances", "changed while the trial ran", "one process", True))
    return differing


def _code_differences(then: dict[str, Any], now: dict[str, Any]) -> list[Difference]:
    """By the hash of its files code is the same or not; of the same code another commit or version is only told."""
    same = then.get("files") is not None and then.get("files") == now.get("files")
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    if not same and "files" not in names:
        names.append("files")
    return [Difference(f"code {name}", then.get(name), now.get(name), matters=not same) for name in names]


def _known_hardware(hardware: dict[str, Any], name: str) -> object:
    """What a record says of the hardware; None where it doesn't, or calls a processor by its architecture alone."""
    value = hardware.get(name)
    return None if name in ("cpu", "device") and value == hardware.get("machine") else value


def _run_again(
    trial: TrialToReproduce, inputs: SweepInputs, shape: PretrainedConfig, execution: Execution, console: Console
) -> list[dict[str, Any]]:
    """The rows of a new run; fewer where it diverges."""
    if trial.config.compile:
        check_compiler()
    if flaw := _lacking(trial.config.precision, inputs.packing.device.type):
        raise UserError(flaw)
    known = METHODS[trial.config.method].predicted
    plan = MemoryPlan(execution, predict(trial.config, shape, inputs.packing.device, execution) if known else None)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} steps"))
    rows: list[dict[str, Any]] = []
    run: TrialRun | None = None
    try:
        with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
            bar = progress.add_task(trial.config.label, total=trial.config.steps)
            run = open_trial(trial.config, inputs, plan=plan)
            while not (rows and rows[-1].get("finished")):
                rows.append(run.advance())
                progress.update(bar, completed=rows[-1]["step"])
    except FloatingPointError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
    except OutOfMemoryError as error:
        raise UserError(f"memory ran out: {error}") from None
    finally:
        if run is not None:
            run.close()
    return rows


def _lacking(precision: PrecisionChoice, device: DeviceType) -> str | None:
    if device == "cpu":
        return lacking(precision, "a CPU", CPU_PRECISIONS)
    return lacking(precision, torch.cuda.get_device_name(), precisions_of(torch.cuda.get_device_capability()))


def _expectation(tolerance: float, on_cuda: bool) -> str:
    if not tolerance:
        return "same processor, threads, code and packages for arithmetic: the losses must match to the bit"
    why = "a GPU's kernels may add in another order each time" if on_cuda else "the circumstances are not the same"
    return f"{why}: the losses must match within a relative {tolerance:g}"


def _show(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unknown" if value is None else str(value)[:SHOWN]
