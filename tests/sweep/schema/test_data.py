"""What `data` of a spec accepts beside its sources."""

from pathlib import Path

import pytest

from basis.errors import UserError
from sweep.preparation.first_look import look_at_files
from sweep.spec_file.load import load_spec


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    (tmp_path / "a.csv").write_text("q,a\nWhy?,So.\nHow?,\n")
    return f"data.train={tmp_path / 'a.csv'}"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.columns={prompt: q, completio: a}", "'completio' is no field that is read; accepted: messages, "),
        ("data.columns={prompt: q, completion: q}", "'q' stands twice; a field of the records has one name here"),
        ("data.columns={prompt: 3}", "prompt is 3; accepted: the name of a field, as text"),
        ("data.columns=[q, a]", "is not accepted; accepted: names of fields, by our names of them (messages, "),
        ("data.skip_broken=some", "'some' is not accepted; accepted: true or false"),
    ],
)
def test_what_is_no_name_of_a_field_is_refused(pairs: str, setting: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_spec("demo", [pairs, setting])
    assert message in str(caught.value)


def test_a_field_and_columns_are_two_ways_of_reading(pairs: str) -> None:
    with pytest.raises(
        UserError, match=r"columns: stands beside data\.field, which reads one field as text; leave one"
    ):
        load_spec("demo", [pairs, "data.field=q", "data.columns={prompt: q}"])


def test_the_first_look_reads_as_the_spec_says(pairs: str) -> None:
    columns = "data.columns={prompt: q, completion: a}"
    with pytest.raises(
        UserError, match=r"a\.csv, line 3: the field 'completion' is empty, but text is needed; data\.sk"
    ):
        look_at_files(load_spec("demo", [pairs, columns]))
    (line,) = look_at_files(load_spec("demo", [pairs, columns, "data.skip_broken=true"]))
    assert line == (
        "data.train: a.csv: 1 pair of prompt and completion, 1 broken record left out, the first opens with 'Why?'"
    )


def test_files_of_two_kinds_are_refused_before_anything_is_prepared(pairs: str, tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("Once upon a time.\n")
    (tmp_path / "a.csv").write_text("question,answer\nWhy?,So.\n")
    with pytest.raises(
        UserError, match=r"data\.test: .*b\.txt, line 1: text in the field text, but .*a\.csv, line 2 has"
    ):
        look_at_files(load_spec("demo", [pairs, f"data.test={tmp_path / 'b.txt'}"]))
