"""Several sweeps put together: seeds of one arm, what was run twice, and what keeps arms of one config apart."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pandas as pd
import pytest

from analysis.page.content import Content, content_of
from analysis.results.experiment import Results
from analysis.results.several import name_sweeps, pooled
from basis.stages import Stage
from tests.planted_sweep import Config, grid, planted
from tests.synthetic_experiment import of_models, with_window_losses

HASHES = {"train_tokens": "train", "test_tokens": "test", "base_weights": "base", "tokenizer": "words"}


def loss_of(config: Config) -> float:
    return float(2.0 + 0.1 * (config["rank"] == 1) + 0.013 * (config["seed"] * 7919 % 5))


def sweep(
    ranks: list[int], seeds: list[int], shift: float = 0.0, parts: dict[str, Any] | None = None, **hashes: str
) -> Results:
    """Trials of these ranks and seeds with records of their inputs, code, packages and hardware."""
    judged = {"wins": 24, "ties": 0, "losses": 16, "win_rate": 0.6}
    metrics = {name: lambda _, value=value: value for name, value in judged.items()}
    results = planted(lambda config: loss_of(config) + shift, grid(rank=ranks, seed=seeds), **metrics)
    record = {
        "hashes": {**HASHES, **hashes},
        "code": {"files": "code", "commit": "abc", "dirty": False},
        "versions": {"torch": "2.13"},
        "hardware": {"device": "cpu", "cpu": "cpu", "threads": 1},
        **(parts or {}),
    }
    return replace(results, records=dict.fromkeys(results.configs, record))


def first_table(results: Results) -> pd.DataFrame:
    return content_of(results).tables[0].frame


def flags(content: Content) -> str:
    return " ".join(content.ledgers["all-arms"].flags)


def test_seeds_of_two_sweeps_make_the_table_of_one() -> None:
    """To the digit, since inputs and code are the same; the order of the directories changes nothing."""
    one = content_of(with_window_losses(sweep([1, 4], [1, 2, 3, 4])))
    whole = with_window_losses(sweep([1, 4], [1, 2, 3, 4]))

    def part(seeds: list[int], records: Results) -> Results:
        kept = whole.trials["seed"].isin(seeds)
        own = set(whole.trials.loc[kept, "trial"])
        return replace(
            records,
            trials=whole.trials[kept],
            curves=whole.curves[whole.curves["trial"].isin(own)],
            window_losses=whole.window_losses[whole.window_losses["trial"].isin(own)],
            configs={trial: config for trial, config in whole.configs.items() if trial in own},
            records={trial: record for trial, record in whole.records.items() if trial in own},
        )

    parts = {"A": part([1, 2], whole), "B": part([3, 4], whole)}
    for order in permutations(parts):
        together = content_of(pooled({name: parts[name] for name in order}))
        frame = together.tables[0].frame
        assert set(frame.pop("sweep")) == {"A, B"}
        pd.testing.assert_frame_equal(frame, one.tables[0].frame)
        pd.testing.assert_frame_equal(together.pairs["all-arms"].frame, one.pairs["all-arms"].frame)


def test_arms_of_two_sweeps_stand_in_one_table() -> None:
    frame = first_table(pooled({"A": sweep([1], [1, 2, 3]), "B": sweep([4], [1, 2, 3])}))
    assert list(frame["arm"]) == ["lora r1 adamw", "lora r4 adamw"]
    assert list(frame["sweep"]) == ["A", "B"]


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"train_tokens": "other"}, "train set"),
        ({"test_tokens": "other"}, "test set"),
        ({"prompts": "other"}, "prompts"),
        ({"reward_model": "other"}, "reward model"),
        ({"base_weights": "other"}, "base weights"),
        ({"parts": {"code": {"files": "other", "commit": "abc"}}}, "code (hash of its files)"),
    ],
)
def test_seeds_under_other_inputs_or_code_are_no_replicates(changes: dict[str, Any], flag: str) -> None:
    known: dict[str, Any] = {"prompts": "asked", "reward_model": "judge"}
    content = content_of(pooled({"A": sweep([1], [1, 2], **known), "B": sweep([1], [3, 4], **{**known, **changes})}))
    assert list(content.tables[0].frame["seeds"]) == ["1, 2", "3, 4"]
    assert len(set(content.tables[0].frame["arm"])) == 2
    assert flag in flags(content)


@pytest.mark.parametrize(
    ("parts", "flag"),
    [
        ({"versions": {"torch": "2.14"}}, "version of torch: 2.13 (A), 2.14 (B)"),
        ({"hardware": {"device": "H100", "cpu": "cpu", "threads": 1}}, "device: H100 (B), cpu (A)"),
    ],
)
def test_other_packages_and_hardware_are_flagged(parts: dict[str, Any], flag: str) -> None:
    content = content_of(pooled({"A": sweep([1], [1, 2]), "B": sweep([4], [1, 2], parts=parts)}))
    assert all(part in flags(content) for part in flag.split(": ")[1].split(", "))


def test_losses_on_other_test_sets_are_not_paired() -> None:
    parts = {"A": sweep([1], [1, 2]), "B": sweep([4], [1, 2], test_tokens="other")}
    content = content_of(pooled({name: with_window_losses(part) for name, part in parts.items()}))
    assert not content.tables[0].compared.losses


def test_a_trial_that_two_sweeps_ran_counts_once() -> None:
    together = pooled({"A": sweep([1], [1, 2]), "B": sweep([1], [2, 3])})
    repeated = together.trials[together.trials["outcome"] == "repeated"]
    assert list(repeated["trial"]) == ["B/trial-0"]
    assert "A/trial-1" in repeated["reason"].iloc[0]
    assert "B/trial-0" not in set(together.curves["trial"])
    assert together.unlike_repeats == ()
    assert first_table(together)["seeds"].iloc[0] == "1, 2, 3 (1 repeated)"


def test_of_a_repeated_trial_the_finished_one_counts() -> None:
    first = sweep([1], [1, 2])
    failed = first.trials.assign(outcome=["finished", "failed"])
    together = pooled({"A": replace(first, trials=failed), "B": sweep([1], [2])})
    assert list(together.trials.loc[together.trials["outcome"] == "repeated", "trial"]) == ["A/trial-1"]


def test_a_repeated_trial_of_another_loss_is_a_finding() -> None:
    content = content_of(pooled({"A": sweep([1, 4], [1, 2]), "B": sweep([1], [2], shift=0.5)}))
    found = next(finding for finding in content.findings if finding.topic == "Not reproduced")
    assert "B/trial-0" in found.sentences[0]
    assert content.summary.trust.level == "low"


def test_trials_without_records_are_never_pooled_across_sweeps() -> None:
    bare = [replace(sweep([1], [seed]), records={}) for seed in (1, 2)]
    assert list(first_table(pooled({"A": bare[0], "B": bare[1]}))["seeds"]) == ["1", "2"]


def test_other_tokenizers_are_compared_by_the_byte() -> None:
    """Each sweep of one model, whose configs name none."""
    parts = {}
    for name, tokenizer in (("A", "words"), ("B", "letters")):
        part = of_models({"m": (tokenizer, "rows")})
        configs = {trial: {**config, "model": None} for trial, config in part.configs.items()}
        weights = {
            trial: {**record, "hashes": {**record["hashes"], "base_weights": name}}
            for trial, record in part.records.items()
        }
        spec = {"model": {"name": f"org/{tokenizer}"}}
        parts[name] = replace(
            part, configs=configs, trials=part.trials.drop(columns="model"), records=weights, spec=spec
        )
    table = content_of(pooled(parts)).tables[0]
    assert "bits per byte" in table.title
    assert {arm.model for arm in table.arms} == {"words", "letters"}


def test_each_sweep_chooses_among_its_own_tuning_trials() -> None:
    space = [{"method": "lora", "lr": {"low": 1e-4, "high": 1e-1, "log": True}}]
    parts = {}
    for name, rates in (("A", [1e-3, 1e-2]), ("B", [2e-3, 2e-2, 2e-4])):
        tuning = planted(
            loss_of, grid(rank=[1], seed=[0], lr=rates, evaluate_on=[Stage.TUNING]), validation_loss=loss_of
        )
        final = planted(loss_of, grid(rank=[1], seed=[1, 2], lr=[rates[0]], evaluate_on=[Stage.FINAL]))
        frame = tuning.trials.drop(columns="arm").assign(trial="tuning-" + tuning.trials["trial"])
        configs = final.configs | {f"tuning-{trial}": config for trial, config in tuning.configs.items()}
        parts[name] = replace(
            final, tuning=frame, configs=configs, spec={"search": "tuned", "space": space},
            records={trial: {"hashes": HASHES} for trial in configs},
        )  # fmt: skip
    content = content_of(pooled(parts))
    assert content.tuning is not None
    assert sorted(content.tuning.frame["tuning trials"]) == ["2", "3"]
    assert "Unequal numbers of tuning trials" in flags(content)


def test_a_thousand_arms_of_ten_sweeps_are_put_together() -> None:
    parts = {f"s{n}": sweep(list(range(1 + 100 * n, 101 + 100 * n)), [1]) for n in range(10)}
    assert pooled(parts).trials["arm"].nunique() == 1000


def test_directories_of_one_name_are_told_apart_by_their_folders(tmp_path: Any) -> None:
    paths = [tmp_path / "a" / "study", tmp_path / "b" / "study"]
    assert list(name_sweeps(paths)) == ["a/study", "b/study"]
