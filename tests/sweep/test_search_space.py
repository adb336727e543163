"""From spec to trials: unions of conditional grids, random draws, and Optuna's define-by-run space."""

from typing import Any

import optuna
import pytest

from basis.errors import UserError
from basis.fields import LORA_FIELDS
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import OptunaSpace, candidate_trials, enumerate_trials
from sweep.spec_file.load import parse_spec
from sweep.trial.config import TrialConfig

RANGES = [
    {"method": "full", "optimizer": ["sgd", "adamw"], "lr": {"low": 1e-5, "high": 1e-2, "log": True}},
    {
        "method": "lora",
        "rank": {"low": 1, "high": 64, "log": True},
        "optimizer": "adamw",
        "lr": {"low": 0.1, "high": 0.2},
    },
]


def spec(space: list[dict[str, Any]], **changes: Any) -> SweepSpec:
    trial = {"steps": 5, "batch_size": 2, "block_size": 8, "test_every": 1, "test_windows": 1}
    return parse_spec({"name": "x", "trial": trial, "space": space, **changes})


def test_a_grid_is_the_union_of_its_branches_with_replicates_side_by_side() -> None:
    trials = enumerate_trials(
        spec(
            [
                {"method": "full", "optimizer": "adamw", "lr": [1e-5, 1e-4]},
                {"method": "lora", "rank": [1, 10], "optimizer": ["adamw", "sgd"], "lr": 1e-3},
                {"method": "lora", "rank": 1, "optimizer": "adamw", "lr": 1e-3},  # stands in the branch above already
            ],
            seeds=2,
        )
    )
    assert [(t.method, t.rank, t.optimizer, t.lr, t.seed) for t in trials] == [
        (*arm, seed)
        for arm in [
            ("full", None, "adamw", 1e-5),
            ("full", None, "adamw", 1e-4),
            ("lora", 1, "adamw", 1e-3),
            ("lora", 1, "sgd", 1e-3),
            ("lora", 10, "adamw", 1e-3),
            ("lora", 10, "sgd", 1e-3),
        ]
        for seed in (0, 1)
    ]
    assert len({t.name for t in trials}) == len(trials)


def test_lora_fields_exist_only_under_lora_and_defaults_only_where_they_have_an_effect() -> None:
    full, lora = enumerate_trials(
        spec(
            [
                {"method": "full", "optimizer": "sgd", "lr": 1},
                {"method": "lora", "rank": 4, "optimizer": "adamw", "lr": 1},
            ],
            lora={"alpha": 8, "weight_decay": 0.5},
        )
    )
    assert all(getattr(full, field) is None for field in (*LORA_FIELDS, "momentum", "betas"))
    assert (lora.alpha, lora.betas, lora.momentum, lora.weight_decay) == (8, (0.9, 0.95), None, 0.5)
    assert full.weight_decay == 0


def test_a_list_is_one_value_of_a_list_field_and_a_list_of_lists_several() -> None:
    one = enumerate_trials(
        spec([{"method": "lora", "rank": 1, "optimizer": "sgd", "lr": 1, "targets": ["mlp_in", "head"]}])
    )
    assert [t.targets for t in one] == [("mlp_in", "head")]
    two = enumerate_trials(
        spec([{"method": "lora", "rank": 1, "optimizer": "sgd", "lr": 1, "targets": [["mlp_in"], ["head"]]}])
    )
    assert [t.targets for t in two] == [("mlp_in",), ("head",)]


def test_random_search_draws_from_every_branch_within_its_ranges_and_repeats_with_its_seed() -> None:
    drawn = enumerate_trials(spec(RANGES, search="random", trials=200))
    full, lora = [[t for t in drawn if t.method == m] for m in ("full", "lora")]
    assert len(full) > 60
    assert len(lora) > 60
    assert all(1e-5 <= t.lr <= 1e-2 for t in full)
    assert all(0.1 <= t.lr <= 0.2 and t.rank is not None and 1 <= t.rank <= 64 for t in lora)
    assert sum(t.lr < 3.2e-4 for t in full) / len(full) == pytest.approx(0.5, abs=0.15)  # half of a log range
    assert {t.optimizer for t in full} == {"sgd", "adamw"}
    assert enumerate_trials(spec(RANGES, search="random", trials=200)) == drawn
    assert enumerate_trials(spec(RANGES, search="random", trials=200, search_seed=1)) != drawn


def test_optuna_suggests_whole_valid_trials_with_rank_only_under_lora() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    searched = spec(RANGES, search="optuna", trials=30)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    methods = set()
    for _ in range(30):
        asked = study.ask()
        trial = TrialConfig.model_validate(OptunaSpace(searched, TrialConfig.model_dump)(asked))  # type: ignore[arg-type]
        study.tell(asked, trial.lr)
        methods.add(trial.method)
        assert ("suggested/1.rank" in asked.params) == (trial.method == "lora")
    assert methods == {"full", "lora"}


def test_what_optuna_may_try_is_checked_at_the_ends_of_every_range() -> None:
    corners = candidate_trials(spec(RANGES, search="optuna", trials=3))
    assert {(t.method, t.rank, t.lr) for t in corners} == {
        *(("full", None, lr) for lr in (1e-5, 1e-2)),
        *(("lora", rank, lr) for rank in (1, 64) for lr in (0.1, 0.2)),
    }
    bad = [{"method": "full", "optimizer": "sgd", "lr": 1, "warmup_steps": {"low": 0, "high": 9}}]
    with pytest.raises(UserError, match=r"space\[0\]\.warmup_steps: 9 is more than steps 5"):
        candidate_trials(spec(bad, search="optuna", trials=3))


def test_a_range_that_is_none_is_refused() -> None:
    def error(lr: Any) -> str:
        with pytest.raises(UserError) as caught:
            candidate_trials(spec([{"method": "full", "optimizer": "sgd", "lr": lr}], search="random", trials=1))
        return str(caught.value)

    assert "a range needs numbers low < high" in error({"low": 2, "high": 1})
    assert "lies above 0" in error({"low": 0, "high": 1, "log": True})
    assert "a range accepts low, high, log" in error({"low": 0, "hgih": 1})
    assert "a range needs numbers" in error({"low": False, "high": True})


def test_a_range_over_whole_numbers_may_be_written_as_floats_but_has_whole_ends() -> None:
    def ranks(low: float, high: float) -> set[int | None]:
        branch = {"method": "lora", "rank": {"low": low, "high": high}, "optimizer": "sgd", "lr": 1}
        return {trial.rank for trial in enumerate_trials(spec([branch], search="random", trials=50))}

    assert ranks(1, 4.0) == {1, 2, 3, 4}
    with pytest.raises(UserError, match=r"space\[0\].rank: .* both ends of this range are whole numbers"):
        ranks(1, 4.5)
