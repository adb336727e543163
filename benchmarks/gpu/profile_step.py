"""The step's own time: its kernels, launches and gaps, the same as one CUDA graph, and a token of a response."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType  # type: ignore[attr-defined]  # where the profiler's documentation has it
from torch.profiler import ProfilerActivity, profile

from benchmarks import generation
from benchmarks.gpu.runs import Variant, build, wait
from benchmarks.measured import single, spread
from benchmarks.step_pace import status_bytes
from benchmarks.step_peers import step_windows
from benchmarks.step_shapes import Shape
from benchmarks.table import Row, Target
from model.batch import Batch
from model.generate import SamplingSettings, generate, uniform_draws

WARM_UP, BLOCKS, CALLS = 3, 3, 5
MOST_KERNELS = 25
FLOOR_TOKENS = 64
MIB = 2**20
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchCooperativeKernel")
"""What the names of calls begin with that start a kernel."""


@dataclass(frozen=True)
class Kernel:
    """What a profile says of all kernels of one name; on a CPU of an operator."""

    name: str
    ms: float
    count: int


@dataclass(frozen=True)
class Profile:
    """The kernels of one call, those that take most first, and the calls that launched them; on a CPU none."""

    kernels: list[Kernel]
    launches: int

    @property
    def ms(self) -> float:
        """What all of them take together."""
        return sum(kernel.ms for kernel in self.kernels)

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(kernel.count for kernel in self.kernels)


def profiled(work: Callable[[], object], device: torch.device) -> Profile:
    """Profile one call."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities, acc_events=True) as told:
        work()
        wait(device)
    kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
    averages = told.key_averages()
    kernels = [
        Kernel(event.key, (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1000, event.count)
        for event in averages
        if event.device_type == kind and not event.is_user_annotation
    ]
    launches = sum(event.count for event in averages if event.key.startswith(LAUNCHES))
    return Profile(sorted(kernels, key=lambda kernel: -kernel.ms), launches)


def wall_ms(work: Callable[[], object], device: torch.device) -> list[float]:
    """Milliseconds of a call, a figure for each block of calls; the device is waited for at a block's ends."""
    for _ in range(WARM_UP):
        work()
    blocks = []
    for _ in range(BLOCKS):
        wait(device)
        started = time.perf_counter()
        for _ in range(CALLS):
            work()
        wait(device)
        blocks.append(1000 * (time.perf_counter() - started) / CALLS)
    return blocks


def step(variant: Variant, shape: Shape, device: torch.device) -> Iterator[Row | Target]:
    """A step's time, its launch floor and its kernels."""
    run = build(variant, shape, device)
    windows = step_windows(shape, 1).to(device)
    short = windows[:1, : FLOOR_TOKENS + 1].contiguous()
    wall = wall_ms(lambda: run.train_step(Batch(windows)), device)
    yield spread(f"{shape}", "ms", wall)
    floor = wall_ms(lambda: run.train_step(Batch(short)), device)
    yield spread(f"launch floor: one window of {short.shape[1] - 1} tokens", "ms", floor)
    yield from kernel_rows(profiled(lambda: run.train_step(Batch(windows)), device), min(wall), device)


def kernel_rows(found: Profile, wall: float, device: torch.device) -> Iterator[Row]:
    """Rows of a profile: all kernels together, the idle share of `wall` ms, and the kernels that take most."""
    kind = "kernels" if device.type == "cuda" else "operators"
    yield single(f"all {kind}", "ms", found.ms, f"{found.count} of them, {found.launches} launches")
    if device.type == "cuda":
        yield single("idle", "share", 1 - found.ms / wall)
    for kernel in found.kernels[:MOST_KERNELS]:
        yield single(kernel.name[:120], "ms", kernel.ms, f"{kernel.count} times")


def as_one_graph(variant: Variant, shape: Shape, device: torch.device) -> Iterator[Row | Target]:
    """The whole step captured as a CUDA graph and replayed, beside the step as it is."""
    run = build(variant, shape, device)
    windows = step_windows(shape, 1).to(device)
    eager = wall_ms(lambda: run.train_step(Batch(windows)), device)
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            group["capturable"] = True
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # as torch's notes on CUDA graphs have it: warm up on another stream
        for _ in range(WARM_UP):
            run.train_step(Batch(windows))
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = run.train_step(Batch(windows))
    replayed = wall_ms(graph.replay, device)
    yield spread("eager", "ms", eager)
    yield spread("replayed", "ms", replayed, f"loss {float(loss):.3f}")


def responses(size: generation.Size, device: torch.device) -> Iterator[Row | Target]:
    """What a new token of one batch of prompts takes, in fp32 as trials are judged."""
    with device:
        model = generation.random_model(size)
    prompts = generation.random_prompts(size.prompts)
    settings = SamplingSettings(size.new_tokens, generation.TEMPERATURE, generation.TOP_K)
    draws = uniform_draws(0, len(prompts), size.new_tokens)

    def work() -> object:
        return generate(model, prompts, draws, settings, [generation.END])

    work()
    per_token = []
    for _ in range(BLOCKS):
        started = time.perf_counter()
        work()  # the device is waited for: it returns numbers
        per_token.append(1000 * (time.perf_counter() - started) / size.new_tokens)
    yield spread("new token", "ms", per_token)
    found = profiled(work, device)
    kind = "kernels" if device.type == "cuda" else "operators"
    note = f"{found.count / size.new_tokens:.0f} of them, {found.launches / size.new_tokens:.0f} launches"
    yield single(f"all {kind} of a new token", "ms", found.ms / size.new_tokens, note)


def beside_tensors(device: torch.device) -> Iterator[Row | Target]:
    """What this process takes of the device's memory beside tensors, after all kernels above have been loaded."""
    from sweep.memory.packing import PROCESS_BYTES  # here alone: it needs pydantic, which no other section does

    reckoned = PROCESS_BYTES["cuda" if device.type == "cuda" else "cpu"] / MIB
    if device.type != "cuda":
        note = f"with tensors, which are small here; a sweep reckons with {reckoned:.0f} MiB"
        yield single("resident memory of this process", "MiB", status_bytes("VmRSS") / MIB, note)
        return
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    beside = (total - free - torch.cuda.memory_reserved()) / MIB
    yield single("CUDA context and kernels", "MiB", beside, f"a sweep reckons with {reckoned:.0f} MiB")
    yield Target("MiB beside tensors, if nobody else uses the GPU", beside, reckoned, at_least=False)
