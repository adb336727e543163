"""The benchmarks of generation, data and overhead: that they measure what they say, not what comes out."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import data, generation, overhead, scale
from benchmarks.measured import paired, spread
from benchmarks.overhead import Trial, after_the_first, by_worker, per_trial, read_trials
from benchmarks.table import Table

# One worker: a first trial of 3 s, then two trials of 1 s own work, each with 0.5 s around it.
ONE_WORKER = [Trial(100.0, 103.0, 2.0, 7), Trial(103.3, 104.5, 1.0, 7), Trial(104.8, 106.0, 1.0, 7)]
OTHER_WORKER = [Trial(100.5, 104.0, 2.0, 8), Trial(104.0, 105.25, 1.0, 8)]


@pytest.fixture(scope="module")
def generated() -> Table:
    return generation.measure(quick=True)


@pytest.fixture(scope="module")
def fed() -> Table:
    return data.measure(quick=True)


def _row(table: Table, start: str) -> dict[str, str | float | int | None]:
    (row,) = (row for row in table.rows if str(row["what"]).startswith(start))
    return row


def _sound(table: Table) -> None:
    assert len({str(row["what"]) for row in table.rows}) == len(table.rows)
    for row in table.rows:
        assert row.keys() == table.rows[0].keys()
        lowest, median, highest = (float(row[name] or 0) for name in ("lowest", "median", "highest"))
        assert 0 <= lowest <= median <= highest, row


def test_generation_compares_equal_work(generated: Table) -> None:
    _sound(generated)
    assert generated.name == "generation"
    assert [(target.bound, target.at_least) for target in generated.targets] == [(40, True), (1.2, True)]
    assert _row(generated, "ours / Hugging Face generate")["measurements"] == generation.QUICK.rounds


def test_our_greedy_tokens_are_hugging_faces(generated: Table) -> None:
    assert _row(generated, "greedy")["median"] == 1
    model = generation.random_model(generation.QUICK)
    prompts = generation.random_prompts(6)
    assert len({len(prompt) for prompt in prompts}) > 1
    assert generation.greedy_rows_equal(model, prompts, 6) == 1


def test_work_that_is_not_equal_is_not_measured() -> None:
    with pytest.raises(RuntimeError, match="2 tokens were generated where 3 were expected"):
        generation._rate(lambda: [[1, 2]], 3)


@pytest.mark.slow
def test_data_is_measured_and_judged(fed: Table) -> None:
    _sound(fed)
    assert [target.bound for target in fed.targets] == [1, 0.3, 1, 0.3, 0.01]
    assert not any(target.at_least for target in fed.targets)
    assert float(_row(fed, "tokenising, datasets: memory growth")["median"] or 0) > 0
    assert float(_row(fed, "feeding 8 x 1024")["median"] or 0) > 0


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Lets both tokenisations pretend a number of tokens."""

    def pretend(ours: int, theirs: int) -> None:
        counts = {"ours": ours, "datasets": theirs}
        monkeypatch.setattr(data, "_in_fresh_process", lambda way, *_: {"tokens": counts[way]})

    return pretend


def test_tokenisations_that_differ_are_not_compared(pretended: Callable[[int, int], None], tmp_path: Path) -> None:
    pretended(5, 5)
    assert data.tokenised_pairs(tmp_path, 2) == [({"tokens": 5}, {"tokens": 5})] * 2
    pretended(5, 6)
    with pytest.raises(RuntimeError, match="differ"):
        data.tokenised_pairs(tmp_path, 1)


def test_overhead_of_one_trial_at_a_time() -> None:
    assert after_the_first(ONE_WORKER) == pytest.approx(0.5)
    assert per_trial(ONE_WORKER, 1) == pytest.approx((6 - 4) / 3)
    assert after_the_first(ONE_WORKER[::-1]) == after_the_first(ONE_WORKER)  # files come in any order


def test_overhead_of_two_at_once_counts_each_worker_by_itself() -> None:
    trials = [*OTHER_WORKER, *ONE_WORKER]
    assert [len(chain) for chain in by_worker(trials)] == [3, 2]
    assert after_the_first(trials) == pytest.approx((2 * 0.5 + 0.25) / 3)
    assert per_trial(trials, 2) == pytest.approx((6 - 7 / 2) / 5)


def test_trials_are_read_from_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "lora-r1"
    folder.mkdir()
    rows = [{"train_seconds": 0.0, "evaluation_seconds": 0.1, "pid": 3}]
    rows.append({"train_seconds": 1.5, "evaluation_seconds": 0.25, "pid": 3})
    (folder / "result.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, at in (("trial.lock", 50.0), ("finished.json", 52.5)):
        (folder / name).touch()
        os.utime(folder / name, (at, at))
    (tmp_path / "unfinished").mkdir()
    assert read_trials(tmp_path) == [Trial(50.0, 52.5, 1.75, 3)]


@pytest.mark.parametrize("trials", [2, 4, 30, 50])
def test_the_sweeps_spec_has_the_trials_that_are_wanted(trials: int, tmp_path: Path) -> None:
    space = overhead._spec(tmp_path, trials, 1.0)["space"]
    assert len(space["rank"]) * len(space["lr"]) == trials
    assert len(set(space["lr"])) == len(space["lr"])


def test_rows_and_ratios() -> None:
    assert paired([2.0, 3.0], [1.0, 2.0]) == [2.0, 1.5]
    row = spread("a", "s", [3.0, 1.0, 2.0])
    assert (row["median"], row["lowest"], row["highest"], row["measurements"]) == (2.0, 1.0, 3.0, 3)


def test_the_overhead_of_a_part_of_many_trials_is_what_its_time_has_beside_their_own_work() -> None:
    trials = [Trial(0.0, ended, 0.5, 7) for ended in (1.0, 2.0, 3.0, 7.0)]
    assert scale.overhead(trials, 1, 3) == (2.0 - 1.0 / scale.CPUS) / 2
    assert scale.overhead(trials, 3, 4) == 4.0 - 0.5 / scale.CPUS
