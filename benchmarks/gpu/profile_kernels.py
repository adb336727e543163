"""What parts of a step take by themselves: products, cross-entropy, attention; and what the device can do at most."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu.parts import first_line
from benchmarks.gpu.stopwatch import Stopwatch
from benchmarks.measured import spread
from benchmarks.table import Row, Target
from model.cross_entropy import CHUNKING, PAD_COLUMNS, chunked_cross_entropy

RANKS = (1, 2, 3, 7, 8, 10, 16, 64, 100)
PAD_RANK = 8


@dataclass(frozen=True)
class Sizes:
    """The shapes of gpt2-medium on 8 x 1024 tokens, or tiny ones.

    Attributes:
        products: (rows, inner, columns) by what they are in a step.
        rows, width, vocabulary: of hidden states and the head.
        heads: of attention, beside `batch` windows of `length` tokens.
        copied: numbers of fp32 that are copied to find the memory's bandwidth.
    """

    products: dict[str, tuple[int, int, int]]
    batch: int
    length: int
    width: int
    heads: int
    vocabulary: int
    copied: int

    @property
    def rows(self) -> int:
        """Positions of a step."""
        return self.batch * self.length


SIZES = Sizes(
    products={
        "square": (8192, 8192, 8192),
        "attention in": (8192, 1024, 3072),
        "attention out": (8192, 1024, 1024),
        "mlp in": (8192, 1024, 4096),
        "mlp out": (8192, 4096, 1024),
        "weight gradient of mlp in": (1024, 8192, 4096),
        "head, one chunk": (2048, 1024, 50304),
        "head's gradient, one chunk": (2048, 50304, 1024),
    },
    batch=8,
    length=1024,
    width=1024,
    heads=16,
    vocabulary=50257,
    copied=2**29,
)
QUICK_SIZES = Sizes({"square": (64, 64, 64)}, batch=2, length=32, width=32, heads=2, vocabulary=503, copied=2**16)
MATMUL_PRECISION = {"fp32": "highest", "tf32": "high"}


def ceilings(stopwatch: Stopwatch, sizes: Sizes) -> Iterator[Row | Target]:
    """The bandwidth of a copy, and the speed of products as torch computes them in each number format."""
    yield _copy_row(stopwatch, sizes.copied)
    for what, shape in sizes.products.items():
        yield _product_row(stopwatch, f"bf16 {what}", shape, torch.bfloat16)
    before = torch.get_float32_matmul_precision()
    for format_name, precision in MATMUL_PRECISION.items():
        torch.set_float32_matmul_precision(precision)
        try:
            yield _product_row(stopwatch, f"{format_name} square", sizes.products["square"], torch.float32)
        finally:
            torch.set_float32_matmul_precision(before)


def _copy_row(stopwatch: Stopwatch, numbers: int) -> Row:
    source = torch.zeros(numbers, device=stopwatch.device)
    copy = torch.empty_like(source)
    moved_bytes = 2 * numbers * source.element_size()
    times = stopwatch.microseconds(lambda: copy.copy_(source))
    return spread("copy, read and written", "TB/s", [moved_bytes / us / 1e6 for us in times])


def _product_row(stopwatch: Stopwatch, what: str, shape: tuple[int, int, int], dtype: torch.dtype) -> Row:
    m, k, n = shape
    a, b = _random(stopwatch, m, k, dtype=dtype), _random(stopwatch, k, n, dtype=dtype)
    times = stopwatch.microseconds(lambda: a @ b)
    return spread(f"{what}, {m} x {k} x {n}", "TFLOP/s", [2 * m * k * n / us / 1e6 for us in times])


def _random(stopwatch: Stopwatch, *shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(*shape, device=stopwatch.device, dtype=dtype)


# ----------------------------------------------------------------------------------------------------- thin products


def thin_products(stopwatch: Stopwatch, sizes: Sizes) -> Iterator[Row | Target]:
    """The six products of an adapter, by rank, as they are and padded."""
    for rank in RANKS:
        for padded in (False, True) if rank % PAD_RANK else (False,):
            yield _adapter_row(stopwatch, sizes, rank, padded)


def _adapter_row(stopwatch: Stopwatch, sizes: Sizes, rank: int, padded: bool) -> Row:
    """The sum over the six products of `model.projection` that have a side of `rank`; the note has each.

    h (N, in), y and dy (N, out), dx (N, in); A (r, in), B (out, r).
    """
    features = 4 * sizes.width
    h, dx = _random(stopwatch, sizes.rows, sizes.width), _random(stopwatch, sizes.rows, sizes.width)
    y, dy = _random(stopwatch, sizes.rows, features), _random(stopwatch, sizes.rows, features)
    plain_A, plain_B = _random(stopwatch, rank, sizes.width), _random(stopwatch, features, rank)
    missing = -rank % PAD_RANK if padded else 0

    def pad_both() -> tuple[Tensor, Tensor]:
        return F.pad(plain_A, (0, 0, 0, missing)), F.pad(plain_B, (0, missing))

    A, B = pad_both() if padded else (plain_A, plain_B)
    low, dlow = h @ A.T, dy @ B
    products: dict[str, Callable[[], object]] = {
        "h A^T": lambda: h @ A.T,
        "y += low B^T": lambda: y.addmm_(low, B.T, alpha=0.1),
        "dy B": lambda: dy @ B,
        "dy^T low": lambda: dy.T @ low,
        "dx += dlow A": lambda: dx.addmm_(dlow, A, alpha=0.1),
        "dlow^T h": lambda: dlow.T @ h,
        **({"padding": pad_both} if padded else {}),
    }
    times = {product: stopwatch.microseconds(work) for product, work in products.items()}
    medians = ", ".join(f"{product} {statistics.median(each):.0f}" for product, each in times.items())
    layout = f"padded to {rank + missing}" if padded else "as it is"
    sums = [sum(call) for call in zip(*times.values(), strict=True)]
    return spread(f"rank {rank}, {layout}", "us", sums, medians)


# ----------------------------------------------------------------------------------------------------- cross-entropy


def cross_entropy(stopwatch: Stopwatch, sizes: Sizes) -> Iterator[Row | Target]:
    """The loss with its gradients, its products alone, and its softmax as it is and compiled."""
    for trains in (False, True):
        yield _loss_row(stopwatch, sizes, trains)
    rows = min(CHUNKING["cuda"].rows, sizes.rows)
    columns = -(-sizes.vocabulary // PAD_COLUMNS) * PAD_COLUMNS
    hidden, head = _random(stopwatch, rows, sizes.width), _random(stopwatch, columns, sizes.width)
    logits = _random(stopwatch, rows, columns)
    targets = torch.randint(sizes.vocabulary, (rows, 1), device=stopwatch.device)

    def products() -> None:
        torch.mm(hidden, head.T, out=logits)
        torch.mm(logits, head)

    chunk = f"a chunk of {rows} positions"
    yield spread(f"both products of {chunk}", "us", stopwatch.microseconds(products))
    plain = stopwatch.microseconds(lambda: loss_and_gradient(logits, targets))
    yield spread(f"softmax, loss and gradient of {chunk}, as torch runs it", "us", plain)
    fused = compiled_loss_and_gradient(stopwatch.device)
    times = stopwatch.microseconds(lambda: fused(logits, targets))
    yield spread(f"softmax, loss and gradient of {chunk}, compiled", "us", times)


def _loss_row(stopwatch: Stopwatch, sizes: Sizes, trains: bool) -> Row:
    """The loss as a step computes it, with the gradients of hidden states and of a head that trains."""
    x = _random(stopwatch, sizes.rows, sizes.width).requires_grad_()
    head = _random(stopwatch, sizes.vocabulary, sizes.width, dtype=torch.float32).requires_grad_(trains)
    targets = torch.randint(sizes.vocabulary, (sizes.rows,), device=stopwatch.device)
    times = stopwatch.microseconds(lambda: chunked_cross_entropy(targets, (x, head)))
    return spread(f"loss and gradients of {sizes.rows} positions, head {'trains' if trains else 'frozen'}", "us", times)


def loss_and_gradient(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The summed cross-entropy of `logits` (R, P) for `targets` (R, 1) in fp32, and its gradient in their dtype."""
    z = logits.float()
    loss = (z.logsumexp(1) - z.gather(1, targets)[:, 0]).sum()
    hit = torch.arange(z.shape[1], device=z.device) == targets  # (R, P)
    return loss, (z.softmax(1) - hit.to(z.dtype)).to(logits.dtype)


def compiled_loss_and_gradient(device: torch.device) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The same, compiled; on a CPU only traced."""
    return torch.compile(loss_and_gradient, dynamic=False, backend="inductor" if device.type == "cuda" else "eager")


# --------------------------------------------------------------------------------------------------------- attention


def attention(stopwatch: Stopwatch, sizes: Sizes) -> Iterator[Row | Target]:
    """Causal attention forward and with backward, by the backend that torch chooses and by each by itself."""
    backends = {
        "as chosen": None,
        "cuDNN": SDPBackend.CUDNN_ATTENTION,
        "flash": SDPBackend.FLASH_ATTENTION,
        "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    }
    for dtype in (torch.bfloat16, torch.float32):
        for what, backend in backends.items():
            named = f"{'bf16' if dtype == torch.bfloat16 else 'fp32'}, {what}"
            try:
                yield from _attention_rows(stopwatch, sizes, dtype, named, backend)
            except RuntimeError as error:  # a backend that does not take this dtype or is not in this build
                yield {"what": named, "note": f"not there: {first_line(error)}"}


def _attention_rows(
    stopwatch: Stopwatch, sizes: Sizes, dtype: torch.dtype, named: str, backend: SDPBackend | None
) -> Iterator[Row]:
    packed = _random(stopwatch, sizes.batch, sizes.length, 3 * sizes.width, dtype=dtype).requires_grad_()
    upstream = _random(stopwatch, sizes.batch, sizes.length, sizes.width, dtype=dtype)
    head_width = sizes.width // sizes.heads

    def forward() -> Tensor:
        parts = packed.split(sizes.width, dim=2)  # (B, T, C) each
        q, k, v = (part.view(sizes.batch, sizes.length, sizes.heads, head_width).transpose(1, 2) for part in parts)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)  # (B, T, C)

    def both() -> None:
        packed.grad = None
        forward().backward(upstream)

    with sdpa_kernel(list(SDPBackend.__members__.values()) if backend is None else [backend]):
        for what, work in (("forward", forward), ("forward and backward", both)):
            yield spread(f"{named}: {what}", "us", stopwatch.microseconds(work))
