"""A finished trial run again: matches to the bit, within a tolerance, or not, and what is refused."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from basis.directory import FINISHED_FILE, RECORD_FILE, SPEC_FILE
from sweep.driver.reproduce import differences
from sweep.preparation import prepare
from sweep.provenance.code_version import CodeVersion
from sweep.worker.trial_run import TrialRun
from tests.conftest import Here, Parts, Swept

Json = dict[str, Any]


def change(path: Path, edit: Callable[[Json], object]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def trial(swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished trial in an experiment that tests may change, of code that counts as committed."""
    committed = CodeVersion("0.1.0", "c" * 40, False, "f" * 64)
    monkeypatch.setattr(prepare, "code_version", lambda: committed)
    experiment, original = tmp_path / "experiment", swept.trial("lora-r2-sgd")
    shutil.copytree(original, experiment / original.name)
    shutil.copy(swept.experiment / SPEC_FILE, experiment)
    change(experiment / original.name / RECORD_FILE, lambda record: record.update(code=vars(committed)))
    return experiment / original.name


def test_a_trial_of_a_real_sweep_reproduces_to_the_bit_and_is_left_as_it_was(here: Here, swept: Swept) -> None:
    trial = swept.trial("full-adamw")
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(swept.experiment.rglob("*"))}
    code, output, _ = here("--reproduce", trial)
    assert code == 0
    assert "the 5 losses match to the bit" in output  # three test losses, and two train losses after step 0
    for row in json.loads((trial / FINISHED_FILE).read_text())["rows"]:
        assert output.count(f"{row['test_loss']:.6f}") == 2
    assert before == {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(swept.experiment.rglob("*"))}


def test_under_the_same_circumstances_the_last_bits_must_match_too(here: Here, trial: Path) -> None:
    code, output, _ = here("--reproduce", trial)
    assert (code, "must match to the bit" in output) == (0, True)
    change(trial / FINISHED_FILE, lambda finished: finished["rows"][1].update(train_loss=5.0))
    change(trial / FINISHED_FILE, lambda f: f["rows"][2].update(test_loss=f["rows"][2]["test_loss"] * (1 + 1e-9)))
    code, output, _ = here("--reproduce", trial)
    assert code == 1
    assert "the losses do NOT match to the bit: first train loss at step 3, 5.0 then" in output


def test_under_other_versions_losses_match_within_the_tolerance_with_the_recorded_execution(
    here: Here, trial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Json] = []

    advance = TrialRun.advance

    def watched(trial: TrialRun) -> Json:
        rows.append(advance(trial))
        return rows[-1]

    def elsewhere(record: Json) -> None:
        record["versions"]["torch"] = "2.0.0"
        record["execution"] = {"micro_batch": 2, "activation_checkpointing": True}

    monkeypatch.setattr(TrialRun, "advance", watched)
    change(trial / RECORD_FILE, elsewhere)
    change(trial / FINISHED_FILE, lambda f: f["rows"][2].update(test_loss=f["rows"][2]["test_loss"] * (1 + 1e-5)))
    code, output, _ = here("--reproduce", trial)
    assert code == 0
    assert "versions torch: 2.0.0 then" in output
    assert "the 5 losses match within 0.0005 (largest relative difference 1.0e-05, test loss at step 6)" in output
    assert (rows[-1]["micro_batch"], rows[-1]["activation_checkpointing"]) == (2, 1)

    change(trial / FINISHED_FILE, lambda f: f["rows"][1].update(test_loss=f["rows"][1]["test_loss"] * 1.01))
    code, output, _ = here("--reproduce", trial)
    assert code == 1
    assert "the losses do NOT match within 0.0005: first test loss at step 3" in output


def test_ctrl_c_leaves_nothing_behind(here: Here, trial: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(trial: TrialRun) -> Json:
        assert trial.folder.is_relative_to(tmp_path / "temporary")
        raise KeyboardInterrupt

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(TrialRun, "advance", interrupted)
    assert here("--reproduce", trial)[0] == 130
    assert not list((tmp_path / "temporary").iterdir())


def test_what_a_trial_was_made_from_must_be_what_it_was(here: Here, trial: Path, parts: Parts, tmp_path: Path) -> None:
    changed = tmp_path / parts.train.name
    changed.write_text(parts.train.read_text().replace("happy", "glad", 1))
    spec = yaml.safe_load((trial.parent / SPEC_FILE).read_text())
    spec["data"]["train"] = [str(changed)]
    (trial.parent / SPEC_FILE).write_text(yaml.safe_dump(spec))
    code, _, errors = here("--reproduce", trial)
    assert code == 2
    assert "changed since the trial ran: data file train:train.jsonl, train tokens; its losses" in errors

    change(trial / RECORD_FILE, lambda record: record["hashes"].update(base_weights="0", tokenizer="0"))
    assert "data file train:train.jsonl, base weights, tokenizer, train tokens;" in here("--reproduce", trial)[2]


def test_only_what_takes_part_in_the_arithmetic_excuses_a_difference(trial: Path) -> None:
    record = json.loads((trial / RECORD_FILE).read_text())

    def excuses(edit: Callable[[Json], object]) -> list[tuple[str, bool]]:
        then = copy.deepcopy(record)
        edit(then)
        return [(found.name, found.matters) for found in differences(then, record)]

    assert excuses(lambda r: None) == []
    assert excuses(lambda r: r["versions"].update(python="3.0", ray="1.0")) == [
        ("versions python", False),
        ("versions ray", False),
    ]
    assert excuses(lambda r: r["versions"].update(numpy="1.0")) == [("versions numpy", True)]
    assert excuses(lambda r: r["hardware"].update(cpu="another")) == [("hardware cpu", True)]
    assert excuses(lambda r: r["hardware"].update(instructions="others")) == [("hardware instructions", True)]
    assert excuses(lambda r: r["code"].update(dirty=True)) == [("code dirty", False)]
    assert excuses(lambda r: r["code"].update(files="e" * 64)) == [("code files", True)]
    assert excuses(lambda r: r.update(earlier=[{}])) == [("circumstances", True)]


@pytest.mark.parametrize(
    ("forget", "name"),
    [
        (lambda record: record["code"].update(files=None), "code files"),
        (lambda record: record["code"].pop("files"), "code files"),  # as records were before there was a hash
        (lambda record: record["code"].update(files=None, commit=None, dirty=None), "code files"),
        (lambda record: record["hardware"].update(cpu=record["hardware"]["machine"]), "hardware cpu"),
        (lambda record: record["hardware"].update(instructions=None), "hardware instructions"),
    ],
)
def test_what_is_unknown_on_both_sides_is_never_the_same(
    trial: Path, forget: Callable[[Json], object], name: str
) -> None:
    record = json.loads((trial / RECORD_FILE).read_text())
    forget(record)
    [found] = differences(record, copy.deepcopy(record))
    assert (str(found), found.matters) == (f"{name}: unknown then, unknown now", True)


def test_changed_code_is_no_reason_to_expect_the_bits_though_its_commit_is_the_same(
    here: Here, trial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = CodeVersion("0.1.0", None, None, "e" * 64)
    monkeypatch.setattr(prepare, "code_version", lambda: installed)
    change(trial / RECORD_FILE, lambda record: record["code"].update(commit=None, dirty=None))
    code, output, _ = here("--reproduce", trial)
    assert code == 0
    assert f"code files: {'f' * 60} then, {'e' * 60} now" in output
    assert "the circumstances are not the same: the losses must match within a relative 0.0005" in output


@pytest.mark.parametrize(
    ("prepare_it", "message"),
    [
        (lambda trial: trial / "nowhere", "no such directory"),
        (lambda trial: trial.parent, "is an experiment; name the directory of one of its trials"),
        (lambda trial: (trial.parent / "base").mkdir() or trial.parent / "base", "is no trial's directory"),
        (
            lambda trial: (trial / FINISHED_FILE).unlink() or trial,
            "no finished.json in it, so the trial has not finished",
        ),
        (lambda trial: (trial / RECORD_FILE).unlink() or trial, "no record.json in it; trials finished before"),
        (lambda trial: (trial.parent / SPEC_FILE).unlink() or trial, "no spec.yaml beside it"),
        (lambda trial: (trial / RECORD_FILE).write_text("{") and trial, "record.json: is no JSON"),
        (
            lambda trial: change(trial / RECORD_FILE, lambda r: r.pop("code")) or trial,
            "record.json: is not what a trial leaves (it lacks code, code.dirty)",
        ),
        (lambda trial: (trial / FINISHED_FILE).write_bytes(b"") or trial, "finished.json: is empty; mend it with: "),
        (
            lambda trial: change(trial / RECORD_FILE, lambda r: r["config"].update(lr=1)) or trial,
            "its config is not the one that its config_hash was made from",
        ),
    ],
)
def test_what_is_no_finished_trial_with_a_record_is_refused_in_one_line(
    here: Here, trial: Path, prepare_it: Callable[[Path], Path], message: str
) -> None:
    code, _, errors = here("--reproduce", prepare_it(trial))
    assert code == 2
    [line] = errors.strip().splitlines()
    assert message in line


@pytest.mark.parametrize("flags", [["demo"], ["--set", "seeds=2"], ["--resume", "x"], ["--output", "x"], ["--dry-run"]])
def test_whatever_says_what_else_to_run_is_refused(here: Here, flags: list[str]) -> None:
    code, _, errors = here("--reproduce", "x", *flags)
    assert code == 2
    given = " ".join(flags if flags[0].startswith("--") else ["SPEC", *flags])
    assert f"{given} is not accepted with --reproduce; a trial runs again as it is recorded" in errors
