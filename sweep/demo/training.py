"""What the trainings of the demo's models share: one seed, one thread, one kind of optimizer step."""

import random

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from transformers.utils import logging


def quiet_and_seeded(seed: int) -> random.Random:
    """Prepare a process that trains one model: one thread, no progress bars, all randomness from `seed`.

    One thread leaves the other core to the other model, and makes sums come out the same on every run.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    logging.disable_progress_bar()
    return random.Random(seed)


class Trainer:
    """AdamW with clipped gradients and a one-cycle learning rate, in one call per step; for 20 steps or more."""

    def __init__(self, parameters: list[nn.Parameter], learning_rate: float, steps: int) -> None:
        self.parameters = parameters
        self.optimizer = AdamW(parameters, lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.01)
        self.schedule = OneCycleLR(self.optimizer, learning_rate, total_steps=steps, pct_start=0.1)

    def step(self, loss: Tensor) -> None:
        """Move the parameters one step down the gradient of `loss`."""
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.schedule.step()
