"""sweep.machine.hardware: what of the machine is ours, as affinity and cgroups have it."""

import os
import platform
from pathlib import Path

import pytest

from sweep.machine import hardware
from sweep.machine.hardware import allowed_cpus, free_memory_bytes

GIB = 2**30
V2 = {"own": "0::/user.slice/job\n"}
V1 = {"own": "5:memory:/docker/ab\n3:cpuset:/\n2:cpu,cpuacct:/docker/ab\n"}


def plant(folder: Path, files: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """A cgroup file system of ours; 64 CPUs that this process is bound to, and memory without end."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n" if name != "own" else str(content), encoding="utf-8")
    monkeypatch.setattr(hardware, "CGROUPS", folder)
    monkeypatch.setattr(hardware, "OUR_CGROUPS", folder / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 64),
        ({**V2, "cpu.max": "max 100000"}, 64),
        ({**V2, "cpu.max": "250000 100000"}, 2),  # in a container, whose own cgroup is the top
        ({**V2, "user.slice/job/cpu.max": "max 100000", "user.slice/cpu.max": "600000 100000"}, 6),
        ({**V2, "user.slice/job/cpu.max": "50000 100000"}, 1),
        ({**V1, "cpu,cpuacct/cpu.cfs_quota_us": -1, "cpu,cpuacct/cpu.cfs_period_us": 100000}, 64),
        ({**V1, "cpu,cpuacct/cpu.cfs_quota_us": 300000, "cpu,cpuacct/cpu.cfs_period_us": 100000}, 3),
        ({**V1, "cpu/docker/ab/cpu.cfs_quota_us": 400000, "cpu/docker/ab/cpu.cfs_period_us": 100000}, 4),
    ],
)
def test_cpus_are_those_that_a_container_allows(
    files: dict[str, object], cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, files, monkeypatch)
    assert allowed_cpus() == cpus


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({**V2, "memory.max": GIB, "memory.current": GIB // 4, "memory.stat": "anon 1\ninactive_file 1024"}, 1024),
        ({**V2, "user.slice/memory.max": GIB, "user.slice/memory.current": GIB // 4}, 0),
        ({**V1, "memory/memory.limit_in_bytes": GIB, "memory/memory.usage_in_bytes": GIB // 4}, 0),
    ],
)
def test_memory_that_is_free_is_what_a_container_has_left(
    files: dict[str, object], free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, files, monkeypatch)
    assert free_memory_bytes() == GIB - GIB // 4 + free


def test_a_limit_without_end_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(
        tmp_path, {**V1, "memory/memory.limit_in_bytes": 2**63 - 4096, "memory/memory.usage_in_bytes": 5}, monkeypatch
    )
    assert GIB < free_memory_bytes() < 2**50


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: another\n", "AMD EPYC"),
        ("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n", f"{platform.machine()} 0x41 0xd40"),
        ("", platform.machine()),
    ],
)
def test_a_processor_has_the_name_or_the_numbers_that_linux_tells(
    cpuinfo: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")
    assert hardware.cpu_name.__wrapped__() == name
