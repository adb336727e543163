"""Judging kept models later or by another judge: all of an experiment or nothing, and found by all who read it."""

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from analysis.comparison.grouping import group_arms
from analysis.results import experiment as results
from basis.directory import (
    FINISHED_FILE,
    RECORD_FILE,
    REPLACEMENT_DIR,
    RESPONSES_FILE,
    SPEC_FILE,
    SWEEP_FILE,
    TRAINED_FILE,
    base_responses_file,
)
from basis.metrics import NOT_JUDGED, REWARD_METRICS
from basis.outcome_file import keep_outcome, read_outcome
from basis.outcomes import Outcome, ending_of_finished
from sweep.driver import execute, rejudging
from sweep.driver.rejudge import main
from sweep.memory.device import Device
from sweep.preparation.prepare import prepare
from sweep.provenance.sweep_record import check_identity
from sweep.reward_metric import score
from sweep.run import main as run_main
from sweep.search_space import candidate_trials, plan_sweep
from sweep.spec_file.load import parse_spec
from sweep.spec_file.read_yaml import read_yaml
from sweep.storage.replacement import Replacement
from sweep.trial.config import TrialConfig
from sweep.worker.opening import open_trial
from tests.conftest import Parts, Swept

Judge = Callable[..., tuple[int, str, str]]


@pytest.fixture
def experiment(swept: Swept, tmp_path: Path) -> Path:
    return Path(shutil.copytree(swept.experiment, tmp_path / "experiment"))


@pytest.fixture
def judge(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Judge:
    monkeypatch.setenv("SFT_SWEEP_CACHE", environment["SFT_SWEEP_CACHE"])

    def judge_here(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return judge_here


@pytest.fixture
def another(parts: Parts, tmp_path: Path) -> Path:
    """A judge of another mind."""
    place = Path(shutil.copytree(parts.reward_model, tmp_path / "another"))
    state = {name: value.flip(0).contiguous() for name, value in load_file(place / "model.safetensors").items()}
    save_file(state, place / "model.safetensors", metadata={"format": "pt"})
    return place


def content(folder: Path) -> dict[str, bytes]:
    """All files but locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def finished(experiment: Path) -> dict[str, dict[str, Any]]:
    """The last row of each finished trial."""
    paths = experiment.glob(f"*/{FINISHED_FILE}")
    return {path.parent.name: json.loads(path.read_text())["rows"][-1] for path in paths}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def not_judged(experiment: Path, trial: str) -> None:
    """As a sweep leaves a trial that could not be judged."""
    path = experiment / trial / FINISHED_FILE
    kept = json.loads(path.read_text())
    last = {k: v for k, v in kept["rows"][-1].items() if k not in REWARD_METRICS} | {NOT_JUDGED: "Error: x"}
    path.write_text(json.dumps({**kept, "rows": [*kept["rows"][:-1], last]}))
    result = experiment / trial / "result.json"
    *rows, _ = lines(result)
    result.write_text("".join(json.dumps(row) + "\n" for row in [*rows, last]))
    (experiment / trial / RESPONSES_FILE).unlink()
    keep_outcome(experiment / trial, ending_of_finished("Error: x"))


def test_a_trial_that_was_not_judged_is_judged_as_the_sweep_would_have(experiment: Path, judge: Judge) -> None:
    before = finished(experiment)
    trial, other = sorted(before)
    answers = (experiment / trial / RESPONSES_FILE).read_text()
    not_judged(experiment, trial)
    untouched = content(experiment / other)
    code, out, _ = judge(experiment / trial)
    assert code == 0
    assert f"python -m analysis.report {experiment}" in out.replace("\n", "")
    after = finished(experiment)[trial]
    assert {**after, "reward_seconds": 0} == {**before[trial], "reward_seconds": 0}
    assert (experiment / trial / RESPONSES_FILE).read_text() == answers
    assert content(experiment / other) == untouched
    read = results.read_experiment(experiment).trials.set_index("trial").loc[trial]
    assert read["win_rate"] == after["win_rate"]
    assert read["reason"] == ""
    ending = read_outcome(experiment / trial)
    assert ending is not None
    assert (ending.outcome, ending.reason) == (Outcome.FINISHED, "")
    code, out, _ = judge(experiment)
    assert code == 0
    assert "nothing to judge" in out


@pytest.mark.slow
def test_trials_that_were_not_judged_are_judged_but_for_one_whose_weights_are_gone(
    experiment: Path, judge: Judge
) -> None:
    trial, other = sorted(finished(experiment))
    for name in (trial, other):
        not_judged(experiment, name)
    (experiment / trial / TRAINED_FILE).unlink()
    before = content(experiment / trial)
    code, out, _ = judge(experiment)
    assert code == 1
    assert f"{trial}: no trained.safetensors in it" in out
    assert content(experiment / trial) == before
    assert NOT_JUDGED not in finished(experiment)[other]
    code, _, errors = judge(experiment)
    assert code == 2
    assert "could judge no trial (1 tried); the last: no trained.safetensors in it" in errors


@pytest.mark.slow
def test_another_judge_replaces_all_that_the_first_said_where_report_and_resume_look_for_it(
    experiment: Path, judge: Judge, another: Path, parts: Parts, environment: dict[str, str], tmp_path: Path
) -> None:
    before = finished(experiment)
    base_before = lines(experiment / base_responses_file(None))
    code, _, errors = judge(experiment, "--judge", another)
    assert code == 0, errors
    base = lines(experiment / base_responses_file(None))
    assert [one["response"] for one in base] == [one["response"] for one in base_before]
    scores = score(another, [r["prompt"] for r in base], [r["response"] for r in base], 1, torch.device("cpu"))
    assert [one["reward"] for one in base] == pytest.approx(scores, abs=1e-5)
    read = results.read_experiment(experiment)
    for trial, row in finished(experiment).items():
        assert row["reward_mean"] != before[trial]["reward_mean"]
        assert row["test_loss"] == before[trial]["test_loss"]
        answers = lines(experiment / trial / RESPONSES_FILE)
        assert [one["base_reward"] for one in answers] == [one["reward"] for one in base]
        assert sum(one["reward"] for one in answers) / len(answers) == pytest.approx(row["reward_mean"])
        shown = read.trials.set_index("trial").loc[trial]
        assert (shown["reward_mean"], shown["wins"]) == (row["reward_mean"], row["wins"])
    records = [json.loads(path.read_text()) for path in experiment.glob(f"*/{RECORD_FILE}")]
    assert len({record["hashes"]["reward_model"] for record in records if record["judged_as_trained"]}) == 1

    spec = parse_spec(read_yaml(experiment / SPEC_FILE))
    assert spec.reward.model == str(another)
    prepared = prepare(plan_sweep(spec), Path(environment["SFT_SWEEP_CACHE"]), lambda _: None)
    check_identity(experiment, prepared.identity)  # as --resume does
    inputs = prepared.inputs(experiment, Device("cpu"), cpus=1)[None]
    [config] = [trial for trial in candidate_trials(spec) if trial.method == "lora"]
    replayed = open_trial(config, inputs)
    rows = [replayed.advance() for _ in range(len(replayed.rows))]
    replayed.close()
    assert rows[-1] == finished(experiment)[config.name]


@pytest.mark.slow
def test_right_answers_replace_what_a_reward_model_said_and_it_replaces_them(
    experiment: Path, judge: Judge, another: Path, tmp_path: Path
) -> None:
    prompts = tmp_path / "asked.jsonl"
    prompts.write_text("".join(f'{{"question": "What colour is it? {i}", "answer": "e"}}\n' for i in range(3)))
    how = ("--match", "contains", "--reference", "answer")
    before = content(experiment)
    for arguments, said in (
        (how, "no column 'answer'; its columns are act, prompt"),
        (("--reference", "answer"), "--reference answer: accepted beside --match"),
    ):
        code, _, errors = judge(experiment, *arguments)
        assert said in errors
        assert (code, content(experiment)) == (2, before)
    code, _, errors = judge(experiment, *how, "--prompts", prompts)
    assert code == 0, errors
    for trial, row in finished(experiment).items():
        answers = lines(experiment / trial / RESPONSES_FILE)
        assert [one["reward"] for one in answers] == [float("e" in one["response"]) for one in answers]
        assert row["reward_mean"] == sum(one["reward"] for one in answers) / 3
        assert "reward_model" not in json.loads((experiment / trial / RECORD_FILE).read_text())["hashes"]
    spec = parse_spec(read_yaml(experiment / SPEC_FILE))
    assert (spec.reward.model, spec.reward.judged_by) == (None, "right answers (contains)")
    assert all(arm.held_to_answers for arm in group_arms(results.read_experiment(experiment)))
    assert judge(experiment, "--judge", another)[0] == 0
    assert parse_spec(read_yaml(experiment / SPEC_FILE)).reward.judge is None


@pytest.mark.slow
def test_a_sweep_whose_trials_are_judged_anew_while_it_prepares_to_go_on_is_refused(
    experiment: Path, judge: Judge, another: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = execute.claimed

    def judged_before(folder: Path) -> AbstractContextManager[None]:
        assert judge(experiment, "--judge", another)[0] == 0
        return real(folder)

    monkeypatch.setattr(execute, "claimed", judged_before)
    monkeypatch.setattr(execute, "ray_session", lambda *_: nullcontext())
    monkeypatch.setattr(execute, "fit_resources", lambda resources, _: (resources, ""))
    monkeypatch.setattr(execute, "find_device", lambda *_: Device("cpu"))
    monkeypatch.setattr(execute, "tune_trials", lambda *_: pytest.fail("went on"))
    assert run_main(["--resume", str(experiment)]) == 2
    assert "changed since the sweep began: reward" in capsys.readouterr().err
    assert parse_spec(read_yaml(experiment / SPEC_FILE)).reward.model == str(another)


def test_what_is_interrupted_changes_nothing(
    experiment: Path, judge: Judge, another: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(experiment)
    real, asked = rejudging.evaluate_reward, []

    def interrupted(*arguments: Any) -> dict[str, float | int]:
        asked.append(1)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(rejudging, "evaluate_reward", interrupted)
    code, out, _ = judge(experiment, "--judge", another)
    assert code == 130
    assert "of another judge nothing is kept" in out
    assert content(experiment) == before


def all_unjudged(experiment: Path) -> list[str]:
    trials = sorted(finished(experiment))
    for trial in trials:
        not_judged(experiment, trial)
    return trials


def test_an_interrupt_keeps_what_the_sweeps_own_judge_has_said_of_other_trials(
    experiment: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = finished(experiment)
    first, second = all_unjudged(experiment)
    before = content(experiment / second)
    real, asked = rejudging.evaluate_reward, []

    def interrupted(*arguments: Any) -> dict[str, float | int]:
        asked.append(1)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(rejudging, "evaluate_reward", interrupted)
    assert judge(experiment)[0] == 130
    assert finished(experiment)[first]["reward_mean"] == expected[first]["reward_mean"]
    assert content(experiment / second) == before
    assert [note["trials"] for note in json.loads((experiment / SWEEP_FILE).read_text())["judged_later"]] == [1]


def damage(experiment: Path, trial: str, monkeypatch: pytest.MonkeyPatch) -> str:
    path = experiment / trial / TRAINED_FILE
    path.write_bytes(path.read_bytes()[:-50])
    return "trained.safetensors: can't be loaded: "


def fail_without_a_word(experiment: Path, trial: str, monkeypatch: pytest.MonkeyPatch) -> str:
    real = rejudging.kept_model

    def broken(config: TrialConfig, base_model: str, folder: Path) -> Any:
        if folder.name == trial:
            raise ValueError
        return real(config, base_model, folder)

    monkeypatch.setattr(rejudging, "kept_model", broken)
    return "trained.safetensors: can't be loaded: ValueError"


def fill_memory(experiment: Path, trial: str, monkeypatch: pytest.MonkeyPatch) -> str:
    real = rejudging.kept_model

    def too_large(config: TrialConfig, base_model: str, folder: Path) -> Any:
        if folder.name == trial:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 MiB")
        return real(config, base_model, folder)

    monkeypatch.setattr(rejudging, "kept_model", too_large)
    return f"{trial}: OutOfMemoryError: CUDA out of memory"


def fill_memory_with_answers(experiment: Path, trial: str, monkeypatch: pytest.MonkeyPatch) -> str:
    real = rejudging.evaluate_reward

    def too_large(*arguments: Any) -> dict[str, float | int]:
        if arguments[5].name == trial:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return real(*arguments)

    monkeypatch.setattr(rejudging, "evaluate_reward", too_large)
    return f"{trial}: RuntimeError: DefaultCPUAllocator: can't allocate memory"


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [damage, fail_without_a_word, fill_memory, fill_memory_with_answers])
def test_a_trial_that_cannot_be_judged_does_not_keep_the_others_from_it(
    experiment: Path,
    judge: Judge,
    spoil: Callable[[Path, str, pytest.MonkeyPatch], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = all_unjudged(experiment)
    expected = spoil(experiment, first, monkeypatch)
    code, out, errors = judge(experiment)
    assert (code, errors) == (1, "")
    assert expected in out
    assert NOT_JUDGED in finished(experiment)[first]
    assert NOT_JUDGED not in finished(experiment)[second]


def test_memory_that_runs_out_on_the_base_models_answers_is_said_in_one_line(
    experiment: Path, judge: Judge, another: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 MiB\nand more")

    monkeypatch.setattr(rejudging, "answer_as_base", too_large)
    before = content(experiment)
    code, _, errors = judge(experiment, "--judge", another)
    assert code == 2
    assert errors.startswith(f"error: {another}: memory runs out on the base model's answers")
    assert len(errors.splitlines()) == 1
    assert content(experiment) == before


@pytest.mark.slow
def test_answers_are_compared_with_answers_of_the_same_kind_of_device(
    experiment: Path, judge: Judge, another: Path
) -> None:
    for path in experiment.glob(f"*/{RECORD_FILE}"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "hardware": {**record["hardware"], "device_type": "cuda"}}))
    trials = all_unjudged(experiment)
    before = content(experiment)
    code, _, errors = judge(experiment)
    assert code == 2
    assert "the base model's answers on 'cuda', and those made here would come from 'cpu'" in errors
    assert content(experiment) == before
    assert judge(experiment, "--judge", another)[0] == 0  # which makes both here
    not_judged(experiment, trials[0])
    assert judge(experiment)[0] == 0


def test_a_judge_named_like_a_folder_here_is_asked_about(
    experiment: Path, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    code, _, errors = judge(experiment, "--judge", "owner/name")
    assert code == 2
    assert errors.startswith("error: --judge: 'owner/name': could be the folder ")


def test_a_process_that_dies_while_files_take_their_places_leaves_them_to_the_next(
    experiment: Path, judge: Judge, another: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, moved = Path.replace, []

    def dying(path: Path, target: Path) -> Path:
        if f"/{REPLACEMENT_DIR}/" in str(path):
            moved.append(path)
            if len(moved) == 3:
                raise SystemExit("killed")
        return real(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dying)
        with pytest.raises(SystemExit, match="killed"):
            judge(experiment, "--judge", another)
    with pytest.raises(results.UserError, match=r"being judged anew when the process ended; finish that with: python"):
        results.read_experiment(experiment)
    assert run_main(["--resume", str(experiment)]) == 2
    assert "python -m sweep.reward_metric" in capsys.readouterr().err
    code, out, _ = judge(experiment)
    assert code == 0
    assert "nothing to judge" in out
    rewards = {trial: row["reward_mean"] for trial, row in finished(experiment).items()}
    shown = results.read_experiment(experiment).trials.set_index("trial")["reward_mean"]
    assert {trial: shown[trial] for trial in rewards} == rewards
    assert not (experiment / REPLACEMENT_DIR).exists()


def test_what_a_dead_process_had_not_committed_is_forgotten(experiment: Path, judge: Judge) -> None:
    before = content(experiment)
    Replacement(experiment).path("base/responses.jsonl").write_text("half")
    assert judge(experiment)[0] == 0
    assert content(experiment) == before


def change_base(experiment: Path, parts: Parts) -> list[object]:
    for path in experiment.glob(f"*/{RECORD_FILE}"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "hashes": {**record["hashes"], "base_weights": "other"}}))
    return [experiment]


def no_judge(experiment: Path, parts: Parts) -> list[object]:
    spec = experiment / SPEC_FILE
    spec.write_text(spec.read_text().replace(f"model: {parts.reward_model}", "model: null"))
    return [experiment]


def damaged(experiment: Path, parts: Parts) -> list[object]:
    trial = sorted(finished(experiment))[0]
    not_judged(experiment, trial)
    path = experiment / trial / TRAINED_FILE
    path.write_bytes(path.read_bytes()[:-50])
    return [experiment]


def without_weights(experiment: Path, parts: Parts) -> list[object]:
    trial = sorted(finished(experiment))[1]
    (experiment / trial / TRAINED_FILE).unlink()
    prompts = experiment.parent / "prompts.csv"
    prompts.write_text("prompt\nWho?\n")
    return [experiment, "--prompts", prompts]


def none_has_weights(experiment: Path, parts: Parts) -> list[object]:
    for trial in finished(experiment):
        not_judged(experiment, trial)
        (experiment / trial / TRAINED_FILE).unlink()
    return [experiment]


def cut_off(experiment: Path, parts: Parts) -> list[object]:
    path = experiment / SWEEP_FILE
    path.write_bytes(path.read_bytes()[:50])
    return [experiment]


def one_trial(experiment: Path, parts: Parts) -> list[object]:
    prompts = experiment.parent / "prompts.csv"
    prompts.write_text("prompt\nWho?\n")
    return [experiment / sorted(finished(experiment))[0], "--prompts", prompts]


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda e, p: [e.parent], "no spec.yaml in it; name an experiment directory, or the directory of a trial"),
        (one_trial, "one sweep has one of each; name"),
        (change_base, "base weights changed since it was trained"),
        (no_judge, "the sweep has no judge; name one with --judge, or right answers by --match"),
        (damaged, "trained.safetensors: can't be loaded: "),
        (without_weights, "no trained.safetensors in it, so it can't be judged anew"),
        (none_has_weights, "no finished trial in it has kept what it trained"),
        (lambda e, p: [e, "--judge", p.model], "--judge: "),
        (lambda e, p: [e, "--judge", "./nowhere"], "--judge: './nowhere': no such folder"),
        (lambda e, p: [e, "--prompts", "./nowhere"], "--prompts: './nowhere': no such file"),
        (cut_off, "; mend it with: python -m sweep.run --resume"),
    ],
    ids=[
        "no experiment",
        "one trial",
        "another base",
        "no judge",
        "damaged",
        "one lacks its weights",
        "all lack their weights",
        "a language model",
        "no folder",
        "no prompts",
        "sweep.json cut off",
    ],
)
def test_what_cannot_be_judged_is_said_in_one_line_and_nothing_is_changed(
    experiment: Path, judge: Judge, parts: Parts, ask: Callable[[Path, Parts], list[object]], expected: str
) -> None:
    arguments = ask(experiment, parts)
    before = content(experiment)
    code, _, errors = judge(*arguments)
    assert code == 2
    assert expected in errors
    assert len(errors.splitlines()) == 1
    assert content(experiment) == before
