"""A limit to a process's memory: allocations beyond it fail, are recognised, and the limit can be lifted."""

import subprocess
import sys

import pytest
import torch
from safetensors import SafetensorError
from torch._inductor.compile_worker.subproc_pool import SubprocException
from torch._inductor.exc import InductorError

from model.memory_limit import asked_bytes, ran_out_of_memory


class OtherError(Exception):
    """An error of a library that is neither a RuntimeError nor an OSError."""


UNDER_THE_LEAST = """
import torch
from model.memory_limit import limit_memory
from model.peak_meter import AllocationRecord, start_threads
torch.set_num_threads(4)
start_threads()
limit_memory(torch.device("cpu"), 6 * 2**20)  # a thread's stack takes 8
record = AllocationRecord()
record.start()
kept = torch.ones(2**18).exp()
record.stop()
print(record.highest // 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit for CPU processes is Linux's RLIMIT_DATA")
def test_a_process_whose_threads_have_started_works_and_measures_under_any_limit() -> None:
    ran = subprocess.run([sys.executable, "-c", UNDER_THE_LEAST], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.split()) == (0, ["2"]), ran.stderr


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
        (RuntimeError("could not create a primitive"), 0),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), 0),
        (RuntimeError("CUDA driver error: out of memory"), 0),
        (torch.AcceleratorError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"), 0),
        (SubprocException("RuntimeError: Triton Error [CUDA]: out of memory", "name"), 0),
        (InductorError(RuntimeError("CUDA driver error: out of memory"), None), 0),
        (OtherError("Triton Error [CUDA]: out of memory"), 0),
        (RuntimeError("std::bad_alloc"), 0),
        (RuntimeError("can't start new thread"), 0),
        (RuntimeError("Resource temporarily unavailable"), 0),  # what std::thread raises
        (RuntimeError("unable to mmap 4096 bytes from file </x>: Cannot allocate memory (12)"), 0),
        (BlockingIOError(11, "Resource temporarily unavailable"), 0),  # what fork raises
        (OSError(12, "Nicht genügend Hauptspeicher verfügbar"), 0),
        (ImportError("libx.so: failed to map segment from shared object"), 0),
        (SafetensorError("I/O error: Cannot allocate memory (os error 12)"), 0),
        (MemoryError("Unable to allocate 2.00 MiB for an array with shape (2097152,)"), 2 * 2**20),
        (MemoryError(), 0),
    ],
)
def test_what_libraries_raise_is_recognised(error: Exception, asked: int) -> None:
    assert ran_out_of_memory(error)
    assert asked_bytes(error) == asked


def test_what_is_raised_while_memory_runs_out_means_that_too() -> None:
    """A profiler or a file that is closed then finds itself unfinished."""
    out = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes. Error")
    raised, told = AssertionError(), KeyError("of its own")
    raised.__context__ = out
    told.__context__, told.__suppress_context__ = out, True  # as `from None` has it
    assert ran_out_of_memory(raised)
    assert asked_bytes(raised) == 4096
    assert not ran_out_of_memory(told)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes do not match"), ValueError("can't allocate memory"), OSError(2), AssertionError()]
)
def test_other_errors_are_not(error: Exception) -> None:
    assert not ran_out_of_memory(error)
