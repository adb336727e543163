"""A limit to what this process allocates for tensors, and how to recognise that memory has run out."""

import ctypes
import errno
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError

_ASKED = (
    re.compile(r"tried to allocate (\d+) bytes"),  # c10/core/impl/alloc_cpu.cpp
    re.compile(r"(?:Tried|Unable) to allocate ([\d.]+) (bytes|KiB|MiB|GiB)"),  # CUDA's caching allocator, NumPy
)
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIGNS = (
    "can't allocate memory",  # PyTorch's CPU allocator
    "not enough memory",
    "out of memory",  # CUDA's allocator, runtime and driver
    "_STATUS_ALLOC_FAILED",  # cuBLAS, cuDNN, cuSOLVER, cuSPARSE
    "CUBLAS_STATUS_NOT_INITIALIZED",  # what cuBLAS says when there is no room for its handle
    "HOST_ALLOCATION_FAILED",  # cuDNN
    "Cannot allocate memory",  # the system, when a file is mapped or a process is begun; also in Rust's words
    "failed to map segment",  # the loader, when a library is loaded
    "Resource temporarily unavailable",  # the system, when a thread is started in C++ or a process is begun
    "can't start new thread",  # Python, which does not ask why
    "std::bad_alloc",
    "could not create a memory",  # oneDNN: "... object", "... storage"
    "could not create a primitive",  # oneDNN again, whose code and scratchpads need memory
)
_SIGNS_OF_ANY_CLASS = (
    "CUDA out of memory",  # CUDA's allocator
    "CUDA error: out of memory",  # its runtime
    "CUDA driver error: out of memory",  # its driver, which maps the allocator's expandable segments
    "Triton Error [CUDA]: out of memory",  # when a compiled kernel is loaded
)
"""Not Python's own words, so they count in errors that wrap others too: inductor's SubprocException is no RuntimeError
(torch 2.13, torch/_inductor/compile_worker/subproc_pool.py)."""
_NO_ROOM = (errno.ENOMEM, errno.EAGAIN)  # EAGAIN is what fork says


def limit_memory(device: torch.device, limit_bytes: int | None) -> None:
    """Let this process allocate no more than `limit_bytes` from now on; None lifts the limit.

    On CUDA it is the most that the caching allocator may hold on the device, with what it holds already. On a CPU it is
    what the process may allocate on top of what it has now (RLIMIT_DATA, Linux alone; the soft limit, so it can be
    lifted again). Beyond it an allocation fails and can be recovered from.
    """
    if device.type == "cuda":
        if not torch.cuda.is_available():
            return  # the trial fails for that anyway
        total = torch.cuda.get_device_properties(device).total_memory
        share = 1.0 if limit_bytes is None else min(1.0, limit_bytes / total)
        torch.cuda.set_per_process_memory_fraction(share)  # of the one device that the process uses
    elif sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = hard if limit_bytes is None else _data_bytes() + limit_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def allocated_bytes(device: torch.device) -> int:
    """Bytes that tensors have on a GPU; 0 for a CPU, whose allocator keeps no count."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" and torch.cuda.is_available() else 0


def keep_large_tensors_apart() -> None:
    """Have the C library map every tensor of 8 MiB or more by itself, for good, so that gaps in its heap stay small.

    glibc raises this threshold to 32 MiB by itself, which is up to 5 % faster and takes up to twice the memory of the
    tensors. Under a tight limit the memory is worth more.
    """
    if sys.platform == "linux":
        M_MMAP_THRESHOLD = -3  # malloc.h
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 8 * 2**20)


def _data_bytes() -> int:
    """Private writable memory of this process, as RLIMIT_DATA counts it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmData:")[1].split()[0]) * 1024


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that there was no memory left, on a device or on the machine.

    Threads and processes that can't be started count, since what they lack is memory, or room that fewer trials side
    by side would leave. So does an error that was raised while such an exception was being handled.
    """
    return any(_means_no_memory(link) for link in _chain(error))


def asked_bytes(error: BaseException) -> int:
    """Bytes that the failed allocation asked for; 0 if the error does not say."""
    for link in _chain(error):
        for pattern in _ASKED:
            if asked := pattern.search(str(link)):
                number, unit = asked[1], asked[2] if pattern.groups > 1 else "bytes"
                return round(float(number) * _UNITS[unit])
    return 0


def _means_no_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return True
    said = str(error)
    if any(sign in said for sign in _SIGNS_OF_ANY_CLASS):
        return True
    return isinstance(error, (RuntimeError, OSError, ImportError, SafetensorError)) and any(s in said for s in _SIGNS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, what it was raised from or while handling, and so on."""
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link)
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
