"""Where the time of a step goes, and what its parts could take by themselves."""

from collections.abc import Iterator

import torch

from benchmarks import generation
from benchmarks.gpu.parts import rows_or_failure
from benchmarks.gpu.profile_kernels import QUICK_SIZES, SIZES, attention, ceilings, cross_entropy, thin_products
from benchmarks.gpu.profile_step import as_one_graph, beside_tensors, responses, step
from benchmarks.gpu.runs import MEDIUM, Variant, release
from benchmarks.gpu.stopwatch import Stopwatch
from benchmarks.step_shapes import SHAPES
from benchmarks.table import Row, Target

TITLE = "Where the time of a step goes"
SECONDS = 65
VARIANTS = (Variant(None, "bf16"), Variant(1, "bf16"))

ABOUT = """\
Steps are those of a trial: gpt2-medium at random weights, 8 x 1024 tokens, bf16. *Kernels* are the device's work of one
step as torch.profiler tells it, copies and fills included, the 25 that take most in all; *launches* are the calls to
the driver that start kernels. *Idle* is the share of an unprofiled step's time in which no kernel runs, if kernels take
as long as under the profiler; *launch floor* is the time of a step on one window of 64 tokens, which is what Python and
the driver need. *As one graph* is the whole step captured once as a CUDA graph and replayed. Products and kernels by
themselves are timed by CUDA events around one call behind a product of 8192 x 8192 matrices, so that they are launched
before they start and find a cold cache; `median`, `lowest` and `highest` are of that many calls. *Thin products* are
the six of one adapter beside a projection of 1024 to 4096 features, forward and backward, of 8192 rows; *padded* pads A
and B with zeros to a multiple of 8 first, which is counted. *Beside tensors* is the GPU's memory that is taken and not
in torch's allocator; it is this process's own only if no other uses the GPU. On a CPU everything is tiny, operators
stand in for kernels, and torch.compile only traces."""


def measure(device: torch.device, quick: bool) -> Iterator[Row | Target]:
    """Measure one section after another; one that breaks says so in its row."""
    shape, sizes = (SHAPES["tiny"], QUICK_SIZES) if quick else (MEDIUM, SIZES)
    stopwatch = Stopwatch(device, quick)
    texts = generation.QUICK if quick else generation.MEDIUM
    sections = {
        **{f"step, {variant}": step(variant, shape, device) for variant in VARIANTS},
        "thin products": thin_products(stopwatch, sizes),
        "cross-entropy": cross_entropy(stopwatch, sizes),
        "attention": attention(stopwatch, sizes),
        "ceilings": ceilings(stopwatch, sizes),
        "generation": responses(texts, device),
        "beside tensors": beside_tensors(device),
    }
    if device.type == "cuda":  # last: a capture that fails may leave the device unusable
        sections |= {f"as one graph, {variant}": as_one_graph(variant, shape, device) for variant in VARIANTS}
    for section, rows in sections.items():
        for measured in rows_or_failure({}, lambda rows=rows: rows):  # type: ignore[misc]  # bound as it is now
            yield {"section": section, **measured} if isinstance(measured, dict) else measured
        release(device)
