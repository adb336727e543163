"""A spec that says a real model's name is walked as a user writes it: from the hub, which a stand-in is here."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from basis.directory import FINISHED_FILE, RECORD_FILE
from tests.conftest import dialogues, run
from tests.hub.server import Repository, StandInHub
from tests.real.real_models import FOLDER, MARKS, NAMES

NAME, FOLDER_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2"

pytestmark = [*MARKS, pytest.mark.skipif(FOLDER_NAME not in NAMES, reason=f"no folder {FOLDER_NAME} among them")]


@pytest.fixture(scope="module")
def hub() -> Iterator[StandInHub]:
    files = {path.name: path.read_bytes() for path in (FOLDER / FOLDER_NAME).iterdir()}
    with StandInHub([Repository(NAME, "model", files)]) as hub:
        yield hub


@pytest.fixture(scope="module")
def environment(hub: StandInHub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("stranger")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    caches = {"HF_HOME": str(folder / "hf"), "SFT_SWEEP_CACHE": str(folder / "cache")}
    return {**kept, **caches, "HF_ENDPOINT": hub.endpoint, "COLUMNS": "160"}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spec")
    for split, count, seed in (("train", 60, 0), ("test", 20, 1)):
        lines = [json.dumps({"chosen": text}) for text in dialogues(count, seed)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    values = {
        "name": "smollm",
        "about": "a real model by its name",
        "model": {"name": NAME},
        "data": {"train": [str(folder / "train.jsonl")], "test": [str(folder / "test.jsonl")], "exclude": []},
        "trial": {"steps": 3, "batch_size": 2, "block_size": 32, "test_every": 3, "test_windows": 2},
        "space": [
            {"method": "full", "optimizer": "adamw", "lr": 1e-5},
            {"method": "lora", "rank": 8, "optimizer": "adamw", "lr": 1e-3},
        ],
        "reward": {"model": None},
    }
    path = folder / "smollm.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def test_a_dry_run_tells_its_memory_without_its_weights(
    environment: dict[str, str], spec: Path, hub: StandInHub
) -> None:
    ran = run(environment, spec, "--dry-run")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("smollm: 2 trials\n")
    assert "memory per trial with its process: " in ran.stdout
    assert not [request for request in hub.requests if request.startswith("GET") and "safetensors" in request]


def test_a_sweep_of_a_name_trains_it(environment: dict[str, str], spec: Path, hub: StandInHub) -> None:
    experiment = spec.parent / "experiment"
    ran = run(environment, spec, "--output", experiment)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "2 finished, 0 failed, 0 interrupted" in ran.stdout
    for record in experiment.glob(f"*/{RECORD_FILE}"):
        hashes = json.loads(record.read_text(encoding="utf-8"))["hashes"]
        assert hashes["base_weights"] == f"{NAME}@{hub.repository(NAME).main}"
    for finished in experiment.glob(f"*/{FINISHED_FILE}"):
        losses = [row["test_loss"] for row in json.loads(finished.read_text(encoding="utf-8"))["rows"]]
        assert losses[-1] < losses[0]
