"""Dropout's draws: each window's own, whatever pass it is in."""

from typing import Any

import pytest
import torch

from model.batch import Batch
from model.dropout import Draws, WindowDropout
from tests.model.test_checkpointing import small_run

WINDOWS = torch.randint(0, 500, (5, 33), generator=torch.Generator().manual_seed(1))


def gradients(**settings: Any) -> tuple[float, list[torch.Tensor]]:
    """The loss of a second step under dropout, and what the run then trains."""
    run = small_run(settings.pop("checkpointing", False), settings.pop("method", "full"), 0.2, lr=1e-3, **settings)
    losses = [float(run.train_step(Batch(WINDOWS))) for _ in range(2)]
    return losses[1], [p.detach() for p in run.model.parameters() if p.requires_grad]


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize(
    "division", [{"micro_batch": 1}, {"micro_batch": 3}, {"micro_batch": 2, "checkpointing": True}]
)
def test_losses_and_weights_are_the_same_however_a_step_is_divided(division: dict[str, Any], method: str) -> None:
    """To the last bits, which another order of additions moves; other draws move a loss by 1e-3 and more."""
    loss, trained = gradients(method=method, micro_batch=5)
    divided_loss, divided = gradients(method=method, **division)
    assert divided_loss == pytest.approx(loss, abs=2e-6)
    for one, other in zip(trained, divided, strict=True):  # two steps of AdamW, which magnifies a gradient near zero
        assert float((one - other).abs().mean()) < 1e-6
    other_seed, _ = gradients(method=method, micro_batch=5, seed=1)
    assert abs(other_seed - loss) > 1e-4


def test_no_two_windows_steps_layers_or_seeds_drop_the_same_and_the_rate_is_right() -> None:
    def dropped(seed: int, step: int, first: int, place: int) -> list[torch.Tensor]:
        draws = Draws(seed, compiled=False)
        draws.begin(step, first)
        return list(WindowDropout(0.25, draws, place)(torch.ones(2, 40, 50)))

    first = dropped(0, 0, 0, 0)
    assert torch.equal(dropped(0, 0, 1, 0)[0], first[1])  # the same window, in another pass
    masks = [*first, *dropped(1, 0, 0, 0), *dropped(0, 1, 0, 0), *dropped(0, 0, 2, 0), *dropped(0, 0, 0, 1)]
    for index, mask in enumerate(masks):
        assert mask.unique().tolist() == pytest.approx([0, 4 / 3])
        assert float((mask == 0).double().mean()) == pytest.approx(0.25, abs=0.04)
        assert not any(torch.equal(mask, other) for other in masks[:index])


def test_training_leaves_the_process_s_own_random_numbers_alone() -> None:
    run, before = small_run(True, dropout=0.1), torch.get_rng_state()
    run.train_step(Batch(WINDOWS))
    assert torch.equal(torch.get_rng_state(), before)
