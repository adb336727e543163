"""Kept models judged once more: all of them together by another judge, or one by one those that had not been judged."""

import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from transformers import PreTrainedModel

from basis.checksums import flaw
from basis.directory import (
    FINISHED_FILE,
    OUTCOME_FILE,
    RECORD_FILE,
    RESULT_FILE,
    SPEC_FILE,
    SWEEP_FILE,
    TRAINED_FILE,
    base_responses_file,
)
from basis.errors import UserError, first_line, name_failure
from basis.files import write_text
from basis.metrics import NOT_JUDGED, REWARD_METRICS, Row
from basis.outcome_file import outcome_text
from basis.outcomes import ending_of_finished
from model.memory_limit import ran_out_of_memory
from sweep.data.tokenizer import load_tokenizer
from sweep.preparation.models import FoundModels
from sweep.provenance.sweep_record import part_of_model, read_sweep_record, spec_text
from sweep.reward_metric import JudgingError, answer_as_base, evaluate_reward
from sweep.schema.reward import RewardPart
from sweep.schema.sweep_spec import SweepSpec
from sweep.storage.finished import SEALED, finished_text
from sweep.storage.kept_trials import KeptTrial
from sweep.storage.replacement import Replacement
from sweep.storage.responses import Answer, read_answers, set_answers_aside
from sweep.worker.judging import in_batches_that_fit, kept_model, release_memory

BASE_DEVICE_TYPE = "base_answers_device_type"
"""Key of sweep.json: what a base model's answers were made on, if that was not in a trial."""

OF_JUDGING = ("prompts", "reward_model")
"""What a trial's record has hashes of that another judge changes."""


class Rejudging:
    """The judging of an experiment's kept models by one judge."""

    def __init__(
        self,
        experiment_dir: Path,
        spec: SweepSpec,
        models: Mapping[str | None, FoundModels],
        hashes: Mapping[str | None, dict[str, str]],
        say: Callable[[str], None],
    ) -> None:
        self._experiment_dir = experiment_dir
        self._spec = spec
        self._models = models
        self._hashes = hashes
        self._say = say
        self._sweep = read_sweep_record(experiment_dir)
        self._identity = {
            part_of_model("reward", label): found.reward_identity(hashes[label]) for label, found in models.items()
        }
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.asked_anew = any(self._sweep["identity"].get(part) != now for part, now in self._identity.items())
        """Whether the judge or the prompts are others than the sweep's, so that every trial is to be judged."""

    def judge_together(self, trials: Sequence[KeptTrial]) -> int:
        """Have another judge judge all trials; what is there stays until all is judged. Returns how many failed."""
        lost = [trial for trial in trials if not trial.has_weights]
        if lost:
            others = f" (of {len(lost)} trials that lack it the first)" if len(lost) > 1 else ""
            raise UserError(
                f"{lost[0].folder}: no {TRAINED_FILE} in it{others}, so it can't be judged anew, and one sweep has one "
                "judge; put the file back"
            )
        failed = 0
        with Replacement(self._experiment_dir) as replacement:
            base = {label: self._answer_as_base(label, replacement) for label in self._models}
            for number, trial in enumerate(trials, 1):
                row = self._judged(trial, base[trial.config.model], replacement)
                self._write_trial(trial, row, replacement)
                failed += NOT_JUDGED in row
                self._tell(f"{number} of {len(trials)}", trial, row)
            if failed == len(trials):
                raise self._none_judged(failed, row)
            write_text(replacement.path(SPEC_FILE), spec_text(self._spec))
            self._write_sweep(len(trials), replacement)
            replacement.commit()
        return failed

    def judge_one_by_one(self, trials: Sequence[KeptTrial]) -> int:
        """Have the sweep's own judge judge trials that it had not judged; each is kept at once. Returns as above."""
        base = {
            label: self._base_answers(label, [trial for trial in trials if trial.config.model == label])
            for label in dict.fromkeys(trial.config.model for trial in trials)
        }
        failed = 0
        for number, trial in enumerate(trials, 1):
            with Replacement(self._experiment_dir) as replacement:
                try:
                    row = self._judged(trial, base[trial.config.model], replacement)
                except UserError as error:  # about what this trial has kept
                    row = {NOT_JUDGED: str(error)}
                failed += NOT_JUDGED in row
                if NOT_JUDGED not in row:
                    self._write_trial(trial, row, replacement)
                    self._write_sweep(number - failed, replacement)
                    replacement.commit()
            self._tell(f"{number} of {len(trials)}", trial, row)
        if failed == len(trials):
            raise self._none_judged(failed, row)
        return failed

    def _base_answers(self, model: str | None, trials: Sequence[KeptTrial]) -> list[Answer]:
        """A base model's answers as they are kept; made where they are not, or are damaged."""
        path = self._experiment_dir / base_responses_file(model)
        if remark := set_answers_aside(path, [prompt.text for prompt in self._models[model].prompts]):
            self._say(remark)
        if path.exists():
            self._check_device(trials)
        else:
            with Replacement(self._experiment_dir) as replacement:
                self._answer_as_base(model, replacement)
                self._write_sweep(0, replacement)
                replacement.commit()
        return read_answers(path)

    def _tell(self, which: str, trial: KeptTrial, row: Row) -> None:
        said = row.get(NOT_JUDGED) or f"win rate {row['win_rate']:.2f}, reward {row['reward_mean']:+.3f}"
        self._say(f"{which}  {trial.folder.name}: {said}")

    def _none_judged(self, failed: int, row: Row) -> UserError:
        return UserError(
            f"{self._spec.reward.judged_by}: could judge no trial ({failed} tried); the last: {row[NOT_JUDGED]}"
        )

    def _check_device(self, trials: Sequence[KeptTrial]) -> None:
        """Refuse to compare answers with those that the base model gave on another kind of device."""
        for trial in trials:
            here = self._device.type
            made_on = self._sweep.get(part_of_model(BASE_DEVICE_TYPE, trial.config.model), trial.device_type)
            if made_on != here:
                raise UserError(
                    f"{trial.folder}: is to be compared with the base model's answers on {made_on!r}, and those made "
                    f"here would come from {here!r}; judge where there is the former, or have all judged anew by "
                    "another judge"
                )

    def _answer_as_base(self, model: str | None, replacement: Replacement) -> list[Answer]:
        """A base model's answers, made anew."""
        path, models = replacement.path(base_responses_file(model)), self._models[model]

        def answer(reward: RewardPart) -> None:
            answer_as_base(
                path, models.base_model, models.tokenizer, models.prompts, reward, models.reading, self._device
            )

        try:
            in_batches_that_fit(answer, models.reward)
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
            raise UserError(
                f"{self._spec.reward.judged_by}: memory runs out on the base model's answers, one prompt at a time "
                f"({first_line(error)})"
            ) from None
        self._sweep[part_of_model(BASE_DEVICE_TYPE, model)] = self._device.type
        return read_answers(path)

    def _judged(self, trial: KeptTrial, base: list[Answer], replacement: Replacement) -> Row:
        """The trial's last row with what the judge says, or why it says nothing; its responses are kept aside.

        Raises:
            UserError: what the trial has kept can't be loaded.
        """
        started = time.perf_counter()
        torch.set_num_threads(trial.threads)
        row = {name: value for name, value in trial.rows[-1].items() if name not in (*REWARD_METRICS, NOT_JUDGED)}
        if not trial.has_weights:
            return {**row, NOT_JUDGED: f"no {TRAINED_FILE} in it"}
        folder = replacement.path(f"{trial.folder.name}/{FINISHED_FILE}").parent
        models = self._models[trial.config.model]
        try:
            model, tokenizer = self._load(trial).to(self._device), load_tokenizer(models.tokenizer)

            def evaluate(reward: RewardPart) -> Row:
                return dict(evaluate_reward(model, tokenizer, models.prompts, reward, base, folder, models.reading))

            metrics = in_batches_that_fit(evaluate, models.reward)
        except Exception as error:
            if not isinstance(error, JudgingError) and not ran_out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)  # they hold tensors
            return {**row, NOT_JUDGED: name_failure(error)}
        finally:
            release_memory()
        return {**row, **metrics, "reward_seconds": time.perf_counter() - started}

    def _load(self, trial: KeptTrial) -> PreTrainedModel:
        path = trial.folder / TRAINED_FILE
        if found := flaw(path, trial.kept[TRAINED_FILE]) if TRAINED_FILE in trial.kept else None:
            raise UserError(f"{path}: can't be loaded: it {found}; --resume trains it again")
        try:
            return kept_model(trial.config, self._models[trial.config.model].base_model, trial.folder)
        except Exception as error:  # safetensors and the model's own checks raise unrelated types
            if ran_out_of_memory(error):
                raise
            raise UserError(f"{path}: can't be loaded: {first_line(error)}") from None

    def _write_trial(self, trial: KeptTrial, row: Row, replacement: Replacement) -> None:
        """New versions of a trial's finished.json, result.json, record.json and outcome.json."""

        def write(name: str, text: str) -> None:
            write_text(replacement.path(f"{trial.folder.name}/{name}"), text)

        hashes = self._hashes[trial.config.model]
        judged = {name: hashes[name] for name in OF_JUDGING if name in hashes}
        others = {name: value for name, value in trial.record["hashes"].items() if name not in OF_JUDGING}
        record = {
            **trial.record,
            "hashes": {**others, **judged},
            "judged_as_trained": NOT_JUDGED not in row,
        }
        write(RECORD_FILE, json.dumps(record, indent=2))
        if (trial.folder / OUTCOME_FILE).exists():
            write(OUTCOME_FILE, outcome_text(ending_of_finished(row.get(NOT_JUDGED))))
        here = replacement.path(f"{trial.folder.name}/{FINISHED_FILE}").parent
        files = {name: here / name if (here / name).exists() else trial.folder / name for name in SEALED}
        known = {name: noted for name, noted in trial.kept.items() if files[name].parent == trial.folder}
        write(FINISHED_FILE, finished_text(trial.config, [*trial.rows[:-1], row], files, known))
        result = trial.folder / RESULT_FILE
        if result.is_file():
            rewards = {name: value for name, value in row.items() if name in (*REWARD_METRICS, NOT_JUDGED)}
            lines = result.read_text(encoding="utf-8").split("\n")
            write(RESULT_FILE, "\n".join(_with_rewards(line, rewards) for line in lines))

    def _write_sweep(self, trials: int, replacement: Replacement) -> None:
        """A new version of sweep.json, which --resume holds itself to, with how many trials are judged by now."""
        note = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "by": self._spec.reward.judged_by,
            "trials": trials,
        }
        sweep = {
            **self._sweep,
            "identity": {**self._sweep["identity"], **self._identity},
            "judged_later": [*self._sweep.get("judged_later", []), *([note] if trials else [])],
        }
        write_text(replacement.path(SWEEP_FILE), json.dumps(sweep, indent=2))


def _with_rewards(line: str, rewards: Row) -> str:
    """A line of result.json; if it is a last row, with other rewards. Half a line stays as it is."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(row, dict) or not row.get("finished"):
        return line
    return json.dumps({name: v for name, v in row.items() if name not in (*REWARD_METRICS, NOT_JUDGED)} | rewards)
