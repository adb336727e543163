"""Two users of one cluster: each has a sweep, a cache and a share, and neither waits for the other."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from basis.directory import FINISHED_FILE
from tests.conftest import Parts
from tests.sweep.submission.conftest import Head
from tests.sweep.test_interrupted_sweeps import LONG
from tests.sweep.test_json_output import documents


@pytest.mark.slow
def test_sweeps_of_two_users_run_at_once_each_within_its_share(
    head: Head, parts: Parts, tmp_path: Path, shared: Path
) -> None:
    def submit(user: str, seeds: list[int]) -> tuple[str, Path]:
        (tmp_path / user).mkdir()
        spec = parts.write_spec(
            tmp_path / user,
            space={"method": "full", "optimizer": "adamw", "lr": 1e-3},
            seeds=seeds,
            trial={**LONG, "steps": 1500},  # longer than one sweep may begin after the other
            reward={"model": None},
        )
        output, cache = shared / user / "out", shared / user / "cache"
        words = ("--cluster", head.url, "--output", output, "--max-trials", 1, "--env", "SFT_SWEEP_CACHE", "--json")
        [sent] = documents(head.run("sweep.submit", spec, *words, SFT_SWEEP_CACHE=str(cache)).stdout)
        return sent.job.id, output

    with ThreadPoolExecutor() as users:
        jobs = dict(users.map(submit, ("ada", "bob"), ([0, 1], [2, 3])))
    for job in jobs:
        head.run("sweep.jobs", "logs", job, "--cluster", head.url, "--follow")  # until it has ended
    [listed] = documents(head.run("sweep.jobs", "list", "--cluster", head.url, "--json").stdout)
    assert {job.state for job in listed.jobs if job.id in jobs} == {"done"}
    spans = []
    for output in jobs.values():
        trials = [json.loads(path.read_text(encoding="utf-8"))["rows"] for path in output.glob(f"*/{FINISHED_FILE}")]
        first, second = sorted((rows[0]["clock_seconds"], rows[-1]["clock_seconds"]) for rows in trials)
        assert first[1] < second[0]  # one at a time
        spans.append((first[0], second[1]))
    (begun, over), (also_begun, also_over) = spans
    assert max(begun, also_begun) < min(over, also_over)
