"""What a GPU is and what trials can do on it, as plain values."""

from collections.abc import Collection
from dataclasses import dataclass

from basis.fields import PRECISIONS, Precision, PrecisionChoice

LEAST_CAPABILITY: dict[Precision, tuple[int, int]] = {"fp32": (0, 0), "tf32": (8, 0), "bf16": (8, 0), "fp16": (7, 0)}
"""From which compute capability on a GPU has tensor cores for a precision (CUDA C++ Programming Guide, table of
arithmetic throughput; `torch.cuda.is_bf16_supported` of torch 2.13 has the same bound). fp32 needs none."""

CPU_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
"""What a trial on a CPU may ask for. Where the CPU lacks bf16 or fp16, torch emulates them."""


def precisions_of(capability: tuple[int, int]) -> tuple[Precision, ...]:
    """What a GPU of some compute capability has arithmetic for: its tensor cores, and fp32."""
    return tuple(name for name in PRECISIONS if capability >= LEAST_CAPABILITY[name])


def lacking(precision: PrecisionChoice, device: str, has: Collection[Precision]) -> str | None:
    """Why a trial can't compute in a precision, and what would be accepted; None if it can.

    Args:
        precision: that of the trial; `auto` asks for nothing in particular.
        device: its name, for the message.
        has: what the device has arithmetic for.
    """
    if precision == "auto" or precision in has:
        return None
    return f"precision {precision}: {device} has no {precision} arithmetic; accepted there: {', '.join(has)} or auto"


@dataclass(frozen=True)
class GpuFacts:
    """One GPU, or one MIG slice of a GPU, as torch on its machine describes it.

    Attributes:
        name: such as "NVIDIA A100-SXM4-80GB".
        capability: compute capability, such as (8, 0).
        total_bytes: its memory.
        free_bytes: its memory that nobody holds.
        multiprocessors: their number.
        clock_hz: the highest clock of a multiprocessor; 0 if unknown.
        memory_bytes_per_second: the most that its memory reads or writes; 0 if unknown.
        supported: whether torch on its machine has code for it.
    """

    name: str
    capability: tuple[int, int]
    total_bytes: int
    free_bytes: int
    multiprocessors: int
    clock_hz: float = 0.0
    memory_bytes_per_second: float = 0.0
    supported: bool = True

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """What it has arithmetic for."""
        return precisions_of(self.capability)


@dataclass(frozen=True)
class MachineGpus:
    """What torch on a machine says of its GPUs.

    Attributes:
        gpus: all that the process may see.
        torch: its version, such as "2.13.0+cu130".
        architectures: those that it has code for, such as "sm_80"; empty for a build without CUDA.
        failure: why CUDA does not start although there is a GPU, in torch's words; empty if it does.
        unusable: a GPU on which CUDA does not start, such as one that another process has filled, with torch's words.
    """

    gpus: tuple[GpuFacts, ...] = ()
    torch: str = ""
    architectures: tuple[str, ...] = ()
    failure: str = ""
    unusable: str = ""


NO_GPU = ("No CUDA GPUs are available", "No HIP GPUs are available", "Found no NVIDIA driver")
"""What torch says where there is no GPU, or none is visible."""


def machine_gpus() -> MachineGpus:
    """The GPUs that this process may see. Starts CUDA in it, on each of them."""
    import torch  # here alone: the values are used without torch

    architectures = tuple(torch.cuda.get_arch_list())
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:  # the latter from a build without CUDA
        said = _first_line(error)
        nothing = any(words in said for words in NO_GPU) or not architectures
        return MachineGpus((), torch.__version__, architectures, "" if nothing else said)
    gpus, unusable = [], ""
    for index in range(torch.cuda.device_count()):
        try:
            gpus.append(_gpu_facts(index, architectures))
        except RuntimeError as error:
            unusable = f"GPU {index} ({_first_line(error)})"
    return MachineGpus(tuple(gpus), torch.__version__, architectures, unusable=unusable)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _gpu_facts(index: int, architectures: Collection[str]) -> GpuFacts:
    import torch

    with torch.cuda.device(index):  # torch tells the clocks of the current device, whichever it is asked about
        told = torch.cuda.get_device_properties(index)
        free_bytes, _ = torch.cuda.mem_get_info(index)
        clock_hz, memory_hz = told.clock_rate * 1e3, told.memory_clock_rate * 1e3  # told in kHz
    capability = (told.major, told.minor)
    amd = torch.version.hip is not None  # whose capabilities are other numbers than NVIDIA's: its rates are unknown
    return GpuFacts(
        name=told.name,
        capability=capability,
        total_bytes=told.total_memory,
        free_bytes=free_bytes,
        multiprocessors=told.multi_processor_count,
        clock_hz=0.0 if amd else clock_hz,
        memory_bytes_per_second=2 * memory_hz * told.memory_bus_width / 8,  # twice a clock; bits
        supported=has_code(architectures, capability),
    )


def has_code(architectures: Collection[str], capability: tuple[int, int]) -> bool:
    """Whether code for some architectures runs on a GPU (CUDA C++ Programming Guide, binary and PTX compatibility).

    Machine code (sm_80) runs from its own capability on within the same major version, PTX (compute_80) on all later
    ones too, and what is specific to an architecture (sm_90a) there alone.

    Args:
        architectures: as `torch.cuda.get_arch_list` names them. Those of AMD's GPUs are not judged.
        capability: of the GPU.
    """
    return any(_runs_on(architecture, capability) for architecture in architectures)


def _runs_on(architecture: str, capability: tuple[int, int]) -> bool:
    kind, _, number = architecture.partition("_")
    if kind not in ("sm", "compute"):
        return True
    digits = number.rstrip("af")
    least = (int(digits[:-1]), int(digits[-1]))
    if number.endswith("a"):
        return capability == least
    return capability >= least and (kind == "compute" or capability[0] == least[0])
