"""The SFT run: the training step, evaluation of held-out batches, and the state by which a stopped run continues."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel, PreTrainedModel

from basis.fields import Precision, Schedule
from model.architectures import logit_softcap
from model.attention_mask import attention_bias, positions_within, seen_within
from model.batch import Batch
from model.checkpointing import checkpointed
from model.cross_entropy import CHUNKING, Chunking, chunked_cross_entropy, position_losses
from model.decoder import CAUSAL, decoder_states, prepare_decoder
from model.dropout import Draws, WindowDropout, draw_by_window
from model.forward import Attend, BiasedAttend, Block, attend_causally, hidden_states, transformer_block
from model.gpt2_lora import assign_trained, cast_frozen_projections, trained_parameters
from model.head import head_terms
from model.ledger import NO_LEDGER, StepLedger
from model.library_optimizers import at_average, load_plain_state, plain_state
from model.matmul import RANK_MULTIPLE
from model.optimizers import learning_rate, set_learning_rate
from model.precision import AUTOCAST, LossScaler, autocast, products_of_fp32

UPDATE = "update"
"""The stretch of a step in which gradients are clipped and the optimizers step."""


def pass_name(index: int) -> str:
    """What the stretch of a step is called in which its micro-batch `index` goes forward and backward."""
    return f"micro-batch {index}"


@dataclass(frozen=True)
class SFTSettings:
    """How one run trains.

    Attributes:
        steps: optimizer steps of the whole run, over which the schedule goes.
        lr: peak learning rate.
        micro_batch: most windows per forward pass.
        schedule: how the learning rate goes on after the warm-up.
        warmup_steps: steps in which the learning rate rises to its peak.
        clip_norm: largest norm of the whole gradient; None leaves gradients as they are.
        precision: see `model.precision`. Under autocast the blocks' frozen projections are rounded in place.
        compile: whether torch.compile fuses each block, which takes half a minute at the start.
        activation_checkpointing: whether a block keeps its input alone and is computed again in the backward pass.
        seed: of dropout's draws, which are the same however a step is divided and whatever is computed again.
    """

    steps: int
    lr: float
    micro_batch: int
    schedule: Schedule = "constant"
    warmup_steps: int = 0
    clip_norm: float | None = None
    precision: Precision = "fp32"
    compile: bool = False
    activation_checkpointing: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Kernels:
    """How a step computes. What a device has kernels of its own for, a prediction of memory replaces by a stand-in.

    Attributes:
        block: a transformer block of GPT-2, as it is, compiled or checkpointed.
        attend: how positions of GPT-2 see each other, in rows of one example and of several.
        attention: what transformers calls the attention of other models, see `model.decoder`.
        dropout: the layer that drops.
        chunking: how many positions have logits at once.
        rank_multiple: what adapters' ranks are padded to a multiple of in products.
    """

    block: Block
    attend: BiasedAttend
    attention: str
    dropout: type[WindowDropout]
    chunking: Chunking
    rank_multiple: int


KernelsFor = Callable[[SFTSettings, torch.device], Kernels]


def training_kernels(settings: SFTSettings, device: torch.device) -> Kernels:
    """The kernels that a run with those settings trains by on a device."""
    block: Block = torch.compile(transformer_block, dynamic=False) if settings.compile else transformer_block
    if settings.activation_checkpointing:
        block = checkpointed(block)
    return Kernels(block, attend_causally, CAUSAL, WindowDropout, CHUNKING[device.type], RANK_MULTIPLE[device.type])


class SFTRun:
    """A model in training. The caller brings the batches; the run knows its step, which is also its data position.

    Args:
        model: moved to `device`; its dropouts are replaced, and autocast rounds its frozen projections.
        optimizers: over what trains of it.
        settings: how it trains.
        device: where it trains.
        kernels: how its steps compute; None: by `training_kernels`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        optimizers: Sequence[torch.optim.Optimizer],
        settings: SFTSettings,
        device: torch.device,
        kernels: Kernels | None = None,
    ) -> None:
        self.model = model
        self.optimizers = optimizers
        self.settings = settings
        self.device = device
        self.step = 0
        self.kernels = kernels or training_kernels(settings, device)
        if not isinstance(model, GPT2LMHeadModel):
            prepare_decoder(model, self.kernels.attention, settings.compile, settings.activation_checkpointing)
        self._softcap = logit_softcap(model.config)
        self._draws = Draws(settings.seed, settings.compile)
        self._drops = draw_by_window(model, self._draws, self.kernels.dropout)
        if settings.precision in AUTOCAST:
            cast_frozen_projections(model, AUTOCAST[settings.precision])
        if model.device != device:
            model.to(device)  # after the cast, so that a GPU never holds more than the step needs
        self.scaler = LossScaler(settings.precision, optimizers, device)
        self._optimizers_draw = any(not type(one).__module__.startswith("torch.optim") for one in optimizers)

    def learning_rate_at(self, step: int) -> float:
        """The rate of optimizer step `step`, counted from 0."""
        s = self.settings
        return learning_rate(s.lr, s.schedule, s.warmup_steps, s.steps, step)

    def train_step(self, batch: Batch, ledger: StepLedger = NO_LEDGER) -> Tensor:
        """One optimizer step on `batch`, in micro-batches whose gradients add up to the whole batch's.

        Args:
            batch: on the host; without `scored` it may be on any device.
            ledger: told what the step's tensors are, and when its passes and its update begin.

        Returns:
            Mean loss in nats per scored target, a scalar on the run's device (not yet read back, so nothing waits for
            it); 0 where no target counts.
        """
        self.model.train()
        set_learning_rate(self.optimizers, self.learning_rate_at(self.step))
        losses = []
        devices = [self.device] if self.device.type == "cuda" else []
        scale, divisor = self.scaler.scale, max(batch.scored_count, 1)
        # Dropout seeds the random state anew.
        with products_of_fp32(self.settings.precision), torch.random.fork_rng(devices, enabled=self._drops):
            for index, micro in enumerate(batch.split(self.settings.micro_batch)):
                ledger.moment(pass_name(index))
                self._draws.begin(self.step, index * self.settings.micro_batch)
                loss = self._loss(micro.to(self.device), divisor, scale, ledger)
                loss.backward()
                losses.append(loss.detach())
        ledger.moment(UPDATE)
        ledger.tag("gradients", (p.grad for p in self.model.parameters() if p.grad is not None))
        self.scaler.unscale()
        if self.settings.clip_norm is not None:
            parameters = [p for p in self.model.parameters() if p.requires_grad]
            torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm)
        # Some optimizers draw numbers: the same in a step, whether or not a run was stopped before it.
        with torch.random.fork_rng(devices, enabled=self._optimizers_draw):
            if self._optimizers_draw:
                torch.manual_seed(self.settings.seed * 2**20 + self.step)
            self.scaler.step()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return torch.stack(losses).sum()

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> list[tuple[float, int]]:
        """For each row of `batch`, without dropout: the summed loss of its scored targets in nats, and their number.

        Args:
            batch: as for `train_step`.
        """
        self.model.eval()
        nats = []
        with at_average(self.optimizers):
            for micro in batch.split(self.settings.micro_batch):
                on_device = micro.to(self.device)
                with products_of_fp32(self.settings.precision), self._autocast():
                    terms = self._terms(on_device)
                    losses = position_losses(
                        on_device.targets, *terms, softcap=self._softcap, chunking=self.kernels.chunking
                    )  # (n,)
                nats.append(on_device.sum_by_row(losses.double()))  # (B,)
        return list(zip(torch.cat(nats).tolist(), batch.scored_by_row(), strict=True))

    def _loss(self, batch: Batch, divisor: int, scale: Tensor | None, ledger: StepLedger) -> Tensor:
        """The summed loss over the scored targets of `batch`, divided by `divisor`: a scalar.

        Its gradients are multiplied by `scale`.
        """
        with self._autocast():
            return chunked_cross_entropy(
                batch.targets,
                *self._terms(batch),
                divisor=divisor,
                scale=scale,
                softcap=self._softcap,
                chunking=self.kernels.chunking,
                ledger=ledger,
            )

    def _terms(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """What the logits of the scored positions of `batch` are made of, see `chunked_cross_entropy`."""
        hidden = self._states(batch)  # (B, T, C)
        return head_terms(self.model, batch.at_scored(hidden.flatten(0, 1)), self.kernels.rank_multiple)  # of (n, C)

    def _states(self, batch: Batch) -> Tensor:
        """The last hidden states of all positions of `batch`, (B, T, C)."""
        model, kernels = self.model, self.kernels
        positions = seen = None
        if batch.documents is not None:
            positions, seen = positions_within(batch.documents), seen_within(batch.documents)  # (B, T), (B, 1, T, T)
        if not isinstance(model, GPT2LMHeadModel):
            return decoder_states(model, batch.inputs, positions, seen)
        attend: Attend = kernels.attend
        if seen is not None:
            dtype = AUTOCAST.get(self.settings.precision, model.dtype)
            attend = partial(kernels.attend, bias=attention_bias(seen, dtype))
        return hidden_states(model, batch.inputs, positions, attend, kernels.block, kernels.rank_multiple)

    def _autocast(self) -> torch.autocast:
        return autocast(self.settings.precision, self.device)

    def state_dict(self) -> dict[str, Any]:
        """Everything a new process needs to continue to the bit, given the same base weights and settings."""
        return {
            "step": self.step,
            "trained": {name: p.detach() for name, p in trained_parameters(self.model)},
            "optimizers": [plain_state(optimizer) for optimizer in self.optimizers],
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`.

        Raises:
            ValueError: the state is of a run that trains other parameters, or lacks a part. Nothing is changed then.
        """
        step = state["step"]
        shapes = {name: parameter.shape for name, parameter in trained_parameters(self.model)}
        if shapes != {name: value.shape for name, value in state["trained"].items()}:
            raise ValueError("the checkpoint is of a run that trains other parameters")
        if len(self.optimizers) != len(state["optimizers"]):
            raise ValueError("the checkpoint is of a run with other optimizers")
        for saved in state["optimizers"]:
            held = {number for group in saved["param_groups"] for number in group["params"]}
            states = {number for number in saved["state"] if isinstance(number, int)}  # some count steps beside them
            if states and states != held:  # PyTorch would begin the others anew without a word
                raise ValueError("the checkpoint lacks the optimizer's state of some parameters")
        if self.scaler.enabled and not state.get("scaler"):
            raise ValueError("the checkpoint lacks the loss scale of a run in fp16")
        assign_trained(self.model, state["trained"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            load_plain_state(optimizer, saved)
        self.scaler.load_state_dict(state.get("scaler", {}))
        self.step = step
