"""The model shapes and variants of the step benchmark, and the number of operations that a step needs."""

from dataclasses import dataclass

from basis.methods import Method
from model.step_flops import flops_per_token

OURS = "ours"
VARIANTS: dict[Method, tuple[str, ...]] = {
    "lora": (OURS, "TRL + PEFT", "HF + PEFT", "HF + loralib"),
    "full": (OURS, "HF Trainer"),
}
"""The libraries that do the step of a GPT-2, by method. The first is this project."""

LLAMA_VARIANTS: dict[Method, tuple[str, ...]] = {"lora": (OURS, "HF + PEFT"), "full": (OURS, "HF Trainer")}
"""The same for a Llama."""


@dataclass(frozen=True)
class Shape:
    """A model, the batch of one step, and the number of rounds that count.

    Attributes:
        layers, width, heads, vocabulary: of a GPT-2, or of a Llama with as many heads of keys; the head is tied.
        batch: windows of a step.
        block: positions with a target of a window.
        rounds: that count.
        swiglu: the width within a Llama's MLP; None: it is a GPT-2.
    """

    layers: int
    width: int
    heads: int
    batch: int
    block: int
    vocabulary: int = 50257
    rounds: int = 5
    swiglu: int | None = None

    @property
    def variants(self) -> dict[Method, tuple[str, ...]]:
        """The libraries that do its step, by method."""
        return VARIANTS if self.swiglu is None else LLAMA_VARIANTS

    @property
    def tokens(self) -> int:
        """Positions with a target in one step."""
        return self.batch * self.block

    def flops_per_token(self, method: Method) -> int:
        """Floating-point operations that one token needs."""
        of_mlp = 8 * self.width**2 if self.swiglu is None else 3 * self.width * self.swiglu
        matrices = self.layers * (4 * self.width**2 + of_mlp) + self.vocabulary * self.width
        return flops_per_token(method, matrices, self.layers, self.width, self.block)

    def flops(self, method: Method) -> int:
        """Floating-point operations that one step needs."""
        return self.flops_per_token(method) * self.tokens

    def __str__(self) -> str:
        kind = "" if self.swiglu is None else "Llama, "
        return f"{kind}{self.layers} x {self.width}, {self.batch} x {self.block} tokens"


SHAPES = {
    "tiny": Shape(layers=2, width=64, heads=2, batch=2, block=32, vocabulary=500, rounds=2),
    "tiny llama": Shape(layers=2, width=64, heads=2, batch=2, block=32, vocabulary=500, rounds=2, swiglu=160),
    "small": Shape(layers=4, width=256, heads=4, batch=4, block=256),
    "base": Shape(layers=12, width=768, heads=12, batch=2, block=256),
    "medium": Shape(layers=24, width=1024, heads=16, batch=1, block=512),
    "llama": Shape(layers=12, width=768, heads=12, batch=2, block=256, vocabulary=49_152, swiglu=2048),
}
"""The tiny ones only show that everything runs; base and medium are GPT-2's published shapes; llama is a Llama as large
as base, with SmolLM2's vocabulary."""
