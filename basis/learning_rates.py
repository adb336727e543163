"""The learning rates that `lr: default` stands for: a range for each optimizer, with its source.

Every range spans two decades, so that no optimizer or method is searched harder than another. Those of adapters hold
for an adapter scaled as LoRA's is, by alpha / rank at alpha 32: there the best learning rate is about ten times that of
full fine-tuning, and hardly depends on rank ("LoRA Without Regret", Schulman et al. 2025,
https://thinkingmachines.ai/blog/lora/). A report says whether that held on a sweep's own data
(`analysis/findings/learning_rate_rule.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from basis.optimizers import canonical

Trains = Literal["full", "adapter"]
"""What a method trains: the weights themselves, or something small beside them."""


@dataclass(frozen=True)
class LearningRates:
    """A range of learning rates, to be searched on a logarithmic scale.

    Attributes:
        low: its lowest learning rate.
        high: its highest.
        source: who used which learning rate, and where that is written.
    """

    low: float
    high: float
    source: str


_MOMENTUM = (
    "a tenth of sgd's, since momentum 0.9 lets a steady gradient move ten times as far "
    "(Goodfellow et al. 2016, section 8.3.2)"
)
_LIKE_ADAMW = (
    'as adamw: its update is scaled to AdamW\'s size (adjust_lr_fn="match_rms_adamw" of torch.optim.Muon), so that '
    "AdamW's learning rates serve (Moonlight, arXiv:2502.16982)"
)

_LIKE_LION = "a fifth of adamw's: 3 to 10 times smaller, by Lion's authors (arXiv:2302.06675, section 5)"
_EIGHT_BITS = "as adamw, whose hyperparameters 8-bit state leaves as they are (arXiv:2110.02861)"
_MINI = "as adamw, whose hyperparameters Adam-mini's authors recommend (arXiv:2406.16793; zyushun/Adam-mini, README)"

DEFAULT_RANGES: Mapping[str, Mapping[Trains, LearningRates]] = {
    "sgd": {
        "full": LearningRates(
            3e-3, 3e-1, "around 0.03 of LOMO, which is SGD (arXiv:2306.09782; OpenLMLab/LOMO, args_lomo.yaml)"
        ),
        "adapter": LearningRates(
            1e-3,
            1e-1,
            "around 1e-2, the highest that Riemannian Preconditioned LoRA trains GPT-2 medium with by SGD "
            "(arXiv:2402.02347, figure 1)",
        ),
    },
    "momentum": {
        "full": LearningRates(3e-4, 3e-2, _MOMENTUM),
        "adapter": LearningRates(1e-4, 1e-2, _MOMENTUM),
    },
    "nesterov": {
        "full": LearningRates(3e-4, 3e-2, _MOMENTUM),
        "adapter": LearningRates(1e-4, 1e-2, _MOMENTUM),
    },
    "adamw": {
        "full": LearningRates(
            2e-6,
            2e-4,
            "around 2e-5 of BERT and Alpaca (arXiv:1810.04805: 2e-5 to 5e-5); a tenth of LoRA's (LoRA Without Regret)",
        ),
        "adapter": LearningRates(
            2e-5,
            2e-3,
            "around 2e-4 of LoRA on GPT-2 (arXiv:2106.09685) and of QLoRA (arXiv:2305.14314); the best of 28 models in "
            "tinker-cookbook's hyperparam_utils.py are 1e-4 to 1e-3",
        ),
    },
    "adafactor": {
        "full": LearningRates(
            3e-5,
            3e-3,
            "relative to a weight's size; around 3e-4 of T-Few (arXiv:2205.05638; r-three/t-few, finetune.json), with "
            "1e-3 of T5 (arXiv:1910.10683) in it",
        ),
        "adapter": LearningRates(
            3e-4,
            3e-2,
            "relative to a weight's size; around 3e-3 of T-Few's LoRA (arXiv:2205.05638; r-three/t-few, lora.json)",
        ),
    },
    "muon": {
        "full": LearningRates(2e-6, 2e-4, _LIKE_ADAMW),
        "adapter": LearningRates(2e-5, 2e-3, _LIKE_ADAMW),
    },
    "adamw8bit": {
        "full": LearningRates(2e-6, 2e-4, _EIGHT_BITS),
        "adapter": LearningRates(2e-5, 2e-3, _EIGHT_BITS),
    },
    "adammini": {"full": LearningRates(2e-6, 2e-4, _MINI), "adapter": LearningRates(2e-5, 2e-3, _MINI)},
    "lion": {"full": LearningRates(4e-7, 4e-5, _LIKE_LION), "adapter": LearningRates(4e-6, 4e-4, _LIKE_LION)},
    "lion8bit": {"full": LearningRates(4e-7, 4e-5, _LIKE_LION), "adapter": LearningRates(4e-6, 4e-4, _LIKE_LION)},
}
"""By optimizer and by what trains. An optimizer of which nothing is written down is not here."""


def trains_of(method: str) -> Trains:
    """What a method trains."""
    return "full" if method == "full" else "adapter"


def default_range(method_trains: Trains, optimizer: str) -> LearningRates | None:
    """The range that `lr: default` stands for; None where none is documented."""
    return DEFAULT_RANGES.get(canonical(optimizer), {}).get(method_trains)
