"""analysis.published.gpu_memory: the published "GPU memory" taken apart to the byte, and ours beside it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from analysis import report
from analysis.comparison.grouping import group_arms
from analysis.published import gpu_memory as published_memory
from analysis.published.gpu_memory import PublishedMemory, explain_memory
from tests import synthetic_experiment as synthetic

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adamw")


def explained(*changes: dict[str, object]) -> PublishedMemory:
    return explain_memory(group_arms(synthetic.in_memory(*changes)))


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


def test_published_figures_are_explained_to_the_byte() -> None:
    frame = explain_memory([]).explained.set_index("bytes")
    assert list(frame) == ["SGD", "momentum", "Nesterov", "AdamW"]
    for name, states in zip(frame, (0, 1, 1, 2), strict=True):
        *parts, total, published, difference = (number(cell) for cell in frame[name])
        assert parts == [1_646_821_376, 2 * 8_519_680, 2 * 65_536, 2 * 512, states * 213_111_296]
        assert sum(parts) == total == published
        assert difference == 0
    assert frame.loc["published"].tolist() == ["1,663,992,832", "1,877,104,128", "1,877,104,128", "2,090,215,424"]


def test_other_published_figures_would_leave_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = published_memory.load_published()
    figures.loc[figures["run"] == "AdamW_lora1", "retained_delta_bytes"] += 4096
    monkeypatch.setattr(published_memory, "load_published", lambda: figures)
    frame = explain_memory([]).explained.set_index("bytes")
    assert frame.loc["difference"].tolist() == ["0", "0", "0", "4,096"]


def test_size_of_a_state_follows_from_the_shapes_of_what_was_trained_too() -> None:
    # 53,277,777 parameters of four bytes; the head's B alone, of 50257 x 4, is no multiple of 512 and takes 188 more
    notes = " ".join(explain_memory([]).explained_notes)
    assert 4 * 53_277_777 + 188 == 213_111_296
    assert notes.count("213,111,296 bytes") == 2
    assert "retains 32,088,064 bytes more, where two states grow by 32,004,096; the other 83,968 (0.26 %)" in notes


def test_our_optimizers_differ_by_their_states_beside_the_published_ones() -> None:
    ours = explained(*[{"optimizer": name} for name in OPTIMIZERS], {"rank": 10}).ours.set_index(
        "arm, or from one to another"
    )
    assert ours.loc["lora r1 momentum"].tolist() == ["1,877,104,128", "10,485,760", "10,485,760", "27,262,976"]
    assert ours.loc["lora r1 sgd → lora r1 momentum"].tolist() == ["213,111,296", *["10,485,760"] * 3]
    assert ours.loc["lora r1 momentum → lora r1 adamw"].tolist() == ["213,111,296", *["10,485,760"] * 3]
    assert ours.loc["lora r1 adamw → lora r10 adamw"].tolist() == ["32,088,064", "0", "0", "0"]


@pytest.mark.parametrize(
    ("beyond", "said"), [([0, 0], "alone, to the byte."), ([0, 4096], "alone, but for 0 to 4,096 bytes")]
)
def test_how_far_our_retained_delta_is_the_optimizer_state_alone_is_computed(beyond: list[int], said: str) -> None:
    results = synthetic.in_memory({"optimizer": "sgd"}, {})
    results.trials["retained_delta_bytes"] = results.trials["optimizer_state_bytes"] + beyond
    (note,) = explain_memory(group_arms(results)).ours_notes
    assert said in note


def steps_of(made: PublishedMemory) -> list[str]:
    return [name for name in made.ours["arm, or from one to another"] if "→" in name]


def test_arms_of_a_grid_are_compared_with_the_one_of_the_same_learning_rate() -> None:
    grid = [{"optimizer": name, "lr": lr} for name in ("sgd", "momentum") for lr in (1e-3, 1e-2)]
    found = steps_of(explained(*grid, {"lr": 1e-4}))
    assert found == [f"lora r1 sgd lr={lr} → lora r1 momentum lr={lr}" for lr in ("0.001", "0.01")]  # no AdamW


def test_arms_that_differ_in_more_than_the_optimizer_are_not_subtracted() -> None:
    assert steps_of(explained({"optimizer": "sgd", "batch_size": 4}, {"optimizer": "momentum"})) == []
    assert steps_of(explained({"rank": 1}, {"rank": 10, "block_size": 32})) == []


def test_arm_that_did_not_finish_or_is_of_another_kind_is_not_set_beside_the_published_ones() -> None:
    made = explained({"outcome": "out of memory"}, {"optimizer": "muon"}, {"method": "full", "rank": None})
    assert made.ours.empty
    assert made.ours_notes == []


def test_section_stands_in_reports_of_the_published_variant_alone(tmp_path: Path) -> None:
    directory = Path(shutil.copytree(synthetic.directory(), tmp_path / "study"))
    built = report.build(directory)
    page, markdown = built.html.read_text(), built.markdown.read_text()
    title = "The published “GPU memory”, to the byte"
    row = "two cuBLAS workspaces of 8,519,680"
    assert all(title in text and row in text and "1,646,821,376" in text for text in (page, markdown))
    assert "The study's “GPU memory” is a retained delta" not in markdown  # said once
    (directory / "spec.yaml").write_text(yaml.safe_dump({**synthetic.SPEC, "variant": None}))
    other = report.build(directory).markdown.read_text()
    assert title not in other
    assert "The study's “GPU memory” is a retained delta" in other
    (directory / "spec.yaml").write_text(yaml.safe_dump({**synthetic.SPEC, "published_figures": False}))
    assert title not in report.build(directory).html.read_text()


def test_trials_of_an_older_sweep_have_no_predicted_state() -> None:
    results = synthetic.in_memory({"optimizer": "sgd"}, {"optimizer": "momentum"})
    older = replace(results, trials=results.trials.drop(columns="predicted_optimizer_state_bytes"))
    assert explain_memory(group_arms(older)).ours["as predicted"].tolist() == ["–"] * 3
