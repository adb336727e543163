"""Examples packed into a row: each is seen by itself alone, and trains as it would alone."""

import shutil
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from basis.fields import PROJECTION_TARGETS
from model.attention_mask import attention_bias, positions_within, seen_within
from model.batch import Batch
from model.gpt2_lora import add_adapters, select_trainable
from model.lora_linear import LoRASettings
from model.sft import SFTRun, SFTSettings
from tests.model.test_sft import small_gpt2

CPU = torch.device("cpu")
LENGTHS = (5, 9, 4)
"""Inputs of the three examples of a row."""

DOCUMENTS = torch.tensor([[0] * 5 + [1] * 9 + [2] * 4, [7] * 17 + [3]])


class Gradients(torch.optim.Optimizer):
    """In place of an optimizer: adds up the gradients that steps would be taken by."""

    def __init__(self, parameters: list[torch.nn.Parameter]) -> None:
        self.sums = [torch.zeros_like(p) for p in parameters]
        super().__init__(parameters, {"lr": 0.1})

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for total, parameter in zip(self.sums, self.param_groups[0]["params"], strict=True):
            total += parameter.grad


def run_of(
    method: Any = "full", dtype: torch.dtype = torch.float64, dropout: float = 0.0, **settings: Any
) -> tuple[SFTRun, Gradients]:
    model = small_gpt2()
    for layer in (module for module in model.modules() if isinstance(module, torch.nn.Dropout)):
        layer.p = dropout
    if method == "lora":
        add_adapters(model, LoRASettings(3, 6, (*PROJECTION_TARGETS, "head")), torch.Generator().manual_seed(0))
        for name, parameter in model.named_parameters():
            if name.endswith("lora_B"):  # at zero, A would have no gradient
                torch.nn.init.normal_(parameter, 0, 0.05, generator=torch.Generator().manual_seed(1))
    select_trainable(model, method)
    gradients = Gradients([p for p in model.to(dtype).parameters() if p.requires_grad])
    return SFTRun(
        model, [gradients], SFTSettings(**{"steps": 9, "lr": 0.1, "micro_batch": 2, **settings}), CPU
    ), gradients


def packed_and_apart() -> tuple[Batch, list[Batch]]:
    """Two rows of three examples, of which the last token has no target in its own; and each example by itself."""
    draw = torch.Generator().manual_seed(3)
    examples = [[torch.randint(0, 61, (1, n + 1), generator=draw) for n in LENGTHS] for _ in range(2)]
    # The target behind an example's last input is in the row the first token of the next one, so it is not scored.
    rows = [torch.cat([example[:, :-1] for example in row] + [row[-1][:, -1:]], 1) for row in examples]
    ends = torch.tensor(LENGTHS).cumsum(0) - 1
    scored = torch.ones(2, 18, dtype=torch.bool).index_fill_(1, ends, False)
    packed = Batch(torch.cat(rows), scored.flatten().nonzero()[:, 0], DOCUMENTS[:1].expand(2, 18))
    apart = [Batch(e, torch.arange(e.shape[1] - 2)) for row in examples for e in row]
    return packed, apart


def losses_and_gradients(run_and_gradients: tuple[SFTRun, Gradients], batches: list[Batch]) -> tuple[float, list[Any]]:
    """The sum of nats over all scored targets, and its gradients."""
    run, gradients = run_and_gradients
    nats = 0.0
    for batch in batches:
        before = [total.clone() for total in gradients.sums]
        nats += run.train_step(batch).item() * batch.scored_count
        for total, start in zip(gradients.sums, before, strict=True):
            total.sub_(start).mul_(batch.scored_count).add_(start)
    return nats, gradients.sums


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointed"])
@pytest.mark.parametrize("micro_batch", [2, 1])
def test_packed_examples_train_as_each_does_alone(method: Any, checkpointing: bool, micro_batch: int) -> None:
    packed, apart = packed_and_apart()
    settings = {"activation_checkpointing": checkpointing, "micro_batch": micro_batch}
    nats, gradients = losses_and_gradients(run_of(method, **settings), [packed])
    nats_apart, gradients_apart = losses_and_gradients(run_of(method), apart)
    assert nats == pytest.approx(nats_apart, rel=1e-12)
    for together, alone in zip(gradients, gradients_apart, strict=True):
        torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-11)
    evaluated = run_of(method)[0].evaluate(packed)
    by_example = [run_of(method)[0].evaluate(example)[0][0] for example in apart]
    assert [row for row, _ in evaluated] == pytest.approx([sum(by_example[:3]), sum(by_example[3:])], rel=1e-12)
    assert [count for _, count in evaluated] == [15, 15]


def test_in_bf16_packing_changes_the_loss_by_its_rounding_alone() -> None:
    packed, apart = packed_and_apart()
    bf16 = {"dtype": torch.float32, "precision": "bf16"}
    nats, gradients = losses_and_gradients(run_of(**bf16), [packed])
    nats_apart, gradients_apart = losses_and_gradients(run_of(**bf16), apart)
    assert nats == pytest.approx(nats_apart, rel=2e-3)
    for together, alone in zip(gradients, gradients_apart, strict=True):
        assert float((together - alone).norm()) < 0.03 * float(alone.norm())


def test_dropout_of_packed_examples_does_not_depend_on_how_a_step_is_divided() -> None:
    def loss(**settings: Any) -> float:
        run = run_of(dropout=0.2, **settings)[0]
        return run.train_step(packed_and_apart()[0]).item()

    whole = loss(micro_batch=2)
    assert whole != loss(micro_batch=2, seed=1)
    assert loss(micro_batch=1) == pytest.approx(whole, rel=1e-12)
    assert loss(micro_batch=2, activation_checkpointing=True) == whole


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler for its CPU code")
def test_compiled_blocks_keep_examples_apart_and_are_compiled_once() -> None:
    packed, _ = packed_and_apart()
    torch._dynamo.reset()
    counters.clear()
    compiled = run_of(dtype=torch.float32, compile=True)[0]
    plain = run_of(dtype=torch.float32)[0]
    for _ in range(3):
        assert compiled.train_step(packed).item() == pytest.approx(plain.train_step(packed).item(), rel=1e-5)
    assert counters["stats"]["unique_graphs"] <= 2  # forward with gradients; a bias of the next step is none anew
    assert not counters["graph_break"]
    torch._dynamo.reset()


def test_positions_begin_anew_and_see_their_own_example_alone() -> None:
    assert positions_within(DOCUMENTS).tolist() == [[*range(5), *range(9), *range(4)], [*range(17), 0]]
    seen = seen_within(DOCUMENTS)
    for row, column in ((r, c) for r in range(18) for c in range(18)):
        alike = DOCUMENTS[:, row] == DOCUMENTS[:, column]
        assert seen[:, 0, row, column].tolist() == (alike & (column <= row)).tolist()
    bias = attention_bias(seen, torch.bfloat16)
    assert (bias.dtype, bias.shape, bias.stride(2)) == (torch.bfloat16, seen.shape, 24)
    assert torch.equal(bias == 0, seen)
    assert torch.equal(bias.isneginf(), ~seen)
