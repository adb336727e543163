"""The table of optimizers of docs/spec.md, from `basis.optimizers` and `basis.learning_rates`."""

from collections.abc import Iterator

from basis.learning_rates import Trains, default_range
from basis.optimizers import FORCED, OPTIMIZERS, REFUSED, OptimizerTraits

ABOUT_OPTIMIZERS = f"""\
PyTorch's own, pytorch-optimizer's by its names, and 8-bit ones of bitsandbytes (`pip install sft-sweep[quantized]`).
Where a library has a name that stands first here, PyTorch's is meant. Hyphens and underscores don't matter, and names
of Hugging Face's `optim` are understood: `adamw_torch`, `adamw_8bit`, `schedule_free_adamw`, `galore_adamw`.

Bytes of state are measured, in fp32: of a matrix of 512 x 512, and of a vector of 512 where that differs. Low-rank ones
(galore, apollo, fira) have them at rank 128. Weight decay is 0 unless a spec says otherwise, whatever a library has.
Schedule-Free optimizers and splus are evaluated, kept and judged at the average of their points; `schedule` and
`warmup_steps` are the trial's as everywhere. Prodigy and D-Adaptation find a rate by themselves: their `lr` is a
factor, 1 by their authors. Learning rates are those of `lr: default`; where nothing is documented there is none, and
the default of the library stands in brackets.

Not accepted: {"; ".join(f"{name} ({reason})" for name, reason in REFUSED.items())}.
"""


def optimizer_rows() -> Iterator[tuple[str, ...]]:
    """A row of each optimizer."""
    for name, traits in OPTIMIZERS.items():
        default = "none" if traits.lr is None else f"none ({traits.lr:g})"
        options = ", ".join(f"{key} {_default(name, key, traits)}" for key in traits.options)
        yield (
            f"`{name}`",
            traits.provider,
            _bytes(traits),
            traits.decay or "none",
            _rates(name, "full") or default,
            _rates(name, "adapter") or default,
            options,
        )


def _default(name: str, option: str, traits: OptimizerTraits) -> str:
    default = FORCED.get(name, {}).get(option, traits.options[option].default)
    return "null" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def _bytes(traits: OptimizerTraits) -> str:
    matrix, vector = 4 * traits.states, traits.vector_bytes
    return f"{matrix:.3g}" if vector is None or round(vector, 1) == round(matrix, 1) else f"{matrix:.3g}; {vector:.3g}"


def _rates(name: str, trains: Trains) -> str:
    rates = default_range(trains, name)
    return f"{rates.low:g} to {rates.high:g}: {rates.source}" if rates else ""
