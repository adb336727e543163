"""A head that is killed with all that runs on it; on a new one the same command goes on with the sweep."""

import json
from pathlib import Path

import psutil
import pytest

from basis.directory import CHECKPOINT_FILE, FINISHED_FILE
from sweep.inputs import SweepInputs
from sweep.search_space import enumerate_trials
from sweep.spec_file.load import load_spec
from tests.conftest import PATIENCE_SECONDS, Parts, wait_for
from tests.sweep.cluster.test_node_faults import ONE_SHORT_ONE_LONG
from tests.sweep.submission.conftest import some_ground
from tests.sweep.test_interrupted_sweeps import rows_never_stopped
from tests.sweep.test_json_output import documents
from tests.sweep.worker.test_trial_run import timeless


@pytest.mark.slow
def test_a_head_is_killed_and_started_again_and_the_same_command_goes_on(
    parts: Parts, inputs: SweepInputs, tmp_path: Path, shared: Path
) -> None:
    spec, output = parts.write_spec(tmp_path, **ONE_SHORT_ONE_LONG, reward={"model": None}), shared / "out"
    with some_ground() as ground:
        head, process = ground.start()
        submit = ("sweep.submit", spec, "--cluster", head.url, "--output", output, "--json")
        [first] = documents(head.run(*submit).stdout)
        wait_for(lambda: bool(list(output.glob(f"full-*/{FINISHED_FILE}"))))
        wait_for(lambda: bool(list(output.glob(f"lora-*/{CHECKPOINT_FILE}"))))
        [early] = output.glob(f"full-*/{FINISHED_FILE}")
        kept = early.read_bytes(), early.stat().st_mtime_ns
        everything = psutil.Process(process.pid).children(recursive=True)
        for one in (*everything, process):
            one.kill()  # as if its machine lost power
        process.wait(PATIENCE_SECONDS)
        psutil.wait_procs(everything, PATIENCE_SECONDS)
        assert not list(output.glob(f"lora-*/{FINISHED_FILE}"))

        head, process = ground.start()
        try:
            [again] = documents(head.run(*submit).stdout)
            assert again.job.id != first.job.id
            logs = head.run("sweep.jobs", "logs", again.job.id, "--cluster", head.url, "--follow")  # until it has ended
            assert "2 finished, 0 failed" in logs.stdout
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)
    assert (early.read_bytes(), early.stat().st_mtime_ns) == kept
    [finished] = output.glob(f"lora-*/{FINISHED_FILE}")
    never_stopped = rows_never_stopped(enumerate_trials(load_spec(str(spec)))[1], inputs)
    assert timeless(json.loads(finished.read_text(encoding="utf-8"))["rows"]) == timeless(never_stopped)
