"""Judges the models that a sweep has kept: those that could not be judged, or all of them by another judge.

    python -m sweep.reward_metric EXPERIMENT_DIR --judge MODEL

One sweep has one judge. What another one says replaces everything that the first said, all at once and only when it is
whole: responses, rewards in finished.json (which --resume replays) and result.json (which the report reads), records,
and the spec, so that trials that --resume adds are judged by it too.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.text import Text

from sweep.claim import claimed
from sweep.errors import UserError, first_line
from sweep.files import write_text
from sweep.hashes import input_hashes
from sweep.judging import in_batches_that_fit, kept_model, release_memory
from sweep.load_spec import parse_spec
from sweep.models import FoundModels, find_models
from sweep.names import (
    BASE_RESPONSES_FILE,
    FINISHED_FILE,
    NOT_JUDGED,
    RECORD_FILE,
    REWARD_METRICS,
    SPEC_FILE,
    SWEEP_FILE,
    TRAINED_FILE,
)
from sweep.pin import pin
from sweep.prepare import reward_identity
from sweep.quiet import quiet_libraries
from sweep.read_yaml import read_yaml
from sweep.replacement import Replacement, settle
from sweep.reward_metric import JudgingError, Record, answer_as_base, evaluate_reward, read_records
from sweep.spec import RewardPart, SweepSpec
from sweep.tokens import load_tokenizer
from sweep.trial import TrialConfig

RESULT_FILE = "result.json"


@dataclass(frozen=True)
class KeptTrial:
    """A finished trial with what it has kept."""

    folder: Path
    config: TrialConfig
    rows: list[dict[str, Any]]
    record: dict[str, Any]

    @property
    def has_weights(self) -> bool:
        """Whether what it trained is still there."""
        return (self.folder / TRAINED_FILE).is_file()


def judge_kept(directory: Path, judge: str | None, prompts: str | None, cache_dir: Path, console: Console) -> int:
    """Judge kept models, and say how.

    Args:
        directory: an experiment directory, or the directory of one of its trials.
        judge: a folder or name on the hub; None: the sweep's own judge.
        prompts: a CSV file; None: the sweep's own prompts.
        cache_dir: as for a sweep.
        console: told what happens.

    Returns:
        How many trials the judge had no finite score for.

    Raises:
        UserError: nothing is there to be judged, or not as it was trained; or the judge can't judge.
    """

    def say(text: str) -> None:
        console.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)

    experiment_dir, only = _find_experiment(directory)
    with claimed(experiment_dir, "DIR"):
        settle(experiment_dir)
        quiet_libraries()
        spec = pin(_changed(experiment_dir, judge, prompts))
        trials = finished_trials(experiment_dir)
        lost = [trial for trial in trials if not trial.has_weights]
        if len(lost) == len(trials):
            raise UserError(f"{experiment_dir}: no finished trial in it has kept what it trained; nothing to judge")
        found = find_models(spec, [trial.config for trial in trials], cache_dir, say)
        hashes = input_hashes(found.base_model, found.tokenizer, {}, found.prompts, found.reward, found.pinned)
        _check_unchanged(trials, hashes)
        sweep = _read_sweep(experiment_dir)
        asked_anew = sweep["identity"].get("reward") != reward_identity(found, hashes)
        if asked_anew and only is not None:
            raise UserError(
                f"{directory}: other trials have another judge or other prompts, and one sweep has one of each; name "
                f"{experiment_dir} to have all its trials judged anew"
            )
        if asked_anew and lost:
            others = f", nor in {len(lost) - 1} others" if len(lost) > 1 else ""
            raise UserError(
                f"{lost[0].folder}: no {TRAINED_FILE} in it{others}, so it can't be judged anew, and one sweep has one "
                "judge; put the file back"
            )
        todo = [t for t in trials if asked_anew or (NOT_JUDGED in t.rows[-1] and only in (None, t.folder.name))]
        if not todo:
            say(f"nothing to judge: {spec.reward.model} has judged every finished trial asked for")
            return 0
        with Replacement(experiment_dir) as replacement:
            base = _base_answers(experiment_dir, replacement, found, asked_anew)
            failed = 0
            for number, trial in enumerate(todo, 1):
                if trial.has_weights:
                    row = _judged(trial, found, base, replacement)
                    _write_trial(trial, row, hashes, replacement)
                else:
                    row = {NOT_JUDGED: f"no {TRAINED_FILE} in it"}
                failed += NOT_JUDGED in row
                said = row.get(NOT_JUDGED) or f"win rate {row['win_rate']:.2f}, reward {row['reward_mean']:+.3f}"
                say(f"{number} of {len(todo)}  {trial.folder.name}: {said}")
            if failed == len(todo):
                raise UserError(
                    f"{spec.reward.model}: could judge no trial ({failed} tried); the last: {row[NOT_JUDGED]}"
                )
            _write_spec_and_sweep(spec, sweep, reward_identity(found, hashes), len(todo), replacement)
            replacement.commit()
    console.print(Text(f"build the report anew with: python -m analysis.report {experiment_dir}"), soft_wrap=True)
    return failed


def finished_trials(experiment_dir: Path) -> list[KeptTrial]:
    """The finished trials of an experiment that are to be judged; trials that only served tuning are not.

    Raises:
        UserError: one of them has a file that can't be read.
    """
    trials = []
    for path in sorted(experiment_dir.glob(f"*/{FINISHED_FILE}")):
        folder = path.parent
        try:
            finished = json.loads(path.read_text(encoding="utf-8"))
            config = TrialConfig.model_validate(finished["config"])
            if config.evaluate_on == "validation":
                continue
            record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
            trials.append(KeptTrial(folder, config, finished["rows"], record))
        except (OSError, ValueError, LookupError) as error:
            raise UserError(f"{folder}: is not as a trial leaves it ({first_line(error)})") from None
    return trials


def _find_experiment(directory: Path) -> tuple[Path, str | None]:
    """The experiment, and the name of the one trial that is asked for."""
    place = directory.expanduser().resolve()
    if (place / SPEC_FILE).is_file():
        return place, None
    if (place.parent / SPEC_FILE).is_file() and (place / FINISHED_FILE).is_file():
        return place.parent, place.name
    if (place.parent / SPEC_FILE).is_file():
        raise UserError(f"{directory}: no {FINISHED_FILE} in it, so the trial has not finished; --resume finishes it")
    raise UserError(f"{directory}: no {SPEC_FILE} in it; name an experiment directory, or the directory of a trial")


def _changed(experiment_dir: Path, judge: str | None, prompts: str | None) -> SweepSpec:
    """The experiment's spec with another judge or other prompts."""
    values = read_yaml(experiment_dir / SPEC_FILE)
    changes = {"model": judge, "prompts": prompts}
    reward = {**values.get("reward", {}), **{name: value for name, value in changes.items() if value is not None}}
    spec = parse_spec({**values, "reward": reward})
    if spec.reward.model is None:
        raise UserError(f"{experiment_dir}: the sweep has no reward model; name one with --judge")
    return spec


def _read_sweep(experiment_dir: Path) -> dict[str, Any]:
    path = experiment_dir / SWEEP_FILE
    try:
        sweep: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {**sweep, "identity": dict(sweep["identity"])}
    except (OSError, ValueError, LookupError, TypeError):
        raise UserError(f"{path}: is not as a sweep leaves it, so who judged its trials can't be told") from None


def _write_spec_and_sweep(
    spec: SweepSpec, sweep: dict[str, Any], identity: str, trials: int, replacement: Replacement
) -> None:
    """New versions of spec.yaml and sweep.json, which --resume holds itself to."""
    note = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "by": spec.reward.model, "trials": trials}
    sweep["identity"]["reward"] = identity
    sweep["judged_later"] = [*sweep.get("judged_later", []), note]
    write_text(replacement.path(SWEEP_FILE), json.dumps(sweep, indent=2))
    values = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(replacement.path(SPEC_FILE), values)


def _check_unchanged(trials: Sequence[KeptTrial], hashes: dict[str, str]) -> None:
    """Refuse another base model or tokenizer than the trials were trained from."""
    for trial in trials:
        for name in ("base_weights", "tokenizer"):
            if trial.record["hashes"].get(name) != hashes[name]:
                what = name.replace("_", " ")
                raise UserError(
                    f"{trial.folder}: {what} changed since it was trained, so its model can't be made again"
                )


def _base_answers(experiment_dir: Path, replacement: Replacement, found: FoundModels, asked_anew: bool) -> list[Record]:
    """The base model's answers: those that the trials were compared with, or new ones for another judge."""
    path = experiment_dir / BASE_RESPONSES_FILE
    if path.exists() and not asked_anew:
        return read_records(path)
    path = replacement.path(BASE_RESPONSES_FILE)
    in_batches_that_fit(
        lambda reward: answer_as_base(
            path, found.base_model, found.tokenizer, found.prompts, reward, found.reading, _device()
        ),
        found.reward,
    )
    return read_records(path)


def _judged(trial: KeptTrial, found: FoundModels, base: list[Record], replacement: Replacement) -> dict[str, Any]:
    """The trial's last row with what the judge says; its responses are kept aside."""
    started = time.perf_counter()
    torch.set_num_threads(trial.record["hardware"]["threads"])
    try:
        model = kept_model(trial.config, found.base_model, trial.folder).to(_device())
    except Exception as error:  # safetensors and the model's own checks raise unrelated types
        raise UserError(f"{trial.folder / TRAINED_FILE}: can't be loaded: {first_line(error)}") from None
    row = {name: value for name, value in trial.rows[-1].items() if name not in (*REWARD_METRICS, NOT_JUDGED)}
    folder = replacement.path(f"{trial.folder.name}/{FINISHED_FILE}").parent
    tokenizer = load_tokenizer(found.tokenizer)

    def evaluate(reward: RewardPart) -> dict[str, Any]:
        return dict(evaluate_reward(model, tokenizer, found.prompts, reward, base, folder, found.reading))

    try:
        metrics = in_batches_that_fit(evaluate, found.reward)
    except JudgingError as error:
        return {**row, NOT_JUDGED: f"{type(error).__name__}: {error}"}
    finally:
        release_memory()
    return {**row, **metrics, "reward_seconds": time.perf_counter() - started}


def _write_trial(trial: KeptTrial, row: dict[str, Any], hashes: dict[str, str], replacement: Replacement) -> None:
    """New versions of a trial's finished.json, result.json and record.json."""

    def write(name: str, text: str) -> None:
        write_text(replacement.path(f"{trial.folder.name}/{name}"), text)

    values = {"config": trial.config.model_dump(mode="json"), "rows": [*trial.rows[:-1], row]}
    write(FINISHED_FILE, json.dumps(values))
    judged = {name: hashes[name] for name in ("prompts", "reward_model")}
    record = {
        **trial.record,
        "hashes": {**trial.record["hashes"], **judged},
        "judged_as_trained": NOT_JUDGED not in row,
    }
    write(RECORD_FILE, json.dumps(record, indent=2))
    result = trial.folder / RESULT_FILE
    if result.is_file():
        rewards = {name: value for name, value in row.items() if name in (*REWARD_METRICS, NOT_JUDGED)}
        lines = result.read_text(encoding="utf-8").split("\n")
        write(RESULT_FILE, "\n".join(_with_rewards(line, rewards) for line in lines))


def _with_rewards(line: str, rewards: dict[str, Any]) -> str:
    """A line of result.json; if it is a last row, with other rewards. Half a line stays as it is."""
    try:
        row = json.loads(line)
    except ValueError:
        return line
    if not isinstance(row, dict) or not row.get("finished"):
        return line
    return json.dumps({name: v for name, v in row.items() if name not in (*REWARD_METRICS, NOT_JUDGED)} | rewards)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
