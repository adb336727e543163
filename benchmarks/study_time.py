"""Counts the floating-point operations that a trial of the study needs, and estimates how long a device takes."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from basis.fields import Precision
from sweep.machine.gpu_facts import GpuFacts
from sweep.machine.gpu_peaks import peak_flops
from sweep.memory.gpu_time import UTILISATION
from sweep.trial.config import TrialConfig
from sweep.trial.model import adapt


@dataclass(frozen=True)
class GPU:
    """A GPU and its peak for dense products, in FLOP/s, in a precision that trials can have there."""

    name: str
    precision: Precision
    peak_flops: float

    def hours(self, flops: int, utilisation: float = UTILISATION) -> float:
        """Hours that `flops` operations take at an assumed share of the peak."""
        return flops / (self.peak_flops * utilisation) / 3600


def _rated(name: str, precision: Precision, capability: tuple[int, int], multiprocessors: int, clock_ghz: float) -> GPU:
    """A GPU at the clock that its data sheet reckons with."""
    facts = GpuFacts(name, capability, 0, 0, multiprocessors, clock_ghz * 1e9)
    peak = peak_flops(facts, precision)
    assert peak is not None, f"{name} has {precision}"
    return GPU(name, precision, peak)


A100 = _rated("A100", "bf16", (8, 0), 108, 1.41)
GPUS = (
    _rated("T4", "fp32", (7, 5), 40, 1.59),  # Turing has no bf16
    _rated("L4", "bf16", (8, 9), 58, 2.04),
    _rated("A100", "fp32", (8, 0), 108, 1.41),
    A100,
    _rated("H100 SXM", "bf16", (9, 0), 132, 1.83),
)

RECORDED_HOURS = {
    ("full", None, "adamw"): 8 + 36 / 60 + 50 / 3600,
    ("lora", 1, "adamw"): 7 + 26 / 60 + 47 / 3600,
    ("lora", 10, "adamw"): 7 + 33 / 60 + 23 / 3600,
    ("lora", 100, "adamw"): 8 + 11 / 60 + 48 / 3600,
    ("lora", 1, "sgd"): 7 + 26 / 60 + 3 / 3600,
    ("lora", 1, "momentum"): 7 + 26 / 60 + 15 / 3600,
    ("lora", 1, "nesterov"): 7 + 26 / 60 + 30 / 3600,
}
"""Hours that the published study recorded for each arm's 20,000 steps, on an A100-SXM4-80GB or A800-SXM4-80GB. For full
fine-tuning it does not say on which. Source: its result files, see analysis/published/published.csv."""


@dataclass(frozen=True)
class Work:
    """Floating-point operations that a trial needs: those of one optimizer step and of one evaluation window."""

    step_flops: int
    window_flops: int

    def trial_flops(self, config: TrialConfig) -> int:
        """Operations of all steps and evaluations. Responses and judging, less than a hundredth, are left out."""
        return config.steps * self.step_flops + evaluation_windows(config) * self.window_flops


def count_work(config: TrialConfig, shape: GPT2Config) -> Work:
    """The work of a trial on a base model of that shape, from its real parameters (made without storage).

    A product with a matrix of n weights takes 2 n operations a token; forward passes take that, backward passes once
    more for the gradient of what went in and, where the matrix trains, once more for its own (Kaplan et al. 2020,
    section 2.1: 6 N in all if everything trains). Attention adds two products of each token with those before it,
    2 L T d on average where half of the square is masked, and twice that backward (Chowdhery et al. 2022, appendix B,
    without that half). Embeddings are looked up, not multiplied; a tied head is a product like any other.
    """
    with torch.device("meta"):
        model = adapt(GPT2LMHeadModel(shape), config)
    matrices = _multiplied(model)
    every = sum(weight.numel() for weight in matrices)
    trained = sum(weight.numel() for weight in matrices if weight.requires_grad)
    attention = 2 * shape.n_layer * config.block_size * shape.n_embd
    window_tokens, step_tokens = config.block_size, config.batch_size * config.block_size
    step = (4 * every + 2 * trained + 3 * attention) * step_tokens
    return Work(step, (2 * every + attention) * window_tokens)


def _multiplied(model: GPT2LMHeadModel) -> list[Tensor]:
    """The matrices that activations are multiplied with, each once."""
    looked_up = {id(model.transformer.wpe.weight), id(model.transformer.wte.weight)} - {id(model.lm_head.weight)}
    return [weight for weight in model.parameters() if weight.dim() == 2 and id(weight) not in looked_up]


def evaluation_windows(config: TrialConfig) -> int:
    """The number of windows that a trial evaluates in all its reports, the base model's included."""
    reports = 1 + -(-config.steps // config.test_every)
    return reports * config.test_windows


@dataclass(frozen=True)
class Pace:
    """Measured seconds of one step, one evaluation window and one judged response, of a trial with that work."""

    work: Work
    step_seconds: float
    window_seconds: float
    response_seconds: float

    def trial_hours(self, config: TrialConfig, work: Work, responses: int) -> float:
        """Hours that another trial of the same method takes here; a step's seconds grow with its operations."""
        step_seconds = self.step_seconds * work.step_flops / self.work.step_flops
        window_seconds = self.window_seconds * work.window_flops / self.work.window_flops
        training = config.steps * step_seconds + evaluation_windows(config) * window_seconds
        return (training + responses * self.response_seconds) / 3600
