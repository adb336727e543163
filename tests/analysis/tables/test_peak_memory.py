"""What was predicted, what was measured, what it consists of, and what ran out."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis import report
from analysis.comparison.grouping import group_arms
from analysis.drawings.memory import PREDICTED, draw_memory
from analysis.results.experiment import Results, read_experiment
from analysis.tables.memory_bars import REST
from analysis.tables.peak_memory import MemorySection, describe_memory, memory_of_arms
from basis.metrics import METRIC
from tests import synthetic_experiment as synthetic

MIB = synthetic.MIB
NEW = [name for name in METRIC if name.startswith(("predicted_", "peak_")) and name != "peak_bytes"]
NEW += ["micro_batch", "activation_checkpointing"]


def section(results: Results) -> MemorySection:
    made = describe_memory(memory_of_arms(group_arms(results)), results.attempts, results.trials)
    assert made is not None
    return made


def with_trials(results: Results, **columns: list[object]) -> Results:
    return replace(results, trials=results.trials.assign(**columns))


def older(results: Results) -> Results:
    """The same without what sweeps did not report at first."""
    return replace(results, trials=results.trials.drop(columns=NEW))


@pytest.fixture(scope="module")
def shown() -> MemorySection:
    return section(read_experiment(synthetic.directory()))


def row_of(frame: pd.DataFrame, arm: str) -> dict[str, str]:
    return dict(frame.set_index("arm").loc[arm])


def test_prediction_stands_beside_the_measured_peak_with_its_signed_error(shown: MemorySection) -> None:
    row = row_of(shown.peaks, "lora r1 adamw")
    assert (row["predicted peak, MiB"], row["measured peak, MiB"], row["error"]) == ("1,234.00", "1,230.00", "+0.33 %")
    assert row_of(shown.peaks, "lora r1 sgd")["error"] == "-0.83 %"  # 1200 beside 1210
    assert "the largest is 0.83 % (lora r1 sgd)" in " ".join(shown.notes)


def test_way_in_which_a_trial_was_executed_is_told(shown: MemorySection) -> None:
    assert row_of(shown.peaks, "lora r1 adamw")["micro-batch"] == "8"
    assert row_of(shown.peaks, "lora r100 adamw")["micro-batch"] == "4"
    results = synthetic.in_memory({"seed": 1}, {"seed": 2}, {"rank": 10})
    results = with_trials(results, activation_checkpointing=[0, 1, 1], micro_batch=[12, 4, 1])
    peaks = section(results).peaks
    assert peaks["activation checkpointing"].tolist() == ["no or yes", "yes"]
    assert peaks["micro-batch"].tolist() == ["4 or 12", "1"]


def test_every_row_of_parts_adds_up_as_printed() -> None:
    odd = {f"{kind}_{name}_bytes": [1_234_567.0 + 89 * i] for kind in ("peak", "predicted") for i, name in
           enumerate(("weight", "gradient", "optimizer_state", "logits", "activation"))}  # fmt: skip
    totals = {name: [5 * 1_234_567.0 + 890] for name in ("peak_bytes", "predicted_peak_bytes")}
    parts = section(with_trials(synthetic.in_memory({}), **odd, **totals)).parts
    assert parts["peak"].tolist() == ["measured", "predicted"]
    for row in parts.drop(columns=["arm", "peak"]).itertuples(index=False):
        *addends, total = (round(100 * float(cell.replace(",", ""))) for cell in row)
        assert sum(addends) == total == 589  # hundredths of MiB; five times 1.18 are 5.90
        assert len(addends) == 5


def test_measured_and_predicted_parts_stand_one_above_the_other(shown: MemorySection) -> None:
    rows = shown.parts[shown.parts["arm"] == "lora r1 adamw"].set_index("peak")
    measured, predicted = dict(rows.loc["measured"]), dict(rows.loc["predicted"])
    assert [name for name in measured if measured[name] != predicted[name]] == ["activations, MiB", "sum, MiB"]
    assert (measured["optimizer state, MiB"], measured["logits, MiB"]) == ("20.00", "100.00")
    assert (measured["activations, MiB"], predicted["activations, MiB"]) == ("600.00", "604.00")


def test_of_several_seeds_all_parts_are_those_of_the_trial_with_the_highest_peak() -> None:
    results = synthetic.in_memory({"seed": 1}, {"seed": 2})
    results = with_trials(
        results,
        peak_bytes=[1230 * MIB, 1240 * MIB],
        peak_logits_bytes=[100 * MIB, 0],
        peak_activation_bytes=[600 * MIB, 710 * MIB],
    )
    measured = section(results).parts.iloc[0]
    assert (measured["logits, MiB"], measured["activations, MiB"], measured["sum, MiB"]) == (
        "0.00",
        "710.00",
        "1,240.00",
    )
    assert "Of several seeds the trial with the highest peak is shown." in section(results).notes


def test_how_the_peak_was_measured_and_what_activations_are_is_told(shown: MemorySection) -> None:
    notes = " ".join(shown.notes)
    assert "measured by: cpu tensors (what PyTorch's CPU allocator reports of the first two steps" in notes
    assert "kept for the backward pass, temporaries, kernels' workspaces" in notes
    mixed = with_trials(synthetic.in_memory({}, {"rank": 10}), peak_source=["cuda allocator", "cpu tensors"])
    assert "must not be compared" in " ".join(section(mixed).notes)


def test_without_predictions_their_columns_and_rows_vanish() -> None:
    results = synthetic.in_memory({}, {"rank": 10})
    kept = [name for name in results.trials if not name.startswith("predicted_")]
    made = section(replace(results, trials=results.trials[kept]))
    assert list(made.peaks) == ["arm", "measured peak, MiB", "micro-batch", "activation checkpointing"]
    assert "peak" not in made.parts
    assert len(made.parts) == 2
    assert "predicted" not in " ".join(made.notes).lower()


def test_older_sweep_has_its_peaks_alone() -> None:
    made = section(older(synthetic.in_memory({}, {"rank": 10})))
    assert list(made.peaks) == ["arm", "measured peak, MiB"]
    assert made.parts.empty
    assert "Activations" not in " ".join(made.notes)


def test_arm_without_parts_or_prediction_stands_beside_one_that_has_them() -> None:
    nothing = {name: [float(value), float("nan")] for name, value in synthetic.memory(synthetic.CONFIG).items()
               if name in NEW}  # fmt: skip
    made = section(with_trials(synthetic.in_memory({}, {"rank": 10}), **nothing))
    assert made.peaks["error"].tolist() == ["+0.33 %", "–"]
    assert set(made.parts["arm"]) == {"lora r1 adamw"}


def test_reserved_peak_is_shown_where_there_is_one(shown: MemorySection) -> None:
    assert "reserved peak, MiB" not in shown.peaks
    results = with_trials(synthetic.in_memory({}), reserved_peak_bytes=[1300 * MIB])
    assert section(results).peaks["reserved peak, MiB"].tolist() == ["1,300.00"]


def test_arm_that_ran_out_of_memory_shows_its_prediction_and_no_peak(shown: MemorySection) -> None:
    row = row_of(shown.peaks, "lora r100 momentum")
    assert (row["predicted peak, MiB"], row["measured peak, MiB"], row["error"]) == ("1,224.00", "out of memory", "–")
    assert set(shown.parts[shown.parts["arm"] == "lora r100 momentum"]["peak"]) == {"predicted"}


def test_all_attempts_that_ran_out_are_listed_with_how_the_trial_ended(shown: MemorySection) -> None:
    assert list(shown.attempts["arm"]) == ["lora r100 momentum"] * 2 + ["lora r100 adamw"]
    first, second, third = shown.attempts.to_dict("records")
    assert [first[name] for name in ("seed", "during", "micro-batch", "activation checkpointing")] == [
        "1", "training", "8", "no",
    ]  # fmt: skip
    sizes = ("predicted, MiB", "reached, MiB", "allowed, MiB")
    assert [first[name] for name in sizes] == ["1,224.00", "1,300.00", "1,250.00"]
    assert [third[name] for name in sizes] == ["1,400.00", "1,500.00", "–"]
    assert [one["asked last, MiB"] for one in (first, second, third)] == ["90.00", "60.00", "–"]
    assert first["how the trial ended"] == "out of memory"
    assert third["how the trial ended"] == "finished with micro-batch 4"


def test_sweep_that_knows_nothing_of_memory_has_no_section() -> None:
    results = synthetic.in_memory({}, {"rank": 10, "outcome": "failed"})
    results = older(replace(results, trials=results.trials.drop(columns="peak_bytes")))
    memory = memory_of_arms(group_arms(results))
    assert memory == []
    assert describe_memory(memory, results.attempts, results.trials) is None
    assert draw_memory(memory) is None


def bars_of(results: Results) -> tuple[dict[str, float], list[float], str]:
    """Widths by label, places of the ticks, and the caption of the figure of a single arm."""
    drawing = draw_memory(memory_of_arms(group_arms(results)))
    assert drawing is not None
    (axes,) = drawing.figure.axes
    handles, labels = axes.get_legend_handles_labels()
    widths = {label: bar[0].get_width() for bar, label in zip(handles, labels, strict=True) if label != PREDICTED}
    return widths, [float(line.get_xdata()[0]) for line in axes.lines], drawing.caption


def test_memory_bar_is_stacked_by_parts_with_a_tick_at_the_prediction() -> None:
    widths, ticks, caption = bars_of(synthetic.in_memory({}))
    assert list(widths) == ["weights", "gradients", "optimizer state", "logits", "activations"]
    assert sum(widths.values()) == pytest.approx(1230 / 1024)
    assert ticks == [pytest.approx(1234 / 1024)]
    assert "tick marks the peak that was predicted" in caption


def test_memory_bar_of_an_older_sweep_has_the_rest_up_to_the_peak() -> None:
    widths, ticks, caption = bars_of(older(synthetic.in_memory({})))
    assert list(widths) == ["weights", "gradients", "optimizer state", REST]
    assert widths[REST] == pytest.approx(700 / 1024)
    assert sum(widths.values()) == pytest.approx(1230 / 1024)
    assert ticks == []
    assert "predicted" not in caption


def test_page_and_markdown_hold_the_memory_section(shown: MemorySection, tmp_path: Path) -> None:
    built = report.build(Path(shutil.copytree(synthetic.directory(), tmp_path / "study")))
    page, markdown = built.html.read_text(), built.markdown.read_text()
    for frame in (shown.peaks, shown.parts, shown.attempts):
        for row in frame.itertuples(index=False):
            assert "\n| " + " | ".join(row) + " |" in "\n".join(
                " ".join(line.split()) for line in markdown.splitlines()
            )
            assert all(f">{cell}</t" in page for cell in row)
    assert "the largest is 0.83 % (lora r1 sgd)" in page
    assert {"predicted_peak_bytes", "peak_logits_bytes", "micro_batch"} <= set(pd.read_csv(built.trials_csv))
