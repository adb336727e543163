"""Ray alone on this machine listens on loopback only; attached to a cluster, its nodes get this project's code."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.errors import UserError
from sweep.ray_environment import LOCAL, set_ray_environment

PORT = 26_379
ROOT = Path(__file__).parent.parent
ON_LOOPBACK = {**os.environ, **LOCAL, "RAY_AUTH_MODE": "token"}


def run(script: str, folder: Path = ROOT) -> str:
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=folder, env=ON_LOOPBACK)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_local_session_listens_on_loopback_only_and_fits_resources_to_the_machine() -> None:
    script = """
import os, subprocess
from sweep.ray_environment import set_ray_environment
set_ray_environment(None)
from sweep.ray_session import fit_resources, ray_session
from sweep.spec import Resources
import psutil
with ray_session(None, dashboard=False) as dashboard:
    assert dashboard is None
    ours = psutil.Process().children(recursive=True)
    listening = {c.laddr.ip for p in ours for c in p.net_connections('inet') if c.status == 'LISTEN'}
    print(*listening)
    fitted, remark = fit_resources(Resources(cpu=10_000, gpu=1))
    print(fitted.gpu, fitted.cpu == os.cpu_count(), remark)
"""
    addresses, resources = run(script).splitlines()[-2:]
    assert addresses
    assert set(addresses.split()) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert resources.startswith("0.0 True no GPU here, so trials run on CPU; ")


@pytest.fixture
def cluster() -> Iterator[str]:
    command = ["ray", "start", "--head", f"--port={PORT}", "--node-ip-address=127.0.0.1", "--num-cpus=1", "--block"]
    head = subprocess.Popen(
        [
            str(Path(sys.executable).parent / command[0]),
            *command[1:],
            "--include-dashboard=false",
            "--disable-usage-stats",
        ],
        env=ON_LOOPBACK,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert head.stdout is not None
    for line in head.stdout:
        if "Ray runtime started" in line:
            break
    yield f"127.0.0.1:{PORT}"
    head.terminate()
    head.wait(30)


def test_a_cluster_gets_the_code_sent_along(cluster: str, tmp_path: Path) -> None:
    script = f"""
from sweep.ray_environment import set_ray_environment
set_ray_environment({cluster!r})
import ray
from sweep.ray_session import ray_session
with ray_session({cluster!r}, dashboard=False):
    @ray.remote
    def where():
        import analysis.tables, model.sft, sweep.trial, sweep.load_spec
        return sweep.trial.__file__, sweep.load_spec.preset_names()
    print(*ray.get(where.remote()))
"""
    path, presets = run(script, tmp_path).splitlines()[-1].split(" ", 1)
    assert "py_modules" in path
    assert "study" in presets


def test_a_cluster_that_is_not_there_is_named_at_once() -> None:
    set_ray_environment("127.0.0.1:1")
    from sweep.ray_session import ray_session

    attempt = ray_session("127.0.0.1:1", dashboard=False)
    with pytest.raises(UserError, match=r"--address 127.0.0.1:1: no Ray cluster can be reached there \(.*refused"):
        attempt.__enter__()
