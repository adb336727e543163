"""The adapter's one operation against loralib's own forward pass and autograd's gradients."""

import loralib
import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from model.lora_linear import LoRALinear, LoRASettings


def layer(kind: str) -> LoRALinear:
    torch.manual_seed(0)
    base = Conv1D(12, 8) if kind == "conv1d" else nn.Linear(8, 12, bias=kind == "linear")
    made = LoRALinear(base, LoRASettings(rank=3, alpha=6.0)).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


def gradients(output: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad((output * torch.arange(output.numel()).view_as(output)).sum(), inputs)


@pytest.mark.parametrize("kind", ["conv1d", "linear", "linear without bias"])
def test_output_and_every_gradient_are_loralibs(kind: str) -> None:
    made = layer(kind)
    x = torch.randn(2, 5, 8, dtype=torch.float64, requires_grad=True)
    inputs = [x, *made.parameters()]
    reference = loralib.Linear.forward(made, x)
    torch.testing.assert_close(made(x), reference)
    for ours, theirs in zip(gradients(made(x), inputs), gradients(reference, inputs), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_pass_a_finite_difference_check() -> None:
    made = layer("conv1d")
    x = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(made, x)


def test_a_frozen_weight_gets_no_gradient_and_an_input_that_needs_none_neither() -> None:
    made = layer("conv1d")
    made.weight.requires_grad_(False)
    made.bias.requires_grad_(False)
    made(torch.randn(4, 8, dtype=torch.float64)).sum().backward()
    assert made.weight.grad is None
    assert made.bias.grad is None
    assert made.lora_A.grad is not None
    assert made.lora_B.grad is not None


def test_under_autocast_the_products_are_bf16_and_adapters_keep_fp32_gradients() -> None:
    made = layer("conv1d").float()
    x = torch.randn(4, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = made(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), made(x), rtol=0.05, atol=0.3)  # bf16 keeps 8 bits, outputs are about 10
    y.float().sum().backward()
    assert made.lora_A.grad is not None
    assert made.lora_A.grad.dtype == torch.float32


def test_rslora_scales_by_the_square_root_of_the_rank() -> None:
    base = nn.Linear(8, 12)
    factors = {
        scaling: LoRALinear(base, LoRASettings(rank=16, alpha=8.0, scaling=scaling)).scaling
        for scaling in ("alpha/r", "alpha/sqrt(r)")
    }
    assert factors == {"alpha/r": 0.5, "alpha/sqrt(r)": 2.0}
