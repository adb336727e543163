"""Real sweeps whose trials a search proposes."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from basis.directory import FINISHED_FILE, SPEC_FILE
from basis.stages import Stage
from tests.conftest import Parts, run


@pytest.mark.slow
def test_optuna_chooses_on_validation_and_a_resumed_search_tells_what_it_knows(
    parts: Parts, environment: dict[str, str], tmp_path: Path
) -> None:
    space = [
        {"method": "full", "optimizer": "adamw", "lr": {"low": 1e-4, "high": 1e-2, "log": True}},
        {"method": "lora", "rank": [1, 2], "optimizer": "sgd", "lr": {"low": 1e-3, "high": 1e-1, "log": True}},
    ]
    experiment = tmp_path / "experiment"
    one_at_a_time = {"cpu": "auto"}  # so that one worker runs all trials
    spec = parts.write_spec(tmp_path, space=space, search="optuna", trials=3, seeds=2, resources=one_at_a_time)
    first = run(environment, spec, "--output", experiment)
    assert first.returncode == 0, first.stderr
    before = {path: path.read_bytes() for path in experiment.glob(f"*/{FINISHED_FILE}")}
    configs = [json.loads(content)["config"] for content in before.values()]
    assert all((c["rank"] is None) == (c["method"] == "full") for c in configs)
    tried = [c for c in configs if c["evaluate_on"] == Stage.TUNING]
    tested = [c for c in configs if c["evaluate_on"] == Stage.FINAL]
    assert len(tried) == 3, "on validation windows, with one seed that is none of the final ones"
    assert {c["seed"] for c in tried} == {2}
    methods = {c["method"] for c in tried}
    assert sorted((c["method"], c["seed"]) for c in tested) == sorted((m, s) for m in methods for s in (0, 1))
    assert {c["lr"] for c in tested} <= {c["lr"] for c in tried}
    assert f"{3 + len(tested)} finished" in first.stdout

    content = yaml.safe_load((experiment / SPEC_FILE).read_text())
    (experiment / SPEC_FILE).write_text(yaml.safe_dump({**content, "trials": 4}))
    more = run(environment, "--resume", experiment)
    assert more.returncode == 0, more.stderr
    after = {path: path.read_bytes() for path in experiment.glob(f"*/{FINISHED_FILE}")}
    assert before.items() <= after.items(), "what was tested is tested no other way"
    assert len([c for c in after.values() if json.loads(c)["config"]["evaluate_on"] == Stage.TUNING]) == 4


@pytest.mark.slow
def test_a_config_that_a_search_proposes_twice_is_trained_once_and_is_no_replicate(
    parts: Parts, environment: dict[str, str], tmp_path: Path
) -> None:
    space = [{"method": "full", "optimizer": "adamw", "lr": 1e-3}]  # nothing to choose: every proposal is the same
    experiment = tmp_path / "experiment"
    spec = parts.write_spec(tmp_path, space=space, search="optuna", trials=3, metric="reward_mean", choose_on="test")
    ran = run(environment, spec, "--output", experiment)
    assert ran.returncode == 0, ran.stderr
    assert len(list(experiment.glob(f"*/{FINISHED_FILE}"))) == 1
    with (experiment / "report" / "trials.csv").open(encoding="utf-8", newline="") as file:
        assert [row["outcome"] for row in csv.DictReader(file)] == ["finished", "repeated", "repeated"]
