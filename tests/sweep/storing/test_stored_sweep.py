"""The real command with --output in object storage: begun, killed, gone on with elsewhere, and read back."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from basis.packages import ROOT
from tests.conftest import Parts, command, run, wait_for
from tests.object_store import ENVIRONMENT, ObjectStore, away_for, object_store
from tests.warm import run_warm


@pytest.fixture(scope="module")
def bucket() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture
def machine(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a machine with an empty disk."""
    return of_machine(environment, tmp_path / "machine")


def of_machine(environment: dict[str, str], cache: Path) -> dict[str, str]:
    return {**environment, **ENVIRONMENT, "SFT_SWEEP_CACHE": str(cache)}


@pytest.mark.slow
def test_a_sweep_whose_machine_dies_goes_on_on_another_one_and_is_read_back_on_a_third(
    parts: Parts, bucket: ObjectStore, environment: dict[str, str], tmp_path: Path
) -> None:
    spec = parts.write_spec(tmp_path, reward={"model": None})
    address = bucket.address("killed/one")
    with (tmp_path / "said").open("w") as said:
        driver = subprocess.Popen(
            command(spec, "--output", address),
            cwd=ROOT,
            env=of_machine(environment, tmp_path / "first"),
            stdout=said,
            stderr=said,
            start_new_session=True,
        )

    def some_trial_is_there() -> bool:
        assert driver.poll() is None, (tmp_path / "said").read_text()
        return any(name.endswith("/params.json") for name in bucket.names("killed/one"))

    wait_for(some_trial_is_there)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    outage_seconds = 15  # longer than a request is tried again; what sends has nobody left to tell of it
    bucket.fails = away_for(outage_seconds)
    time.sleep(outage_seconds)
    for _ in range(30):  # until the claim of the killed one is void, or what sends has ended
        gone = run(of_machine(environment, tmp_path / "second"), "--resume", address)
        if gone.returncode != 2:
            break
        assert "another sweep writes there" in gone.stderr, gone.stderr
        time.sleep(5)
    assert gone.returncode == 0, gone.stderr
    assert "stored: " in gone.stdout
    whole = bucket.objects("killed/one")
    assert {"spec.yaml", "sweep.json", "events.jsonl", "report/report.html"} <= whole.keys()
    assert not [name for name in whole if name.startswith(".") or name.endswith((".lock", ".partial"))]
    trials = {name.partition("/")[0] for name in whole if name.endswith("/finished.json")}
    assert {name.partition("/")[0] for name in whole if name.endswith("/trained.safetensors")} == trials
    assert len(trials) == 2

    # Read back by a third machine that has nothing: its report, and one trial, whose losses never stopping gives too.
    third = of_machine(environment, tmp_path / "third")
    report = run_warm(["analysis.report", address, "--json"], third)
    assert report.returncode == 0, report.stderr
    assert json.loads(report.stdout)["boards"]
    assert not list((tmp_path / "third").rglob("*.safetensors"))
    plan = run(third, "--resume", address, "--dry-run", "--json")
    assert len(json.loads(plan.stdout)["trials"]) == 2, plan.stderr
    trial = min(trials)
    again = run(third, "--reproduce", address.replace("?", f"/{trial}?"))
    assert again.returncode == 0, again.stderr
    assert [path.parent.name for path in (tmp_path / "third").rglob("trained.safetensors")] == [trial]

    # A fourth one exports the winner, and goes on with what is finished: it gets the weights of the one trial.
    fourth = of_machine(environment, tmp_path / "fourth")
    words = command("--resume", address, "--json", "--max-trials", 1)
    with subprocess.Popen(words, cwd=ROOT, env=fourth, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as goes_on:
        assert goes_on.stdout is not None
        assert goes_on.stderr is not None
        while json.loads(end := goes_on.stdout.readline())["document"] != "end":
            pass
        sent = len(bucket.seen)
        remarks = goes_on.stderr.read().decode()
    assert goes_on.returncode == 0, remarks
    assert (json.loads(end)["directory"], json.loads(end)["exit_code"]) == (address, 0)
    assert not [line for line in bucket.seen[sent:] if line.startswith("PUT")], "all of it is sent by then"
    assert "trained again" not in remarks
    assert "Report: s3://sweeps/killed/one/report/report.html, here " in remarks
    assert not list((tmp_path / "fourth").rglob("*.safetensors"))
    exported = run_warm(["sweep.export", address, "--to", tmp_path / "winner"], fourth)
    assert exported.returncode == 0, exported.stderr
    assert len(list((tmp_path / "fourth").rglob("trained.safetensors"))) == 1
    bucket.delete(f"killed/one/{trial}/trained.safetensors")
    arm = "full adamw" if trial.startswith("full") else "lora r2 sgd"
    gone_weights = run_warm(["sweep.export", address, "--arm", arm, "--to", tmp_path / "lost"], third)
    assert gone_weights.returncode == 2
    [line] = gone_weights.stderr.splitlines()
    assert f"/{trial}/trained.safetensors: the weights of {arm} are not there" in line
    assert f"--resume '{address}' trains it again" in line


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s4://sweeps/one", "unknown scheme s4"),
        ("s3://no-such-bucket/one?{door}", "there is no such bucket"),
        ("s3://sweeps/full?{door}", "is not empty; name a new folder, or continue it with --resume"),
        ("s3://AKIA:secret@sweeps/one", "has keys in it"),
    ],
)
def test_an_output_that_can_not_be_is_refused_in_a_line_and_nothing_is_left(
    parts: Parts, bucket: ObjectStore, machine: dict[str, str], tmp_path: Path, address: str, said: str
) -> None:
    bucket.put("full/somebody-elses", b"file")
    spec = parts.write_spec(tmp_path)
    refused = run(machine, spec, "--output", address.format(door=f"endpoint_override={bucket.endpoint}"))
    assert refused.returncode == 2
    [line] = refused.stderr.splitlines()
    assert said in line
    assert "secret@" not in refused.stdout + refused.stderr
    assert bucket.objects("one") == {}
    assert bucket.objects("full") == {"somebody-elses": b"file"}
