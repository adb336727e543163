"""A limit to a process's memory: allocations beyond it fail, are recognised, and the limit can be lifted."""

import subprocess
import sys

import pytest
import torch

from model.memory_limit import asked_bytes, ran_out_of_memory

SCRIPT = """
import torch
from model.memory_limit import asked_bytes, limit_memory, ran_out_of_memory
cpu = torch.device("cpu")
limit_memory(cpu, 200 * 2**20)
kept = torch.ones(25 * 2**20)
try:
    torch.ones(50 * 2**20)
except RuntimeError as error:
    print(ran_out_of_memory(error), asked_bytes(error) // 2**20)
small = torch.ones(2**20)
limit_memory(cpu, None)
print(int(torch.ones(50 * 2**20).sum()) // 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit for CPU processes is Linux's RLIMIT_DATA")
def test_beyond_the_limit_an_allocation_fails_and_the_process_goes_on() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "200", "50"]


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total"), 3 * 2**29),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), 20 * 2**20),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 512 bytes."), 512),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes. Error"), 4096),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), 0),
        (RuntimeError("could not create a memory object"), 0),
        (OSError(12, "Cannot allocate memory"), 0),
        (MemoryError(), 0),
    ],
)
def test_what_libraries_raise_is_recognised(error: Exception, asked: int) -> None:
    assert ran_out_of_memory(error)
    assert asked_bytes(error) == asked


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes do not match"), ValueError("can't allocate memory"), OSError(2)]
)
def test_other_errors_are_not(error: Exception) -> None:
    assert not ran_out_of_memory(error)
