"""Which files of a folder are read for what."""

from pathlib import Path

import pytest

from basis.errors import UserError
from sweep.schema.data_folders import Role, folder_files
from sweep.schema.sources import source_files


@pytest.mark.parametrize(
    ("there", "role", "chosen"),
    [
        (("a.jsonl", "b.jsonl"), "train", ("a.jsonl", "b.jsonl")),
        (("a.jsonl", "b.jsonl"), "test", ("a.jsonl", "b.jsonl")),
        (("train.jsonl", "test.jsonl", "dev.jsonl"), "train", ("train.jsonl",)),
        (("train.jsonl", "test.jsonl", "dev.jsonl"), "test", ("test.jsonl",)),
        (("train.jsonl", "test.jsonl"), "exclude", ("test.jsonl", "train.jsonl")),
        (("a.jsonl", "eval.jsonl"), "train", ("a.jsonl",)),
        (("train.jsonl", "test.jsonl", "dev.jsonl"), "general", ("test.jsonl",)),
        (("a.jsonl", "b.jsonl"), "general", ("a.jsonl", "b.jsonl")),
        (("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-0.parquet"), "train", 2),
        (("train/data-0.arrow", "test/data-0.arrow", "train/state.json", "dataset_dict.json"), "train", 1),
        (("contest.jsonl", "trainer.jsonl"), "train", ("contest.jsonl", "trainer.jsonl")),
        (("README.md", ".hidden.jsonl", "a.csv.gz", "dataset_info.json"), "train", ("a.csv.gz",)),
    ],
)
def test_a_folder_is_read_by_the_names_of_its_files(
    tmp_path: Path, there: tuple[str, ...], role: Role, chosen: tuple[str, ...] | int
) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files = tuple(str(path.relative_to(tmp_path)) for path in folder_files(tmp_path, role))
    assert files == (there[:chosen] if isinstance(chosen, int) else chosen)
    assert source_files(str(tmp_path), role) == folder_files(tmp_path, role)


@pytest.mark.parametrize(
    ("there", "role", "message"),
    [
        (("README.md",), "train", "no data file is in this folder; accepted: .jsonl, .json, .csv"),
        (("train.jsonl", "dev.jsonl"), "test", "has files for train and validation, and none for test; name a file"),
        (("a.jsonl", "b.csv"), "train", "holds files of several formats (.csv, .jsonl); name those meant: "),
    ],
)
def test_a_folder_that_leaves_doubt_is_refused(
    tmp_path: Path, there: tuple[str, ...], role: Role, message: str
) -> None:
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(UserError) as caught:
        folder_files(tmp_path, role)
    assert f"{tmp_path}: {message}" in str(caught.value)


def test_a_pattern_without_a_suffix_takes_data_files_alone(tmp_path: Path) -> None:
    for name in ("1.jsonl", "2.jsonl.gz", "notes.md", "state.json"):
        (tmp_path / name).touch()
    assert source_files(f"{tmp_path}/*", "train") == [tmp_path / "1.jsonl", tmp_path / "2.jsonl.gz"]
    with pytest.raises(UserError, match=r"x\*: matches no file$"):
        source_files(f"{tmp_path}/x*", "train")
