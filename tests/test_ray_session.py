"""Ray alone on this machine listens on loopback only; attached to a cluster, its nodes get this project's code."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.errors import UserError
from sweep.names import FINISHED_FILE
from sweep.ray_environment import LOCAL, set_ray_environment
from tests.conftest import Parts

PORT = 26_379
ROOT = Path(__file__).parent.parent
ON_LOOPBACK = {**os.environ, **LOCAL, "RAY_AUTH_MODE": "token"}


def run(script: str, folder: Path = ROOT) -> str:
    command = [sys.executable, "-P", "-c", script]  # as a console script: what lies in `folder` is not on the path
    environment = {**ON_LOOPBACK, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_local_session_listens_on_loopback_only_and_fits_resources_to_the_machine() -> None:
    script = """
import os, subprocess
from sweep.ray_environment import set_ray_environment
set_ray_environment(None)
from sweep.hardware import allowed_cpus
from sweep.ray_session import find_device, fit_resources, ray_session
from sweep.spec import Resources
import psutil
with ray_session(None, dashboard=False, memory_bytes=2**60) as dashboard:
    assert dashboard is None
    ours = psutil.Process().children(recursive=True)
    listening = {c.laddr.ip for p in ours for c in p.net_connections('inet') if c.status == 'LISTEN'}
    print(*listening)
    fitted, remark = fit_resources(Resources(cpu=10_000, gpu=1), None)
    print(fitted.gpu, fitted.cpu == allowed_cpus(), remark)
    total = psutil.virtual_memory().total
    print(2**30 < find_device(fitted, 2**60).capacity_bytes < total, find_device(fitted, 2**30).capacity_bytes == 2**30)
"""
    addresses, resources, memory = run(script).splitlines()[-3:]
    assert memory == "True True"
    assert addresses
    assert set(addresses.split()) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert resources.startswith("0.0 True no GPU here, so trials run on CPU; ")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A running cluster of one node that declares a GPU, which is enough for scheduling."""
    ray = str(Path(sys.executable).parent / "ray")
    node = ["--node-ip-address=127.0.0.1", "--num-cpus=2", "--num-gpus=1", "--include-dashboard=false"]
    head = subprocess.Popen(
        [ray, "start", "--head", f"--port={PORT}", *node, "--disable-usage-stats", "--block"],
        env=ON_LOOPBACK,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert head.stdout is not None
    assert any("Ray runtime started" in line for line in head.stdout)
    yield f"127.0.0.1:{PORT}"
    head.terminate()
    head.wait(30)


def test_a_clusters_nodes_get_the_code_sent_along_and_their_gpus_are_counted(cluster: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    script = f"""
from sweep.ray_environment import set_ray_environment
set_ray_environment({cluster!r})
import ray
from sweep.errors import UserError
from sweep.ray_session import fit_resources, ray_session
from sweep.spec import Resources
with ray_session({cluster!r}, dashboard=False):
    @ray.remote
    def where():
        import analysis.tables, model.sft, sweep.trial, sweep.load_spec
        return sweep.trial.__file__, sweep.load_spec.preset_names()
    print(*ray.get(where.remote()))
    print(fit_resources(Resources(cpu=1, gpu=0.5), {cluster!r}))
    print(fit_resources(Resources(cpu=4, gpu=1), {cluster!r}))
    try: fit_resources(Resources(gpu=2), None)
    except UserError as error: print(error)
"""
    code, fitted, wanted, refused = run(script, tmp_path).splitlines()[-4:]
    assert "py_modules" in code
    assert "study" in code
    assert fitted == "(Resources(cpu=1.0, gpu=0.5), None)"
    assert wanted.startswith('(Resources(cpu=4.0, gpu=1.0), "no node has 4 CPU and 1 GPU yet: trials wait')
    assert refused == "resources.gpu: 2 is more than the 1 of this machine"


def test_a_sweep_runs_on_a_cluster_that_is_already_there(cluster: str, parts: Parts, tmp_path: Path) -> None:
    spec = parts.write_spec(tmp_path, resources={"cpu": 1})
    command = [sys.executable, "-m", "sweep.run", str(spec), "--address", cluster, "--output", str(tmp_path / "out")]
    environment = {**ON_LOOPBACK, "SFT_SWEEP_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert "2 finished, 0 failed" in ran.stdout
    assert len(list((tmp_path / "out").glob(f"*/{FINISHED_FILE}"))) == 2


def test_a_cluster_that_is_not_there_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    set_ray_environment("127.0.0.1:1")
    from sweep.ray_session import ray_session

    attempt = ray_session("127.0.0.1:1", dashboard=False)
    with pytest.raises(UserError, match=r"--address 127.0.0.1:1: no Ray cluster can be reached there \(.*refused"):
        attempt.__enter__()
