"""The stage of a trial is a word of its config, and so of its name."""

import json

from basis.stages import Stage
from sweep.trial.config import TrialConfig

FINAL = {
    **{"method": "lora", "rank": 4, "optimizer": "adamw", "lr": 3e-4, "steps": 10, "batch_size": 8, "block_size": 32},
    **{"test_every": 5, "test_windows": 3, "seed": 2},
}


def test_a_stage_is_written_as_the_word_that_it_always_was_so_that_trials_keep_their_names() -> None:
    names = {stage: TrialConfig.model_validate({**FINAL, "evaluate_on": stage.value}).name for stage in Stage}
    assert names == {
        Stage.PLAIN: "lora-r4-adamw-lr0.0003-s2-8af22d",
        Stage.TUNING: "lora-r4-adamw-lr0.0003-s2-e55c0b",
        Stage.FINAL: "lora-r4-adamw-lr0.0003-s2-ab8f04",
    }


def test_a_config_is_the_same_whether_its_stage_is_given_as_a_member_or_as_a_word() -> None:
    given = [TrialConfig.model_validate({**FINAL, "evaluate_on": stage}) for stage in (Stage.FINAL, Stage.FINAL.value)]
    assert given[0] == given[1]
    assert hash(given[0]) == hash(given[1])
    assert json.loads(given[0].model_dump_json())["evaluate_on"] == "validation, then test"
