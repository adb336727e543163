"""analysis.results.experiment: an experiment directory that Ray Tune wrote becomes tidy DataFrames."""

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from analysis.comparison.grouping import group_arms
from analysis.findings.length_bias import measure_length_bias
from analysis.page.content import content_of
from analysis.page.markdown import to_markdown
from analysis.results import experiment as results
from analysis.results import outcomes
from analysis.results.arm_labels import label_arms
from analysis.results.files import read_mapping, read_rows
from analysis.results.trial_numbers import summarize
from basis.checksums import SEALS_FILE, folder_flaw
from basis.control_record import Decision
from basis.directory import CONTROL_FILE, OUTCOME_FILE
from basis.errors import UserError
from basis.metrics import FORMER_NAMES, NOT_JUDGED
from basis.outcome_file import keep_outcome
from basis.outcomes import Ending, Outcome, ending_in_traceback, exception_in_traceback
from sweep.worker.death import Worker
from tests import synthetic_experiment as synthetic


@pytest.fixture(scope="module")
def loaded() -> results.Results:
    return results.read_experiment(synthetic.directory())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the experiment to damage."""
    return Path(shutil.copytree(synthetic.directory(), tmp_path / "moved"))


def trial_of(loaded: results.Results, arm: str) -> pd.Series:
    return loaded.trials.set_index("arm").loc[arm]


def result_file(directory: Path, arm: str) -> Path:
    return directory / str(trial_of(results.read_experiment(directory), arm)["trial"]) / "result.json"


def append(path: Path, *rows: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_numbers_of_a_finished_trial_are_those_of_the_last_line_of_its_result_json(loaded: results.Results) -> None:
    trial = trial_of(loaded, "lora r100 adamw")
    last = json.loads((loaded.directory / trial["trial"] / "result.json").read_text().splitlines()[-1])
    assert trial["outcome"] == Outcome.FINISHED
    for name in ("test_loss", "train_loss", "peak_bytes", "optimizer_state_bytes", "wins", "win_rate"):
        assert trial[name] == last[name]


def test_best_test_loss_is_kept_with_its_step(loaded: results.Results) -> None:
    # full adamw: 1.38 + 2 (1 - step/40)^2 + 0.6 max(0, step/40 - 0.5): 1.655 at step 30, 1.68 at step 40
    trial = trial_of(loaded, "full adamw")
    assert (trial["test_loss_best"], trial["test_loss_best_step"]) == (pytest.approx(1.655), 30)
    assert trial["test_loss"] == pytest.approx(1.68)


def test_speed_is_the_median_over_reports(loaded: results.Results) -> None:
    assert trial_of(loaded, "full adamw")["tokens_per_second"] == 1020.0  # of 1000, 1010, 1020, 1030, 1040


def test_every_trial_has_a_row_whatever_became_of_it(loaded: results.Results) -> None:
    expected = {"finished": 7, "diverged": 2, "failed": 1, "out of memory": 1}
    assert loaded.trials["outcome"].value_counts().to_dict() == expected
    assert len(loaded.trials) == len(synthetic.ARMS)


def test_reason_of_a_failure_is_the_exception_and_not_rays_wrapper(loaded: results.Results) -> None:
    assert trial_of(loaded, "lora r1 adafactor")["reason"] == "ValueError: no factor to adapt <at all>"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("ray.exceptions.RayTaskError(KeyError): 'lr'\n", "KeyError: 'lr'"),
        ("  File x\ntorch.OutOfMemoryError: out.\nTried 2 GiB\n", "torch.OutOfMemoryError: out."),
        ("Failure # 1\nValueError: first\nFailure # 2\nOSError: second\n", "OSError: second"),
        ("The actor is dead because its worker process has died. Exit type: SYSTEM_ERROR\n", "worker process has died"),
        (None, "no error was recorded"),
    ],
)
def test_reason_is_found_in_the_texts_that_ray_leaves(error: str | None, reason: str) -> None:
    assert reason in exception_in_traceback(error)


def test_diverged_trial_says_from_which_step_on(loaded: results.Results) -> None:
    trial = trial_of(loaded, "lora r1 muon lr=1")
    assert trial["outcome"] == Outcome.DIVERGED
    assert trial["reason"] == "the loss was no finite number from step 20 on"


def test_trial_that_was_ended_because_its_loss_was_no_number_has_diverged_and_not_failed(
    loaded: results.Results,
) -> None:
    trial = trial_of(loaded, "lora r1 muon lr=0.1")
    assert trial["outcome"] == Outcome.DIVERGED
    assert trial["reason"] == "FloatingPointError: test loss became nan by step 10"


def test_trial_that_ran_out_of_memory_for_good_has_an_outcome_of_its_own(loaded: results.Results) -> None:
    trial = trial_of(loaded, "lora r100 momentum")
    assert trial["outcome"] == Outcome.OUT_OF_MEMORY
    assert trial["reason"] == "OutOfMemoryError: in training with micro-batch 4: reached 1.23 GiB"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("sweep.memory.attempts.OutOfMemoryError: in judging\n", "out of memory"),
        ("sweep.out_of_memory.OutOfMemoryError: in judging\n", "out of memory"),  # of directories made before
        ("torch.OutOfMemoryError: CUDA out of memory.\n", "out of memory"),
        ("OutOfMemoryError: out\n", "out of memory"),
        ("ValueError: not the OutOfMemoryError: you think\n", "failed"),
        ("Failure # 1\ntorch.OutOfMemoryError: out.\nFailure # 2\nOSError: second\n", "failed"),
    ],
)
def test_memory_ran_out_where_the_last_exception_says_so(error: str, outcome: str) -> None:
    found, reason = outcomes.outcome_of("ERROR", ending_in_traceback(error), [])
    assert found == outcome
    assert not reason.startswith(("sweep.", "torch."))


def test_a_failed_trial_is_believed_what_it_kept_and_a_damaged_outcome_leaves_its_traceback(copy: Path) -> None:
    folder = result_file(copy, "lora r1 adafactor").parent
    keep_outcome(folder, Ending(Outcome.OUT_OF_MEMORY, "OutOfMemoryError: in judging"))
    trial = trial_of(results.read_experiment(copy), "lora r1 adafactor")
    assert (trial["outcome"], trial["reason"]) == (Outcome.OUT_OF_MEMORY, "OutOfMemoryError: in judging")
    (folder / OUTCOME_FILE).write_text("{")
    trial = trial_of(results.read_experiment(copy), "lora r1 adafactor")
    assert (trial["outcome"], trial["reason"]) == (Outcome.FAILED, "ValueError: no factor to adapt <at all>")


def test_trial_that_ran_out_of_memory_once_and_then_finished_has_finished(loaded: results.Results) -> None:
    assert trial_of(loaded, "lora r100 adamw")["outcome"] == Outcome.FINISHED
    (attempt,) = loaded.attempts[loaded.attempts["arm"] == "lora r100 adamw"].to_dict("records")
    assert (attempt["outcome"], attempt["seed"], attempt["during"]) == (Outcome.FINISHED, 1, "training")
    assert (attempt["micro_batch"], attempt["reached_bytes"]) == (8, 1500 * synthetic.MIB)


def test_attempts_come_oldest_first_whatever_became_of_the_trial(loaded: results.Results) -> None:
    mine = loaded.attempts[loaded.attempts["arm"] == "lora r100 momentum"]
    assert mine["micro_batch"].tolist() == [8, 4]
    assert set(mine["outcome"]) == {Outcome.OUT_OF_MEMORY}


@pytest.mark.parametrize("content", ["", "[{", "{}", "[3]", '"text"'])
def test_damaged_list_of_attempts_costs_no_more_than_its_attempts(copy: Path, content: str) -> None:
    result_file(copy, "lora r100 adamw").with_name("out_of_memory.json").write_text(content)
    read = results.read_experiment(copy)
    assert trial_of(read, "lora r100 adamw")["outcome"] == Outcome.FINISHED
    assert set(read.attempts["arm"]) == {"lora r100 momentum"}


def test_what_a_search_algorithm_keeps_in_a_config_is_no_part_of_the_arm(loaded: results.Results) -> None:
    assert all("suggested" not in config for config in loaded.configs.values())


def test_objective_that_is_not_known_before_the_first_step_is_no_divergence(copy: Path) -> None:
    path = result_file(copy, "lora r1 adamw")
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps({**json.loads(first), "train_loss": float("nan")}) + "\n" + "".join(rest))
    assert trial_of(results.read_experiment(copy), "lora r1 adamw")["outcome"] == Outcome.FINISHED


def test_row_that_repeats_a_step_replaces_the_earlier_one(loaded: results.Results) -> None:
    curve = loaded.curves[loaded.curves["arm"] == "lora r10 adamw"].set_index("step")["test_loss"]
    assert curve.index.tolist() == [0, 10, 20, 30, 40]
    assert curve[20] == pytest.approx(1.98 + 2 * 0.5**2)  # and not 99, which came first


def test_what_a_lost_attempt_reported_is_dropped(copy: Path) -> None:
    append(result_file(copy, "lora r1 adamw"), {"step": 10, "test_loss": 7.0})
    trial = trial_of(results.read_experiment(copy), "lora r1 adamw")
    assert (trial["step"], trial["test_loss"], trial["outcome"]) == (10, 7.0, Outcome.STOPPED)


def test_row_with_rewards_alone_keeps_the_losses_of_its_step(copy: Path) -> None:
    append(result_file(copy, "lora r1 adamw"), {"step": 40, "wins": 3})
    trial = trial_of(results.read_experiment(copy), "lora r1 adamw")
    assert (trial["test_loss"], trial["wins"]) == (pytest.approx(2.0), 3)


def test_half_a_line_left_by_a_killed_process_costs_that_line_only(copy: Path) -> None:
    path = result_file(copy, "lora r1 adamw")
    path.write_text(path.read_text() + '{"step": 50, "test_lo')
    assert trial_of(results.read_experiment(copy), "lora r1 adamw")["test_loss"] == pytest.approx(2.0)


def test_a_trial_stopped_by_request_says_when_and_by_whom_unless_it_had_finished_or_was_started_again(
    copy: Path,
) -> None:
    path = result_file(copy, "lora r1 adamw")
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines()[:-1]))
    finished = result_file(copy, "lora r10 adamw").parent.name
    at = time.mktime((2026, 11, 27, 14, 3, 0, 0, 0, -1))
    stop = Decision("1", at, at, "page", "stop", "stop", "", trials=(path.parent.name, finished))
    (copy / CONTROL_FILE).write_text(stop.to_line())
    read = results.read_experiment(copy)
    told = trial_of(read, "lora r1 adamw")
    assert told["outcome"] == Outcome.STOPPED_BY_REQUEST
    assert told["reason"] == "stopped by request at 14:03, from the page; its last step was 30"
    assert trial_of(read, "lora r10 adamw")["outcome"] == Outcome.FINISHED
    start = Decision("2", at, at, "page", "start", "start", "", trials=(path.parent.name,))
    (copy / CONTROL_FILE).write_text(stop.to_line() + start.to_line() + '{"half a line')
    read = results.read_experiment(copy)
    assert read.control == [stop, start]
    assert trial_of(read, "lora r1 adamw")["outcome"] == Outcome.STOPPED


def test_byte_that_is_no_utf8_costs_no_more_than_its_line(copy: Path) -> None:
    for name, damaged in (("result.json", b'{"step": \xff}\n'), ("responses.jsonl", b'{"prompt": "\xff"}\n')):
        path = result_file(copy, "lora r1 adamw").with_name(name)
        path.write_bytes(path.read_bytes() + damaged)
    read = results.read_experiment(copy)
    assert trial_of(read, "lora r1 adamw")["test_loss"] == pytest.approx(2.0)
    assert (read.responses["arm"] == "lora r1 adamw").sum() == synthetic.PROMPTS + 1


def test_cut_line_of_responses_moves_no_other_prompt(copy: Path) -> None:
    path = result_file(copy, "lora r1 adamw").with_name("responses.jsonl")
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:3], lines[3][:20], *lines[4:]]))
    answers = results.read_experiment(copy).responses
    mine = answers[answers["arm"] == "lora r1 adamw"]
    assert mine["index"].tolist() == [i for i in range(synthetic.PROMPTS) if i != 3]
    assert all(prompt == f"Question {i}?" for i, prompt in zip(mine["index"], mine["prompt"], strict=True))


@pytest.mark.parametrize("left", ["", '{"prompt": "Quest\n'])
def test_removed_line_of_responses_moves_no_other_prompt(copy: Path, left: str) -> None:
    path = result_file(copy, "lora r1 adamw").with_name("responses.jsonl")
    lines = path.read_text(encoding="utf-8").split("\n")
    path.write_text(left + "\n".join([*lines[:3], *lines[4:]]), encoding="utf-8")
    answers = results.read_experiment(copy).responses
    mine = answers[answers["arm"] == "lora r1 adamw"]
    assert [f"Question {i}?" for i in mine["index"]] == mine["prompt"].tolist()
    assert len(mine) == synthetic.PROMPTS - 1


def test_row_without_a_step_to_stand_at_is_passed_over(copy: Path) -> None:
    append(result_file(copy, "lora r1 adamw"), {"step": None, "test_loss": 7.0}, {"step": "last", "test_loss": 8.0})
    assert trial_of(results.read_experiment(copy), "lora r1 adamw")["test_loss"] == pytest.approx(2.0)


@pytest.mark.parametrize(("reports", "mean"), [(10, 5.5), (12, 7.5), (9, float("nan"))])
def test_mean_of_the_last_ten_test_losses_takes_ten_and_not_step_0(reports: int, mean: float) -> None:
    rows = [{"step": step, "test_loss": 99.0 if step == 0 else float(step)} for step in range(reports + 1)]
    assert summarize(rows)["test_loss_last10_mean"] == pytest.approx(mean, nan_ok=True)


def test_config_that_ray_lost_is_read_from_params_json(copy: Path) -> None:
    for path in copy.glob("*/params.json"):  # 1e-05 without a dot is a text to YAML
        path.write_text(path.read_text().replace('"lr": 0.001', '"lr": 1e-05'))
    (state,) = copy.glob("experiment_state-*.json")
    content = json.loads(state.read_text())
    content["trial_data"] = [
        [json.dumps({**json.loads(trial), "config": None}), run] for trial, run in content["trial_data"]
    ]
    state.write_text(json.dumps(content))
    assert trial_of(results.read_experiment(copy), "lora r10 adamw")["lr"] == 1e-05


def test_trials_that_are_younger_than_rays_list_are_read_from_their_directories(copy: Path) -> None:
    (state,) = copy.glob("experiment_state-*.json")
    content = json.loads(state.read_text())
    whole = results.read_experiment(copy)
    gone = {str(trial_of(whole, arm)["trial"]) for arm in ("full adamw", "lora r1 sgd", "lora r100 adamw")}
    content["trial_data"] = [
        pair for pair in content["trial_data"] if json.loads(pair[0])["relative_logdir"] not in gone
    ]
    assert len(content["trial_data"]) == len(synthetic.ARMS) - 3
    state.write_text(json.dumps(content))
    cut = result_file(copy, "lora r1 sgd")
    cut.write_text("".join(cut.read_text().splitlines(keepends=True)[:2]))
    (copy / "notes").mkdir()
    (copy / "notes" / "params.json").write_text("{}")  # of no trial: nothing was ever reported there
    found = results.read_experiment(copy)
    assert set(found.trials["trial"]) == set(whole.trials["trial"])
    assert trial_of(found, "full adamw")["outcome"] == Outcome.FINISHED
    assert trial_of(found, "full adamw")["test_loss"] == trial_of(whole, "full adamw")["test_loss"]
    assert trial_of(found, "lora r1 sgd")["reason"] == "interrupted after step 10"


def test_responses_come_with_trial_and_prompt(loaded: results.Results) -> None:
    answers = loaded.responses[loaded.responses["arm"] == "full adamw"]
    assert answers["index"].tolist() == list(range(synthetic.PROMPTS))
    assert (answers["reward"] - answers["base_reward"]).gt(0).sum() == synthetic.WINS["full"]


def test_arms_of_the_same_short_name_are_told_apart_by_the_fields_that_differ() -> None:
    configs = [{**synthetic.CONFIG, "lr": lr, "seed": seed} for lr in (1e-3, 3e-4) for seed in (1, 2)]
    other = {**synthetic.CONFIG, "rank": 10}
    labels = label_arms([*configs, other])
    assert list(labels.values()) == ["lora r1 adamw lr=0.001", "lora r1 adamw lr=0.0003", "lora r10 adamw"]


def test_numbers_of_a_label_have_no_more_digits_than_it_takes_to_tell_arms_apart() -> None:
    close = label_arms({**synthetic.CONFIG, "lr": lr} for lr in (0.00123456, 0.00123499))
    apart = label_arms({**synthetic.CONFIG, "lr": lr} for lr in (0.00123456, 0.0056789))
    assert list(close.values()) == ["lora r1 adamw lr=0.00123456", "lora r1 adamw lr=0.00123499"]
    assert list(apart.values()) == ["lora r1 adamw lr=0.00123", "lora r1 adamw lr=0.00568"]


def test_relative_path_of_a_moved_directory_is_accepted(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy.parent)
    assert len(results.read_experiment(Path("moved")).trials) == len(synthetic.ARMS)


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing-here is not a directory"):
        results.read_experiment(tmp_path / "nothing-here")


def test_directory_without_an_experiment_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not an experiment"):
        results.read_experiment(tmp_path)


def test_unreadable_experiment_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "experiment_state-2026.json").write_text("{")
    with pytest.raises(UserError, match="is not as Ray Tune leaves it"):
        results.read_experiment(tmp_path)


def test_rewards_that_are_no_numbers_are_missing_and_never_infinite_or_lost(copy: Path) -> None:
    path = result_file(copy, "full adamw").with_name("responses.jsonl")
    lines = [json.loads(line) for line in path.read_text().strip("\n").split("\n")]
    for line, reward in zip(lines, (None, float("nan"), float("inf"), -float("inf")), strict=False):
        line["reward"] = reward
    lines[4]["base_reward"] = float("inf")
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = results.read_experiment(copy)
    [arm] = [arm for arm in group_arms(found) if arm.label == "full adamw"]
    assert arm.seed_margins.isna().sum().item() == 5
    assert len(arm.margins) == len(lines) - 5
    assert math.isfinite(arm.margin.estimate)
    assert arm.won_and_lost is not None
    assert sum(arm.won_and_lost) <= len(lines) - 5
    biased = measure_length_bias(found.responses[found.responses["arm"] == "full adamw"])
    assert biased is None or (biased.prompts == len(lines) - 5 and math.isfinite(biased.rho.estimate))


def test_a_trial_that_could_not_be_judged_keeps_its_losses_and_says_how_to_judge_it(copy: Path) -> None:
    path = result_file(copy, "full adamw")
    *rows, last = [json.loads(line) for line in path.read_text().splitlines()]
    kept = {name: v for name, v in last.items() if name not in ("wins", "ties", "losses", "win_rate")}
    kept = {name: v for name, v in kept.items() if not name.startswith("reward")}
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**kept, NOT_JUDGED: "JudgingError: all NaN"}]))
    path.with_name("responses.jsonl").unlink()
    page = to_markdown(content_of(results.read_experiment(copy)))
    assert "trained, but not judged: JudgingError: all NaN" in page
    judge = f"python -m sweep.reward_metric {copy}".replace("_", "\\_")
    assert f"full adamw (JudgingError: all NaN); judge with: {judge}" in page
    trial = trial_of(results.read_experiment(copy), "full adamw")
    assert trial["outcome"] == Outcome.FINISHED
    assert trial["test_loss"] == last["test_loss"]
    append(path, {"step": last["step"], "win_rate": 0.5, "finished": True})  # as a continued sweep reports it
    trials = results.read_experiment(copy).trials
    assert NOT_JUDGED not in trials or trials[NOT_JUDGED].isna().all()


def test_a_finished_trial_whose_rows_ray_died_with_has_those_that_it_kept_itself(copy: Path) -> None:
    reported = result_file(copy, "full adamw")
    before = trial_of(results.read_experiment(copy), "full adamw")
    rows = [json.loads(line) for line in reported.read_text().splitlines()]
    (reported.parent / "finished.json").write_text(json.dumps({"rows": rows}))
    reported.write_text("".join(json.dumps(row) + "\n" for row in rows[:2]))
    after = trial_of(results.read_experiment(copy), "full adamw")
    assert (after["outcome"], after["test_loss"]) == (Outcome.FINISHED, before["test_loss"])


@pytest.mark.parametrize("text", ["[" * 20_000, '{"a": ' * 20_000, "9" * 5_000, "{"])
def test_files_nested_too_deeply_hold_nothing_like_any_garbage(tmp_path: Path, text: str) -> None:
    for name in ("result.json", "finished.json", "config.yaml", SEALS_FILE):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_rows(tmp_path / "result.json") == []
    assert read_mapping(tmp_path / "finished.json") == read_mapping(tmp_path / "config.yaml") == {}
    assert folder_flaw(tmp_path) == f"{SEALS_FILE} is not as it was written"
    assert Worker.parse(text) is None


def test_columns_that_had_other_names_are_read_as_those_of_today(copy: Path) -> None:
    expected = results.read_experiment(copy)
    former = {name: old for old, name in FORMER_NAMES.items()}

    def older(value: Any) -> Any:
        if isinstance(value, list):
            return [older(one) for one in value]
        return {former.get(name, name): one for name, one in value.items()}

    for path in [*copy.glob("*/result.json"), *copy.glob("*/out_of_memory.json")]:
        lines = [older(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert "windows_per_pass" in result_file(copy, "full adamw").read_text(encoding="utf-8")
    found = results.read_experiment(copy)
    assert_frame_equal(found.trials, expected.trials)
    assert_frame_equal(found.curves, expected.curves)
    assert_frame_equal(found.attempts, expected.attempts)
    assert found.trials["micro_batch"].notna().any()


def test_a_trial_s_row_says_what_it_ran_with_and_its_config_what_was_asked_for(loaded: results.Results) -> None:
    trial = trial_of(loaded, "lora r100 adamw")
    assert trial["micro_batch"] == 4
    assert loaded.configs[trial["trial"]]["micro_batch"] == 8
