"""A trial's name stays what it is when its config gets fields that did not exist before."""

from typing import Any

from sweep.trial.config import TrialConfig

SHARED: dict[str, Any] = {
    **{"lr": 1e-3, "steps": 10, "batch_size": 2, "block_size": 16, "test_every": 5, "test_windows": 4},
    "optimizer": "adamw",
}
LORA: dict[str, Any] = {**SHARED, "method": "lora", "rank": 4}


def test_trials_keep_the_names_that_they_had() -> None:
    assert TrialConfig.model_validate(LORA).name == "lora-r4-adamw-lr0.001-s0-bddada"
    assert TrialConfig.model_validate({**SHARED, "method": "full"}).name == "full-adamw-lr0.001-s0-c27ae5"


def test_the_tokens_that_count_and_the_packing_tell_trials_apart() -> None:
    configs = [{}, {"loss_on": "all"}, {"loss_on": "assistant"}, {"packing": "none"}, {"packing": "stream"}]
    assert len({TrialConfig.model_validate({**LORA, **changed}).name for changed in configs}) == len(configs)


def test_trials_that_are_equal_and_written_differently_keep_their_own_names() -> None:
    adan = {**LORA, "optimizer": "adan"}
    whole, real = (TrialConfig.model_validate({**adan, "optimizer_options": {"eps": eps}}) for eps in (1, 1.0))
    assert whole == real
    assert whole.name != real.name
    assert real.model_copy(update={"lr": 1e-4}).name.startswith("lora-r4-adan-lr0.0001-s0-")
