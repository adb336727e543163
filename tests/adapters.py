"""Configs of every method with adapters, at the sizes of the tests' tiny models."""

from typing import Any

from basis.methods import METHODS, Method
from sweep.trial.config import TrialConfig

OPTIONS: dict[Method, dict[str, Any]] = {
    "oft": {"oft_block_size": 4},
    "c3a": {"block_size": 16},
    "road": {"group_size": 8},
    "fourierft": {"n_frequency": 50},
    "waveft": {"n_frequency": 64},
    "vblora": {"vector_length": 16, "num_vectors": 8},
    "tinylora": {"u": 8},
}
"""Where PEFT's defaults are for wider layers."""

OF_PEFT: list[Method] = [name for name, traits in METHODS.items() if traits.peft]


def config(method: Method, **changes: Any) -> TrialConfig:
    """A trial of a method, of few small windows."""
    values: dict[str, Any] = {
        "method": method, "optimizer": "adamw", "lr": 1e-2, "steps": 6, "batch_size": 4, "micro_batch": 2,
        "block_size": 24, "test_every": 3, "test_windows": 2, "seed": 3,
    }  # fmt: skip
    values |= {"rank": 4} if "rank" in METHODS[method].fields else {}
    values |= {"alpha": 8} if method == "randlora" else {}
    values |= {"peft": OPTIONS[method]} if method in OPTIONS else {}
    return TrialConfig.model_validate({**values, **changes})
