"""loralib's linear layer with a LoRA adapter, put around a projection of an existing model.

LoRA (Hu et al. 2021, arXiv:2106.09685, equation 3): y = x W + b + s (x A^T) B^T with s = alpha / r, A (r, in) and
B (out, r) trained and W (in, out), b (out,) frozen. B starts at zero, so a fresh adapter leaves the layer's output as
it is. rsLoRA (Kalajdzievski 2023, arXiv:2312.03732) scales by s = alpha / sqrt(r) instead.

Names, shapes, initialisation and scaling are those of `loralib.Linear` (loralib 0.1.2, `loralib/layers.py`);
`tests/model/test_lora_linear.py` holds the two together.
"""

import math
from dataclasses import dataclass

import loralib
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from basis.fields import LORA_DEFAULTS, Scaling, adapter_scaling
from model.matmul import RANK_MULTIPLE
from model.projection import Adapter, Gate, project


@dataclass(frozen=True)
class LoRASettings:
    """Which projections get an adapter, of which rank, and what its product is scaled by.

    Attributes:
        rank: r, 1 or more.
        alpha: the numerator of s.
        targets: of `basis.fields.PROJECTION_TARGETS`, "head", "all-linear" or names of modules; see
            `model.architectures.targeted`.
        scaling: "alpha/r" is LoRA's, "alpha/sqrt(r)" is rsLoRA's.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...] = LORA_DEFAULTS["targets"]
    scaling: Scaling = "alpha/r"

    @property
    def factor(self) -> float:
        """s in y = x W + b + s (x A^T) B^T."""
        return adapter_scaling(self.scaling, self.alpha, self.rank)


class LoRALinear(loralib.Linear):  # type: ignore[misc]  # loralib has no types
    """loralib's linear layer around an existing projection, whose weight and bias it takes over without a copy.

    `merge_weights` is off: loralib would add B A into the weight on every `.eval()` and subtract it on `.train()`,
    which drifts in floating point and puts the adapter twice into anything saved in between. Here the weight
    never changes; `model.gpt2_lora.merge` makes a plain layer when one is wanted.

    Args:
        base: a `Conv1D` (transformers 5.23.0, `pytorch_utils.py`), whose weight is (in, out), or an `nn.Linear`, whose
            weight is (out, in).
        lora: the adapter.
    """

    def __init__(self, base: Conv1D | nn.Linear, lora: LoRASettings) -> None:
        conv1d = isinstance(base, Conv1D)  # GPT-2 stores (in, out); nn.Linear stores (out, in)
        fan_in, fan_out = base.weight.shape if conv1d else reversed(base.weight.shape)
        with torch.device("meta"):  # loralib would allocate and initialise a weight that is thrown away at once
            super().__init__(
                fan_in,
                fan_out,
                r=lora.rank,
                lora_alpha=lora.alpha,
                fan_in_fan_out=conv1d,
                merge_weights=False,
                bias=base.bias is not None,
            )
        self.scaling = lora.factor
        self.weight = base.weight
        self.bias = base.bias
        self.lora_A = nn.Parameter(torch.empty(lora.rank, fan_in, device=base.weight.device))  # (r, in)
        self.lora_B = nn.Parameter(torch.empty(fan_out, lora.rank, device=base.weight.device))  # (out, r)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw A from `generator` and set B to zero.

        A is Kaiming uniform with a = sqrt(5), as in `loralib.Linear.reset_parameters` (loralib 0.1.2).
        """
        with torch.no_grad():
            drawn = torch.empty(self.lora_A.shape)  # drawn on the CPU: the same A on every device
            nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
            self.lora_A.copy_(drawn)
            self.lora_B.zero_()

    def forward(self, x: Tensor, gate: Gate | None = None) -> Tensor:
        """y = x W + b + s (x A^T) B^T, (..., out), for x (..., in), which `gate` may multiply, see `project`."""
        kernel = self.weight if self.fan_in_fan_out else self.weight.T  # (in, out)
        # Padding pays at a training step's rows, not at a decoding step's.
        rank_multiple = RANK_MULTIPLE[x.device.type] if self.training else 1
        return project(x, kernel, self.bias, self.adapter, rank_multiple=rank_multiple, gate=gate)  # (..., out)

    @property
    def adapter(self) -> Adapter:
        """A (r, in), B (out, r) and s, as `project` takes them."""
        return self.lora_A, self.lora_B, self.scaling

    def merged_weight(self) -> Tensor:
        """W + s B A, in the orientation of the weight it replaces."""
        update: Tensor = (self.lora_B @ self.lora_A) * self.scaling  # (out, r) @ (r, in) -> (out, in)
        merged: Tensor = self.weight.detach() + (update.T if self.fan_in_fan_out else update).detach()
        return merged
