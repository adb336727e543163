"""Several sweeps as one: their trials in one set of frames, seeds of one arm together, what was run twice once.

Seeds make up one arm where config, inputs and code are the same. Where the config alone is, there are several arms, and
their labels name the sweeps. What is on record of a sweep as a whole stays its own (`Results.parts`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.results.arm_labels import arm_key, is_tuning, label_arms
from analysis.results.experiment import Results, read_experiment
from analysis.results.inputs import base_models, inputs_by_trial
from analysis.results.outcomes import finite
from analysis.results.prompt_offsets import offsets_of_prompts
from analysis.results.reported_trials import report_order
from analysis.wording.phrases import join
from basis.control_record import Decision
from basis.outcomes import Outcome

SWEEP = "sweep"
"""Column of the frames: the name of the sweep that a row comes from."""
KEPT_OF_REPEATED = ("trial", "arm", SWEEP, "trial_id", "outcome", "reason")
"""Columns that the row of a repeated trial keeps besides its config: its numbers are another trial's already."""


@dataclass(frozen=True)
class _Trial:
    """A trial of a sweep: where it comes from, its name among all, its config and the identity of its inputs,
    of all and of those that base models share."""

    sweep: str
    own_name: str
    config: dict[str, Any]
    inputs: str
    shared_inputs: str
    outcome: str
    test_loss: float | None

    @property
    def name(self) -> str:
        return f"{self.sweep}/{self.own_name}"

    @property
    def identity(self) -> str:
        return json.dumps([self.config, self.inputs], sort_keys=True, default=str)


def name_sweeps(directories: Sequence[Path]) -> dict[str, Path]:
    """Call each directory by the last parts of its path, as few as tell them all apart.

    Args:
        directories: absolute paths, each once.
    """
    most = max(len(directory.parts) for directory in directories)
    for number in range(1, most + 1):
        named = {"/".join(directory.parts[-number:]).lstrip("/"): directory for directory in directories}
        if len(named) == len(directories):
            break
    return named


def read_sweeps(directories: Sequence[Path]) -> Results:
    """Read one experiment directory, or several as one; one that is given twice, as by a link, is read once.

    Raises:
        UserError: one is missing or is no experiment directory.
    """
    paths = list(dict.fromkeys(_resolved(directory) for directory in directories))
    if len(paths) == 1:
        return read_experiment(paths[0])
    return pooled({name: read_experiment(path) for name, path in name_sweeps(paths).items()})


def _resolved(directory: Path) -> Path:
    try:
        return directory.expanduser().resolve()
    except (RuntimeError, ValueError):  # `read_experiment` says what is wrong with it
        return directory


def pooled(parts: Mapping[str, Results]) -> Results:
    """Put several sweeps together, so that whoever reads one reads them as one.

    Args:
        parts: the sweeps by name, two or more.

    Returns:
        All trials, each named SWEEP/TRIAL, whatever the order of the sweeps. Of trials of one config, seed and inputs
        the first that finished counts, by the start of its sweep; the others repeat it.
    """
    parts = dict(sorted(parts.items(), key=lambda part: (str(part[1].sweep.get("started_at")), part[0])))
    models = base_models(parts)
    trials = _told_apart(_trials(parts, models), bool(models))
    labels = _labels([trial for trial in trials if not is_tuning(trial.config)])
    originals = _originals(trials)
    order = {trial.name: place for place, trial in enumerate(sorted(trials, key=_place))}
    offsets = offsets_of_prompts(parts)

    def put_together(name: str) -> pd.DataFrame:
        frames = [_named(getattr(part, name), sweep) for sweep, part in parts.items()]
        frame = pd.concat([one for one in frames if len(one)] or frames[:1], ignore_index=True)
        if "trial" not in frame or frame.empty:
            return frame
        if "arm" in frame:
            frame["arm"] = [labels.get(trial, "unknown config") for trial in frame["trial"]]
        return frame.sort_values("trial", key=lambda column: column.map(order), kind="stable", ignore_index=True)

    def once(name: str) -> pd.DataFrame:
        frame = put_together(name)
        return frame[~frame["trial"].isin(originals)].reset_index(drop=True) if "trial" in frame else frame

    responses = once("responses")
    if len(responses):
        moved = responses["index"] + responses[SWEEP].map(offsets)
        responses = responses.assign(index=moved)
    configs = {trial.name: trial.config for trial in trials}
    return Results(
        directory=Path.cwd(),
        trials=_marked(put_together("trials"), originals, configs),
        tuning=_marked(put_together("tuning"), originals, configs),
        curves=once("curves"),
        responses=responses,
        attempts=once("attempts"),
        window_losses=once("window_losses"),
        general_losses=once("general_losses"),
        records={f"{sweep}/{trial}": one for sweep, part in parts.items() for trial, one in part.records.items()},
        spec=_common_spec(parts),
        sweep={},
        configs=configs,
        damaged=[f"{sweep}: {sentence}" for sweep, part in parts.items() for sentence in part.damaged],
        control=[_named_decision(one, sweep) for sweep, part in parts.items() for one in part.control],
        parts=parts,
        origins={trial.name: trial.sweep for trial in trials},
        unlike_repeats=tuple(_unlike(trials, originals)),
    )


def _trials(parts: Mapping[str, Results], models: Mapping[str, Mapping[str, str]]) -> list[_Trial]:
    trials = []
    for sweep, part in parts.items():
        inputs, called = inputs_by_trial(sweep, part), models.get(sweep, {})
        for row in [*part.trials.to_dict("records"), *part.tuning.to_dict("records")]:
            name, config = str(row["trial"]), part.configs.get(row["trial"], {})
            config = config | ({"model": called[name]} if config and name in called else {})
            loss = row.get("test_loss")
            trials.append(
                _Trial(
                    sweep,
                    name,
                    config,
                    *inputs.get(name, (sweep, sweep)),
                    str(row["outcome"]),
                    loss if finite(loss) else None,
                )
            )
    return trials


def _place(trial: _Trial) -> tuple[Any, ...]:
    return (*report_order(trial.config), trial.outcome != Outcome.FINISHED)


def _labels(trials: Sequence[_Trial]) -> dict[str, str]:
    """The label of each trial's arm."""
    labels = label_arms(trial.config for trial in trials)
    return {trial.name: labels[arm_key(trial.config)] for trial in trials if trial.config}


def _told_apart(trials: Sequence[_Trial], several_models: bool) -> list[_Trial]:
    """The trials, their configs with a field that names the sweeps of the same inputs, unless all inputs are the same.

    So whatever keeps arms apart by their configs, as a table, a test or an effect does, keeps these apart too. Where
    base models differ, inputs are the same as far as files, judge and code are: a field tells the models apart.
    """
    for inputs in (["shared_inputs"] if several_models else []) + ["inputs"]:
        sweeps: dict[str, dict[str, None]] = {}
        for trial in trials:
            sweeps.setdefault(getattr(trial, inputs), {})[trial.sweep] = None
        named = {digest: ", ".join(sorted(names)) for digest, names in sweeps.items()}
        told = [
            replace(trial, config={**trial.config, SWEEP: named[getattr(trial, inputs)]}) if trial.config else trial
            for trial in trials
        ]
        of_arm: dict[str, set[str]] = {}
        for trial in told:
            of_arm.setdefault(arm_key(trial.config), set()).add(trial.inputs)
        if all(len(one) == 1 for key, one in of_arm.items() if key != arm_key({})):
            break
    return told if len(set(named.values())) > 1 else list(trials)


def _originals(trials: Sequence[_Trial]) -> dict[str, str]:
    """By the trials that repeat one of another sweep the name of that one."""
    first: dict[str, str] = {}
    repeated: dict[str, str] = {}
    for trial in sorted(trials, key=lambda trial: trial.outcome != Outcome.FINISHED):
        if trial.config and trial.outcome != Outcome.REPEATED:
            original = first.setdefault(trial.identity, trial.name)
            repeated |= {trial.name: original} if original != trial.name else {}
    return repeated


def _unlike(trials: Sequence[_Trial], originals: Mapping[str, str]) -> list[str]:
    """What is said of finished trials that were run in two sweeps and did not end in the same loss."""
    by_name = {trial.name: trial for trial in trials}
    sentences = []
    for trial in (by_name[name] for name in originals):
        kept = by_name[originals[trial.name]]
        if trial.outcome != Outcome.FINISHED or None in (trial.test_loss, kept.test_loss):
            continue
        if trial.test_loss != kept.test_loss:
            sentences.append(
                f"{trial.name} has the config, seed and inputs of {kept.name} and ended at test loss "
                f"{trial.test_loss!r}, not {kept.test_loss!r}."
            )
    return sentences


def _named(frame: pd.DataFrame, sweep: str) -> pd.DataFrame:
    """The rows with their trials' names among all, and the sweep's name."""
    if "trial" not in frame:
        return frame
    frame = frame.assign(trial=[f"{sweep}/{trial}" for trial in frame["trial"]])
    frame.insert(list(frame.columns).index("trial") + 1, SWEEP, sweep)
    return frame


def _marked(
    frame: pd.DataFrame, originals: Mapping[str, str], configs: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """The trials, those that repeat another one without numbers of their own."""
    if frame.empty:
        return frame
    model = [configs[trial].get("model") for trial in frame["trial"]]
    if any(one is not None for one in model):
        frame["model"] = model
    repeats = frame["trial"].isin(originals)
    if not repeats.any():
        return frame
    fields = {name for trial in originals for name in configs[trial]}
    numbers = [name for name in map(str, frame) if name not in KEPT_OF_REPEATED and name not in fields]
    frame = frame.copy()
    frame[numbers] = frame[numbers].mask(repeats)
    frame["outcome"] = frame["outcome"].mask(repeats, Outcome.REPEATED.value)
    reasons = frame["trial"].map(
        lambda trial: f"run in another sweep too: {originals.get(trial)} is the one that counts"
    )
    frame["reason"] = frame["reason"].mask(repeats, reasons)
    return frame


def _common_spec(parts: Mapping[str, Results]) -> dict[str, Any]:
    """What the specs of all sweeps say alike, with the tables of each; a space is a sweep's own."""
    specs = [part.spec for part in parts.values()]
    alike = {
        name: value
        for name, value in specs[0].items()
        if name not in ("space", "tables") and all(name in spec and spec[name] == value for spec in specs)
    }
    return {**alike, "name": join(list(parts)), "tables": _tables(parts)}


def _tables(parts: Mapping[str, Results]) -> list[dict[str, Any]]:
    """One table of all arms, then each that some sweep asks for, once."""
    tables: dict[str, dict[str, Any]] = {}
    titles = {"All arms"}
    for sweep, part in parts.items():
        asked = part.spec.get("tables")
        for table in (one for one in (asked if isinstance(asked, list) else []) if isinstance(one, dict)):
            shows = json.dumps([table.get("factor"), table.get("where") or {}], sort_keys=True, default=str)
            if shows in tables or shows == "[null, {}]":
                continue
            title = str(table.get("title") or table.get("factor") or "Arms")
            tables[shows] = {**table, "title": f"{title} ({sweep})" if title in titles else title}
            titles.add(title)
    return [{"title": "All arms"}, *tables.values()]


def _named_decision(decision: Decision, sweep: str) -> Decision:
    trials = tuple(f"{sweep}/{trial}" for trial in decision.trials)
    return replace(decision, id=f"{sweep}/{decision.id}", trials=trials)
