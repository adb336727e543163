"""Activation checkpointing: the same losses and weights to the bit, for a fraction of the activations."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from model.batch import Batch
from model.gpt2_lora import add_adapters, select_trainable
from model.ledger import TensorLedger
from model.lora_linear import LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from model.sft import Kernels, KernelsFor, SFTRun, SFTSettings, training_kernels

CPU = torch.device("cpu")


def small_run(
    checkpointing: bool,
    method: Any = "full",
    dropout: float = 0.0,
    kernels: KernelsFor = training_kernels,
    **settings: Any,
) -> SFTRun:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=500, n_positions=64, n_embd=64, n_layer=6, n_head=2, bos_token_id=0, eos_token_id=0,
        resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    if method == "lora":
        add_adapters(model, LoRASettings(4, 8.0), torch.Generator().manual_seed(0))
    select_trainable(model, method)
    optimizers = build_optimizers(model, OptimizerSettings("adamw", lr=1e-2))
    values = {"steps": 4, "lr": 1e-2, "micro_batch": 3, **settings, "activation_checkpointing": checkpointing}
    chosen = SFTSettings(**values)
    return SFTRun(model, optimizers, chosen, CPU, kernels(chosen, CPU))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_training_is_the_same_to_the_bit(method: str, precision: str, dropout: float) -> None:
    def trained(checkpointing: bool) -> tuple[list[float], list[torch.Tensor]]:
        run = small_run(checkpointing, method, dropout, precision=precision)
        torch.manual_seed(1)
        losses = [float(run.train_step(Batch(torch.randint(0, 500, (4, 33))))) for _ in range(4)]
        return losses, [p.detach() for p in run.model.parameters()]

    plain, checkpointed = trained(False), trained(True)
    assert plain[0] == checkpointed[0]
    assert all(torch.equal(a, b) for a, b in zip(plain[1], checkpointed[1], strict=True))


def test_evaluation_is_the_same() -> None:
    windows = torch.randint(0, 500, (4, 33))
    assert small_run(True).evaluate(Batch(windows)) == small_run(False).evaluate(Batch(windows))


@pytest.mark.parametrize("method", ["full", "lora"])
def test_of_a_block_its_input_alone_is_kept(method: str) -> None:
    def kept(checkpointing: bool) -> int:
        """Bytes that are there when the last block has been computed."""
        ledger, bytes_kept = TensorLedger(), []

        def watched(settings: SFTSettings, device: torch.device) -> Kernels:
            usual = training_kernels(settings, device)

            def block(layer: Any, *arguments: Any) -> torch.Tensor:
                y = usual.block(layer, *arguments)
                if layer.attn.layer_idx == 5:
                    bytes_kept.append(ledger.peaks())
                return y

            return replace(usual, block=block)

        run = small_run(checkpointing, method, kernels=watched, micro_batch=4)
        ledger.tag("weights", run.model.parameters())
        with ledger:
            run.train_step(Batch(torch.randint(0, 500, (4, 65))), ledger)
        return max(parts.activations for parts in bytes_kept[0].values())

    stream = 4 * 64 * 64 * 4  # the residual stream: batch x length x width x fp32
    assert kept(True) < (6 + 15) * stream  # the inputs of six blocks, and what one block takes while it is computed
    assert kept(False) > 6 * 10 * stream
