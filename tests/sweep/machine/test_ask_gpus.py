"""What torch says of this machine's GPUs: asked in another process, and told in a line."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from basis.errors import UserError
from sweep.cluster.resources import flaw_of
from sweep.machine import ask_gpus
from sweep.machine.gpu_facts import GpuFacts, MachineGpus, has_code, machine_gpus
from sweep.memory.device import Device, gpu_device
from tests.conftest import Here, Parts
from tests.gpus import A100, GIB, H100, T4, V100

WHEEL = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
"""The architectures of torch 2.13's wheels (torch/cuda/__init__.py, PYTORCH_RELEASES_CODE_CC)."""

Told = Callable[..., MachineGpus]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Has the process that asks hear of some GPUs."""

    def tell(*gpus: GpuFacts, failure: str = "", seconds: float = 0) -> MachineGpus:
        known = tuple(replace(gpu, supported=has_code(WHEEL, gpu.capability)) for gpu in gpus)
        answer = MachineGpus(known, "2.13.0+cu130", WHEEL, failure)
        line = ask_gpus.ANSWER + json.dumps(asdict(answer))
        monkeypatch.setattr(ask_gpus, "GPU_FOLDERS", (Path("/"),))
        script = f"import time; time.sleep({seconds}); print('a warning'); print({line!r}); exit()\n"
        monkeypatch.setattr(ask_gpus, "BEFORE", script)
        return answer

    return tell


def test_all_gpus_are_asked_however_long_torch_takes_and_the_user_hears_of_it(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask_gpus, "SAY_SECONDS", 0.2)
    answer, said = told(H100, T4, seconds=1), list[str]()
    assert ask_gpus.ask_gpus(said.append) == answer
    assert said == ["torch is being loaded, to ask the GPUs of this machine what they can do"]


def test_nothing_is_asked_where_no_gpu_can_be_and_a_torch_that_does_not_load_is_named(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(H100)
    monkeypatch.setattr(ask_gpus, "BEFORE", "raise ImportError('libtorch is not there')\n")
    with pytest.raises(UserError, match="GPUs of this machine can't be asked: ImportError: libtorch is not there"):
        ask_gpus.ask_gpus(pytest.fail)
    monkeypatch.setattr(ask_gpus, "GPU_FOLDERS", ())
    assert ask_gpus.ask_gpus(pytest.fail) == MachineGpus()


def test_what_torch_says_becomes_facts_of_each_gpu_or_the_reason_why_there_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def properties(index: int) -> Any:
        gpu = (V100, A100)[index]
        words = {"clock_rate": 1e6, "memory_clock_rate": 1e6, "memory_bus_width": 8, "multi_processor_count": 1}
        major, minor = gpu.capability
        return SimpleNamespace(name=gpu.name, major=major, minor=minor, total_memory=gpu.total_bytes, **words)

    for name, answer in {
        "get_arch_list": lambda: list(WHEEL),
        "init": lambda: None,
        "device_count": lambda: 2,
        "device": lambda index: nullcontext(),
        "get_device_properties": properties,
        "mem_get_info": lambda index: (index * GIB, 0),
    }.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    assert [(gpu.name, gpu.supported, gpu.free_bytes) for gpu in machine_gpus().gpus] == [
        (V100.name, False, 0),
        (A100.name, True, GIB),
    ]

    def full(index: int) -> tuple[int, int]:
        if index == 1:
            raise RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")
        return GIB, 2 * GIB

    monkeypatch.setattr(torch.cuda, "mem_get_info", full)
    assert [gpu.name for gpu in machine_gpus().gpus] == [V100.name], "one GPU that is full hides no other"
    assert machine_gpus().unusable == "GPU 1 (CUDA error: out of memory)"
    assert "does not start on GPU 1 (CUDA error: out of memory); accepted: CUDA_VISIBLE_DEVICES without it" in str(
        flaw_of(machine_gpus())
    )
    for said, failure in (
        (
            "The NVIDIA driver on your system is too old (found version 11040).\nPlease",
            "too old (found version 11040).",
        ),
        ("No CUDA GPUs are available", ""),
    ):

        def init(said: str = said) -> None:
            raise RuntimeError(said)

        monkeypatch.setattr(torch.cuda, "init", init)
        assert machine_gpus().gpus == ()
        assert machine_gpus().failure.endswith(failure)


def test_code_runs_from_its_capability_on_within_a_major_version_and_ptx_beyond() -> None:
    assert [has_code(WHEEL, gpu.capability) for gpu in (V100, T4, A100, H100)] == [False, True, True, True]
    assert has_code(WHEEL, (8, 9))
    assert has_code(["compute_60"], V100.capability)
    assert has_code(["sm_90a"], (9, 0))
    assert not has_code(["sm_90a"], (9, 1))
    assert not has_code([], A100.capability)
    assert has_code(["gfx90a"], (9, 0))


def test_a_device_has_what_all_its_gpus_have_and_the_memory_of_the_smallest() -> None:
    mixed = gpu_device((A100, T4), None)
    assert (mixed.capacity_bytes, mixed.native_precisions) == (T4.free_bytes, ("fp32", "fp16"))
    assert gpu_device((A100, H100), 8 * GIB).capacity_bytes == 8 * GIB
    assert gpu_device((A100, H100), None).native_precisions == ("fp32", "tf32", "bf16", "fp16")
    assert gpu_device((), None).native_precisions == ("fp32",)
    assert Device("cpu").native_precisions[0] == "fp32"


def test_a_gpu_that_cant_run_the_trials_is_refused_before_anything_is_prepared(
    told: Told, here: Here, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.driver.launch.make_ready", lambda *_: pytest.fail("prepared"))
    bf16 = {**parts.spec()["trial"], "precision": "bf16"}
    spec = parts.write_spec(tmp_path, resources={"cpu": 1, "gpu": "auto"}, trial=bf16)
    for gpus, message in (
        ((V100,), "error: resources.gpu: torch 2.13.0+cu130 has no code for Tesla V100-SXM2-16GB (sm_70), only for "),
        ((A100, T4), "error: precision bf16: Tesla T4 has no bf16 arithmetic; accepted there: fp32, fp16 or auto\n"),
    ):
        told(*gpus)
        code, _, errors = here(spec, "--output", tmp_path / "experiment")
        assert (code, errors[: len(message)], len(errors.splitlines())) == (2, message, 1)
    assert not (tmp_path / "experiment").exists()


def test_a_spec_that_forgets_the_gpu_is_told_so_and_one_that_declines_it_is_not(
    told: Told, here: Here, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise UserError("stopped here")

    told(H100)
    monkeypatch.setattr("sweep.driver.launch.make_ready", stopped)
    for resources, is_told in (({"cpu": 1}, True), ({"cpu": 1, "gpu": 0}, False)):
        _, output, errors = here(parts.write_spec(tmp_path, resources=resources), "--output", tmp_path / "experiment")
        assert ("does not ask for a GPU; resources.gpu: auto does" in output + errors) == is_told


def test_a_dry_run_plans_for_the_smallest_gpu_of_this_machine(
    told: Told, here: Here, parts: Parts, tmp_path: Path
) -> None:
    told(A100, T4)
    code, out, errors = here(parts.write_spec(tmp_path, resources={"gpu": "auto"}), "--dry-run")
    assert code == 0, errors
    assert "of 14.50 GiB" in out
    told(V100)
    code, out, errors = here(parts.write_spec(tmp_path, resources={"gpu": "auto"}), "--dry-run")
    assert code == 0, errors
    assert "no trial can run here: torch 2.13.0+cu130 has no code for Tesla V100" in out
