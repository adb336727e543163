"""The model shapes and variants of the step benchmark, and the number of operations that a step needs."""

from dataclasses import dataclass

from basis.fields import Method
from model.step_flops import flops_per_token

OURS = "ours"
VARIANTS: dict[Method, tuple[str, ...]] = {
    "lora": (OURS, "TRL + PEFT", "HF + PEFT", "HF + loralib"),
    "full": (OURS, "HF Trainer"),
}
"""The libraries that do the step, by method. The first is this project."""


@dataclass(frozen=True)
class Shape:
    """A GPT-2, the batch of one step, and the number of rounds that count. `block`: positions with a target."""

    layers: int
    width: int
    heads: int
    batch: int
    block: int
    vocabulary: int = 50257
    rounds: int = 5

    @property
    def tokens(self) -> int:
        """Positions with a target in one step."""
        return self.batch * self.block

    def flops_per_token(self, method: Method) -> int:
        """Floating-point operations that one token needs."""
        matrices = 12 * self.layers * self.width**2 + self.vocabulary * self.width
        return flops_per_token(method, matrices, self.layers, self.width, self.block)

    def flops(self, method: Method) -> int:
        """Floating-point operations that one step needs."""
        return self.flops_per_token(method) * self.tokens

    def __str__(self) -> str:
        return f"{self.layers} x {self.width}, {self.batch} x {self.block} tokens"


SHAPES = {
    "tiny": Shape(layers=2, width=64, heads=2, batch=2, block=32, vocabulary=500, rounds=2),
    "small": Shape(layers=4, width=256, heads=4, batch=4, block=256),
    "base": Shape(layers=12, width=768, heads=12, batch=2, block=256),
    "medium": Shape(layers=24, width=1024, heads=16, batch=1, block=512),
}
"""`tiny` only shows that everything runs; base and medium are GPT-2's published shapes."""
