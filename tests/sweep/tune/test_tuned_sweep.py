"""The real command under search 'tuned' with adaptive seeds: two arms that are the same, planted as a tie."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from basis.directory import FINISHED_FILE, RECORD_FILE, RESPONSES_FILE
from basis.stages import Stage
from tests.conftest import Parts, run


def finished_trials(experiment: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Directory and finished.json of each trial."""
    return [(path.parent, json.loads(path.read_text())) for path in sorted(experiment.glob(f"*/{FINISHED_FILE}"))]


@pytest.mark.slow
def test_each_arm_is_tuned_on_validation_windows_then_tested_once_with_more_seeds_while_tied(
    parts: Parts, environment: dict[str, str], tmp_path: Path
) -> None:
    lr = {"low": 1e-2, "high": 1e9, "log": True}  # at the high end every trial diverges
    arms = [{"method": "full", "optimizer": "adamw", "lr": lr, "micro_batch": micro} for micro in (4, 2)]
    spec = parts.write_spec(
        tmp_path,
        space=arms,
        search="tuned",
        max_failures=0,
        trials=2,
        seeds={"min": 2, "max": 3},
        tables=[{"title": "Micro-batch", "factor": "micro_batch"}],
    )
    experiment = tmp_path / "experiment"
    ran = run(environment, spec, "--output", experiment)
    assert ran.returncode == 0, ran.stderr + ran.stdout  # that trials diverge in tuning is no failure
    trials = finished_trials(experiment)
    tuning = [(folder, t) for folder, t in trials if t["config"]["evaluate_on"] == Stage.TUNING]
    final = [(folder, t) for folder, t in trials if t["config"]["evaluate_on"] == Stage.FINAL]
    assert (len(tuning), len(final), len(trials)) == (2, 6, 8), "a tie runs to the maximum of seeds"

    for folder, trial in tuning:
        assert not any("test_loss" in row for row in trial["rows"])
        assert not (folder / RESPONSES_FILE).exists()
    for micro in (4, 2):
        mine = [(folder, t) for folder, t in final if micro == _micro(t)]
        assert {t["config"]["lr"] for _, t in mine} == {t["config"]["lr"] for _, t in tuning if micro == _micro(t)}
        assert sorted(t["config"]["seed"] for _, t in mine) == [0, 1, 2]
        for folder, t in mine:
            assert ["test_loss" in row for row in t["rows"]] == [False] * (len(t["rows"]) - 1) + [True]
            assert (folder / RESPONSES_FILE).exists()
            hashes = json.loads((folder / RECORD_FILE).read_text())["hashes"]
            assert {"train_tokens", "validation_tokens", "test_tokens"} <= hashes.keys()
    assert not {t["config"]["seed"] for _, t in tuning} & {0, 1, 2}

    with (experiment / "report" / "trials.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 6, "tuning trials are in no comparison"
    report = (experiment / "report" / "report.md").read_text()
    assert "## Tuning" in report
    assert "1e+09: diverged" in report
    assert "singles out no arm" in report


def _micro(trial: dict[str, Any]) -> int:
    return int(trial["config"]["micro_batch"])
