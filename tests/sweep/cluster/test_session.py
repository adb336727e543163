"""Ray alone on this machine listens on loopback only; attached to a cluster, its nodes get this project's code."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from basis.directory import FINISHED_FILE
from basis.errors import RayDiedError, UserError
from basis.packages import ROOT
from sweep.cluster.environment import LOCAL
from sweep.cluster.probe import ask_cluster, await_resources, settled, usable_kinds
from sweep.cluster.resources import check_gpus, check_precisions, usable_gpus
from sweep.machine.gpu_facts import GpuFacts, MachineGpus, has_code
from sweep.schema.resources import Resources
from tests.conftest import PATIENCE_SECONDS, Here, Parts
from tests.gpus import A100, H100, T4, V100

PORT = 26_379
ON_LOOPBACK = {**os.environ, **LOCAL, "RAY_AUTH_MODE": "token"}


def run(script: str, folder: Path = ROOT) -> str:
    command = [sys.executable, "-P", "-c", script]  # as a console script: what lies in `folder` is not on the path
    environment = {**ON_LOOPBACK, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_a_local_session_listens_on_loopback_only_and_fits_resources_to_the_machine() -> None:
    script = """
import os, subprocess
from sweep.cluster.environment import set_ray_environment
set_ray_environment(None)
from sweep.machine.hardware import allowed_cpus
from sweep.cluster.session import find_device, fit_resources, ray_session
from sweep.schema.resources import Resources
import psutil
with ray_session(None, dashboard=False, memory_bytes=2**60) as dashboard:
    assert dashboard is None
    ours = psutil.Process().children(recursive=True)
    listening = {c.laddr.ip for p in ours for c in p.net_connections('inet') if c.status == 'LISTEN'}
    print(*listening)
    fitted, remark = fit_resources(Resources(cpu="auto", gpu="auto"), None)
    print(fitted.gpu, fitted.cpu == min(4, allowed_cpus()), remark)
    total = psutil.virtual_memory().total
    print(2**30 < find_device(fitted, 2**60).capacity_bytes < total, find_device(fitted, 2**30).capacity_bytes == 2**30)
"""
    addresses, resources, memory = run(script).splitlines()[-3:]
    assert memory == "True True"
    assert addresses
    assert set(addresses.split()) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert resources == "0.0 True no GPU here, so trials run on CPU"


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
    head.wait(PATIENCE_SECONDS)


@pytest.mark.slow
def test_a_clusters_nodes_get_the_code_sent_along_and_their_gpus_are_counted(cluster: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    script = f"""
from sweep.cluster.environment import set_ray_environment
set_ray_environment({cluster!r})
import ray
from sweep.cluster.probe import ask_cluster
from basis.errors import RayDiedError, UserError
from sweep.cluster.session import fit_resources, ray_session
from sweep.schema.resources import Resources
with ray_session({cluster!r}, dashboard=False):
    @ray.remote
    def where():
        import analysis.tables.comparison_table, model.sft, sweep.trial.config, sweep.spec_file.presets
        return sweep.trial.config.__file__, sweep.spec_file.presets.preset_names()
    print(*ray.get(where.remote()))
    print(fit_resources(Resources(cpu=1, gpu=0.5), {cluster!r}))
    try: fit_resources(Resources(cpu=4, gpu=1), {cluster!r})
    except UserError as error: print(error)
    print([node["Resources"]["GPU"] for node in ask_cluster({cluster!r})])
"""
    code, fitted, missing, asked = run(script, tmp_path).splitlines()[-4:]
    assert "py_modules" in code
    assert "study" in code
    assert fitted == "(Resources(cpu=1.0, gpu=0.5), None)"
    assert missing.startswith("resources: 4 CPU, 1 GPU is more than any node of the cluster has")
    assert asked == "[1.0]"


@pytest.mark.slow
def test_a_sweep_runs_on_a_cluster_that_is_already_there(cluster: str, parts: Parts, tmp_path: Path) -> None:
    spec = parts.write_spec(tmp_path, resources={"cpu": 2})  # one at a time, in one worker
    command = [sys.executable, "-m", "sweep.run", str(spec), "--address", cluster, "--output", str(tmp_path / "out")]
    environment = {**ON_LOOPBACK, "SFT_SWEEP_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert "2 finished, 0 failed" in ran.stdout
    assert len(list((tmp_path / "out").glob(f"*/{FINISHED_FILE}"))) == 2


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", r"--address 127.0.0.1:1: no Ray cluster can be reached there \(.*refused"),
        ("127.0.0.1:99999", r"--address 127.0.0.1:99999: no Ray cluster can be reached there"),
        ("no-such-host.invalid:6379", r"--address no-such-host.invalid:6379: no Ray cluster can be reached there"),
    ],
)
def test_a_cluster_that_is_not_there_is_named_at_once(
    address: str, message: str, parts: Parts, here: Here, tmp_path: Path
) -> None:
    code, _, errors = here(parts.write_spec(tmp_path), "--address", address, "--output", tmp_path / "experiment")
    assert code == 2
    assert re.search(message, errors), errors
    assert len(errors.splitlines()) == 1


def test_something_that_answers_and_is_no_ray_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.cluster.probe.ANSWER_SECONDS", 3)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(UserError, match=rf"--address {address}: .* \(no answer within 3 s\); accepted: host:port"):
            ask_cluster(address)
    assert time.monotonic() - began < 20


def node(cpus: float, gpus: float = 0, **labels: str) -> dict[str, Any]:
    return {"Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}, "Labels": labels}


@pytest.mark.parametrize(
    ("wanted", "key"),
    [({"cpu": 1000}, "resources.cpu: 1000"), ({"cpu": 8, "gpu": 1}, "resources: 8 CPU, 1 GPU")],
)
def test_what_no_node_has_is_refused_unless_an_autoscaler_may_bring_it(wanted: dict[str, float], key: str) -> None:
    nodes = [node(8), node(2, 2)]
    with pytest.raises(UserError, match=rf"{key}.* is more than any node .* its nodes have 8 CPU, 0 GPU; 2 CPU, 2 GPU"):
        await_resources(nodes, Resources(**wanted))
    grows = [*nodes, node(0, **{"ray.io/node-group": "head"})]
    assert "trials wait until the cluster has grown" in (await_resources(grows, Resources(**wanted)) or "")
    assert await_resources(nodes, Resources(cpu=2, gpu=1)) is None


@pytest.mark.parametrize(
    ("nodes", "gpu", "cpus"),
    [
        ([node(8), node(2, 2)], 0, 4),
        ([node(8), node(2, 2)], 1, 2),
        ([node(0.5)], "auto", 0.5),
        ([node(0.5)], "share", 0.5),
        ([node(0)], 0, 4),
    ],
)
def test_auto_takes_what_the_largest_node_has_up_to_four(nodes: list[Any], gpu: Any, cpus: float) -> None:
    assert settled(nodes, Resources(cpu="auto", gpu=gpu)).cpu == cpus


def test_a_gpu_is_refused_where_there_is_none_unless_trials_may_run_without() -> None:
    with pytest.raises(UserError, match=r"gpu: 0.5 is more than the 0 GPUs of this machine; accepted: 0, or auto"):
        check_gpus(Resources(gpu=0.5).least_gpu, 0)
    for gpu in ("auto", "share", 0):
        check_gpus(Resources(gpu=gpu).least_gpu, 0)
    check_gpus(Resources(gpu=1).least_gpu, 2)


def test_faults_of_ray_are_told_from_those_of_ours() -> None:
    from ray.exceptions import OutOfMemoryError
    from ray.tune import TuneError

    from sweep.tune.endings import faults_of_ray_told

    gave_up = TuneError("The Ray Tune run failed.")
    gave_up.__cause__ = OutOfMemoryError("Task was killed due to the node running low on memory.\nand so on")
    with pytest.raises(RayDiedError, match="OutOfMemoryError: Task was killed"), faults_of_ray_told():
        raise gave_up
    with pytest.raises(ZeroDivisionError), faults_of_ray_told():
        raise ZeroDivisionError


WHEEL = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
OLD_DRIVER = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by"


def seen(*gpus: GpuFacts, failure: str = "") -> MachineGpus:
    """What a CUDA build of torch would say of such GPUs."""
    told = [replace(gpu, supported=has_code(WHEEL, gpu.capability)) for gpu in gpus]
    return MachineGpus(tuple(told), "2.13.0+cu130", WHEEL, failure)


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (
            seen(V100),
            r"torch 2.13.0\+cu130 has no code for Tesla V100.* \(sm_70\), only for sm_75, sm_80, .*; accepted: a",
        ),
        (
            seen(A100, V100),
            r"torch .* has no code for Tesla V100.*; accepted: a build of torch for it, CUDA_VISIBLE_DEVICES without",
        ),
        (
            seen(failure=OLD_DRIVER),
            r"CUDA does not start \(The NVIDIA driver on your system is too old \(found version",
        ),
        (
            MachineGpus((), "2.13.0+cpu"),
            r"torch 2.13.0\+cpu is built without CUDA .*; accepted: a CUDA build of torch, ",
        ),
        (seen(), r"1 is more than the 0 GPUs of this machine; accepted: 0, or auto"),
    ],
)
def test_what_torch_cant_do_on_a_machines_gpus_is_one_line(there: MachineGpus, message: str) -> None:
    with pytest.raises(UserError, match=rf"^resources.gpu: {message}") as refused:
        usable_gpus(there, Resources(gpu=1), pytest.fail)
    assert len(str(refused.value).splitlines()) == 1


def test_gpu_auto_runs_on_cpu_where_torch_is_built_for_it_and_says_so() -> None:
    said: list[str] = []
    assert usable_gpus(MachineGpus((), "2.13.0+cpu"), Resources(gpu="auto"), said.append) == ()
    assert said == ["torch 2.13.0+cpu is built without CUDA and can't use a GPU of this machine: trials run on CPU"]
    assert usable_gpus(seen(T4, A100), Resources(gpu="auto"), pytest.fail) == (T4, A100)
    with pytest.raises(UserError, match="CUDA does not start"):
        usable_gpus(seen(failure=OLD_DRIVER), Resources(gpu="auto"), pytest.fail)


def test_of_a_cluster_one_gpu_of_each_kind_of_node_counts_and_what_nobody_could_ask_is_said() -> None:
    said: list[str] = []
    kinds = {"A100 x 8, 96 CPUs": seen(A100), "T4 x 1, 8 CPUs": seen(T4), "H100 x 8, 96 CPUs": None}
    assert usable_kinds(kinds, grows=True, say=said.append) == ((A100, T4), False)
    assert said[0].startswith("nodes with H100 x 8, 96 CPUs: no GPU is free there")
    assert said[1].startswith("nodes that the autoscaler starts later are not asked")
    with pytest.raises(UserError, match=r"^resources.gpu: on nodes with V100 x 1 torch .* has no code for Tesla V100"):
        usable_kinds({"V100 x 1": seen(V100)}, grows=False, say=pytest.fail)
    with pytest.raises(UserError, match=r"^resources.gpu: on nodes with T4 x 1 torch 2.13.0\+cpu finds no GPU"):
        usable_kinds({"T4 x 1": MachineGpus((), "2.13.0+cpu")}, grows=False, say=pytest.fail)


@pytest.mark.slow
def test_the_gpus_of_a_clusters_nodes_are_asked_where_they_are(cluster: str, parts: Parts, tmp_path: Path) -> None:
    spec = parts.write_spec(tmp_path, resources={"cpu": 1, "gpu": 1})
    command = [sys.executable, "-m", "sweep.run", str(spec), "--address", cluster, "--output", str(tmp_path / "out")]
    environment = {**ON_LOOPBACK, "SFT_SWEEP_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert ran.returncode == 2, ran.stdout
    assert re.fullmatch(r"error: resources.gpu: on nodes with GPU x 1, 2 CPUs torch \S+ finds no GPU.*\n", ran.stderr)
    assert not (tmp_path / "cache" / "tokens").exists()


def test_a_precision_that_some_gpu_lacks_is_refused_by_name() -> None:
    with pytest.raises(
        UserError, match=r"^precision bf16: Tesla T4 has no bf16 arithmetic; accepted there: fp32, fp16 or"
    ):
        check_precisions(["fp32", "bf16"], [A100, T4])
    check_precisions(["fp32", "tf32", "bf16", "fp16", "auto"], [H100, A100])
    check_precisions(["fp32", "fp16", "auto"], [T4, V100])
