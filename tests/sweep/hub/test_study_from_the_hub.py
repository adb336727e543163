"""The presets as a stranger runs them: models and data by their names from the hub, with nothing changed but sizes."""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from analysis.report import build
from basis.directory import FINISHED_FILE, RECORD_FILE, SPEC_FILE
from sweep.search_space import enumerate_trials
from sweep.spec_file.load import load_kept_plan, load_spec
from tests.conftest import dialogues, run
from tests.hub.server import StandInHub
from tests.hub.study_repositories import GPT2_MEDIUM, HH_RLHF, REWARD, RM_STATIC, study_repositories

SMALLER = {
    "trial.steps": 2,
    "trial.test_every": 2,
    "trial.block_size": 32,
    "trial.test_windows": 4,
    "reward.max_prompts": 4,
    "reward.new_tokens": 8,
}


@dataclass(frozen=True)
class Stranger:
    """Someone with a hub, an empty cache and the project."""

    hub: StandInHub
    environment: dict[str, str]
    folder: Path

    def sweep(self, preset: str, *settings: str, offline: bool = False) -> CompletedProcess[str]:
        words = [word for key, value in SMALLER.items() for word in ("--set", f"{key}={value}")]
        words += [word for setting in settings for word in ("--set", setting)]
        return self.run(preset, *words, "--output", self.output(preset, *settings), offline=offline)

    def run(self, *arguments: object, offline: bool = False) -> CompletedProcess[str]:
        return run({**self.environment, **({"HF_HUB_OFFLINE": "1"} if offline else {})}, *arguments)

    def output(self, *words: str) -> Path:
        return self.folder / "-".join(words)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    folder = tmp_path_factory.mktemp("stranger")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    with StandInHub(study_repositories(dialogues(600, 0))) as hub:
        caches = {"HF_HOME": str(folder / "hf"), "SFT_SWEEP_CACHE": str(folder / "cache")}
        yield Stranger(hub, {**kept, "HF_ENDPOINT": hub.endpoint, **caches, "COLUMNS": "160"}, folder)


@pytest.mark.slow
def test_the_study_runs_by_name_from_an_empty_cache_and_says_nothing_that_is_not_ours(stranger: Stranger) -> None:
    ran = stranger.sweep("study")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "7 finished, 0 failed, 0 interrupted" in ran.stdout
    assert "\r" not in ran.stdout, "a progress bar of a library"
    experiment = stranger.output("study")
    report = (experiment / "report" / "report.md").read_text(encoding="utf-8")
    spec = yaml.safe_load((experiment / SPEC_FILE).read_text(encoding="utf-8"))
    commits = {name: repository.main for (_, name), repository in stranger.hub.repositories.items()}
    assert spec["model"]["name"] == f"{GPT2_MEDIUM}@{commits[GPT2_MEDIUM]}"
    assert spec["data"]["exclude"] == [f"{RM_STATIC}@{commits[RM_STATIC]}"]
    for name, commit in commits.items():
        assert f"{name}@{commit}" in report
    for path in experiment.glob(f"*/{RECORD_FILE}"):
        hashes = json.loads(path.read_text(encoding="utf-8"))["hashes"]
        assert hashes["base_weights"] == hashes["tokenizer"] == f"{GPT2_MEDIUM}@{commits[GPT2_MEDIUM]}"
        assert hashes["reward_model"] == f"{REWARD}@{commits[REWARD]}"
        assert hashes["data_files"]["train:Anthropic/hh-rlhf:train"] == commits[HH_RLHF]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "settings", "finished"),
    [
        ("study", ["variant=published"], 7),
        ("fair", ["trials=1", "seeds=1"], 14),
    ],
)
def test_the_other_presets_run_from_the_cache_without_a_hub(
    stranger: Stranger, preset: str, settings: list[str], finished: int
) -> None:
    stranger.hub.requests.clear()
    ran = stranger.sweep(preset, *settings, offline=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"{finished} finished, 0 failed, 0 interrupted" in ran.stdout
    assert stranger.hub.requests == []


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "finished"), [("full", 1), ("lora-ranks", 4), ("optimizers", 4)])
def test_a_part_of_the_study_trains_what_the_study_did_and_has_tables_of_its_own(
    stranger: Stranger, preset: str, finished: int, tmp_path: Path
) -> None:
    sizes = [f"{key}={value}" for key, value in SMALLER.items()]
    part, study = (load_spec(name, sizes) for name in (preset, "study"))
    own = {name: getattr(part, name) for name in ("name", "about", "space", "tables")}
    assert study.model_copy(update=own) == part, "it has the study's models, data and judge"

    experiment = tmp_path / "experiment"
    as_it_ran = load_kept_plan(stranger.output("study")).spec.model_copy(update=own)
    trials = {trial.name for trial in enumerate_trials(as_it_ran)}
    others = {path.parent.name for path in stranger.output("study").glob(f"*/{FINISHED_FILE}")} - trials
    shutil.copytree(stranger.output("study"), experiment, ignore=shutil.ignore_patterns("report", *others))
    (experiment / SPEC_FILE).write_text(yaml.safe_dump(as_it_ran.model_dump(mode="json")), encoding="utf-8")
    report = build(experiment)
    with report.trials_csv.open(encoding="utf-8", newline="") as file:
        reported = [row["trial"] for row in csv.DictReader(file) if row["outcome"] == "finished"]
    assert set(reported) == trials
    assert len(reported) == finished
    assert [table.title for table in report.tables] == [table.title for table in part.tables]


@pytest.mark.slow
def test_a_sweep_goes_on_and_is_reproduced_with_what_it_began_with_whatever_is_pushed_meanwhile(
    stranger: Stranger,
) -> None:
    for repository in stranger.hub.repositories.values():  # what main points at now is of no use
        repository.commit({"README.md": b"Everything has been replaced."})
    experiment = stranger.output("study")
    [lost] = experiment.glob(f"lora-r10-*/{FINISHED_FILE}")
    before = json.loads(lost.read_text(encoding="utf-8"))["rows"]
    lost.unlink()
    resumed = stranger.run("--resume", experiment)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert "7 finished, 0 failed, 0 interrupted" in resumed.stdout
    after = json.loads(lost.read_text(encoding="utf-8"))["rows"]
    for name in ("step", "train_loss", "test_loss", "reward_mean", "win_rate"):
        assert [row.get(name) for row in after] == [row.get(name) for row in before]
    reproduced = stranger.run("--reproduce", lost.parent)
    assert (reproduced.returncode, reproduced.stderr) == (0, "")
    assert "losses match" in reproduced.stdout
    fresh = stranger.run("study", "--output", stranger.folder / "new")
    assert fresh.returncode == 2
    assert fresh.stderr.startswith("error: model.name: 'gpt2-medium")
    assert not (stranger.folder / "new").exists()
