"""A sweep on several nodes of Ray, one of which dies: what has finished stays, and the rest goes on elsewhere."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from basis.directory import CHECKPOINT_FILE, FINISHED_FILE, RESPONSES_FILE, RESULT_FILE, TRAINED_FILE
from basis.metrics import Row
from basis.stored.copy import INDEX_FILE
from sweep.inputs import SweepInputs
from sweep.search_space import enumerate_trials
from sweep.spec_file.load import load_spec
from tests.apart import NOT_APART, can_be_apart
from tests.conftest import PATIENCE_SECONDS, Parts, wait_for
from tests.nodes import STORE, kill_node_of_a_trial, swept_by_nodes
from tests.object_store import BUCKET
from tests.sweep.test_interrupted_sweeps import rows_never_stopped
from tests.sweep.worker.test_trial_run import timeless

ONE_SHORT_ONE_LONG: dict[str, Any] = {
    "space": [
        {"method": "full", "optimizer": "adamw", "lr": 1e-3, "steps": 20},
        {"method": "lora", "rank": 2, "optimizer": "adamw", "lr": 1e-2, "dropout": 0.1},
    ],
    "trial": {"steps": 400, "batch_size": 4, "block_size": 32, "test_every": 20, "test_windows": 4},
    "checkpoint_seconds": 0,
    "resources": {"cpu": 1},
}
"""A trial that has finished when a node dies under the other."""

pytestmark = pytest.mark.skipif(not can_be_apart(), reason=NOT_APART)


@pytest.mark.slow
def test_a_trial_whose_node_dies_goes_on_from_its_checkpoint_on_a_node_that_joins_late(
    parts: Parts, inputs: SweepInputs, tmp_path: Path
) -> None:
    spec = parts.write_spec(tmp_path, **ONE_SHORT_ONE_LONG, reward={"model": None})
    output = tmp_path / "out"
    with swept_by_nodes(tmp_path, spec, "--output", output) as (cluster, nodes):
        wait_for(lambda: cluster.poll() is not None or bool(list(output.glob(f"lora-*/{CHECKPOINT_FILE}"))))
        assert cluster.poll() is None, cluster.communicate()[0]
        [early] = output.glob(f"full-*/{FINISHED_FILE}")
        kept = early.read_bytes(), early.stat().st_mtime_ns
        kill_node_of_a_trial(cluster)
        (nodes / "join").touch()
        said, _ = cluster.communicate(timeout=PATIENCE_SECONDS)
    assert cluster.returncode == 0, said
    assert "2 finished, 0 failed" in said
    assert (early.read_bytes(), early.stat().st_mtime_ns) == kept

    [finished] = output.glob(f"lora-*/{FINISHED_FILE}")
    places = [json.loads(line)["node_ip"] for line in (finished.parent / RESULT_FILE).read_text().splitlines()]
    assert set(places) == {"127.0.0.3", "127.0.0.4"}
    never_stopped = rows_never_stopped(enumerate_trials(load_spec(str(spec)))[1], inputs)
    assert timeless(json.loads(finished.read_text(encoding="utf-8"))["rows"]) == timeless(never_stopped)


@pytest.mark.slow
def test_nodes_that_share_no_folder_work_through_the_store_and_a_trial_moves_between_them(
    parts: Parts, inputs: SweepInputs, tmp_path: Path
) -> None:
    """They see neither the driver's copy, nor its cache, nor the model; the second node begins with an empty disk."""
    spec = parts.write_spec(tmp_path, **ONE_SHORT_ONE_LONG)
    output = f"s3://{BUCKET}/out?endpoint_override={STORE}"
    hidden = parts.model.parent.parent
    with swept_by_nodes(tmp_path, spec, "--output", output, store=STORE, hidden=hidden) as (cluster, nodes):
        wait_for(lambda: cluster.poll() is not None or _has_stored_checkpoint(nodes / "cache3"))
        assert cluster.poll() is None, cluster.communicate()[0]
        kill_node_of_a_trial(cluster)
        (nodes / "join").touch()
        said, _ = cluster.communicate(timeout=PATIENCE_SECONDS)
        assert cluster.returncode == 0, said
        assert "2 finished, 0 failed" in said
        stored = nodes / "stored" / "out"
        [finished] = stored.glob(f"lora-*/{FINISHED_FILE}")
        places = [json.loads(line)["node_ip"] for line in (finished.parent / RESULT_FILE).read_text().splitlines()]
        assert set(places) == {"127.0.0.3", "127.0.0.4"}
        rows = json.loads(finished.read_text(encoding="utf-8"))["rows"]
        never_stopped = rows_never_stopped(enumerate_trials(load_spec(str(spec)))[1], inputs)
        assert losses_of(rows) == losses_of(never_stopped)
        seen = (nodes / "stored" / "seen").read_text(encoding="utf-8").splitlines()
        [of_full] = {line.split("/")[3] for line in seen if "/out/full-" in line}
        asked = Counter(line for line in seen if f"/{of_full}/" in line)
        assert 20 < sum(min(times, 2) for times in asked.values()) < 60  # two of each: written on a node and by Ray
        assert max(asked.values()) < 10  # what grows is sent again each minute, however slow the machine
        assert len(list(stored.glob(f"*/{TRAINED_FILE}"))) == 2
        assert (stored / "report" / "report.html").is_file()
        assert (stored / "base" / RESPONSES_FILE).is_file()
        assert not list((tmp_path / "cache").rglob(TRAINED_FILE))
        left = {path.name for path in (nodes / "cache4" / "stored-trials").glob("*/*/*") if path.is_dir()}
        assert left == {"base"}


@pytest.mark.slow
def test_a_node_whose_disk_is_full_costs_no_trial_that_has_tries_left(parts: Parts, tmp_path: Path) -> None:
    space = {"method": "full", "optimizer": "adamw", "lr": [1e-3, 2e-3, 3e-3]}
    spec = parts.write_spec(tmp_path, **{**ONE_SHORT_ONE_LONG, "space": space, "reward": {"model": None}})
    output = f"s3://{BUCKET}/out?endpoint_override={STORE}"
    hidden = parts.model.parent.parent
    asked = ("--output", output)
    with swept_by_nodes(tmp_path, spec, *asked, store=STORE, hidden=hidden, small="64k") as (cluster, nodes):
        wait_for(lambda: _has_started(nodes / "3"))  # two nodes of one machine can't start at the same moment
        (nodes / "join").touch()
        said, _ = cluster.communicate(timeout=PATIENCE_SECONDS)
        places = [path.read_text(encoding="utf-8") for path in (nodes / "stored" / "out").glob(f"*/{RESULT_FILE}")]
    assert cluster.returncode == 0, said
    assert "3 finished, 0 failed" in said
    assert "No space left on device" in said
    assert len(places) == 3
    assert all('"127.0.0.4"' in rows and '"127.0.0.3"' not in rows for rows in places)


def losses_of(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name.endswith("_loss")} for row in rows]


def _has_started(node: Path) -> bool:
    return node.exists() and "Ray runtime started" in node.read_text(encoding="utf-8")


def _has_stored_checkpoint(cache: Path) -> bool:
    indexes = cache.glob(f"stored-trials/*/*/lora-*/{INDEX_FILE}")
    return any(CHECKPOINT_FILE in path.read_text(encoding="utf-8") for path in indexes)
