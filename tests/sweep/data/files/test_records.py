"""Every format, plain and packed, gives the same records; what can't be read is named by its line."""

import bz2
import csv
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow  # type: ignore[import-untyped]
import pytest
from datasets import Dataset
from pyarrow import ipc, parquet

from basis.errors import UserError
from sweep.data.files.records import file_records
from sweep.data.records import Unreadable
from sweep.schema.data_folders import FORMATS, PACKINGS

ROWS = [{"prompt": f"Is {n} a prime – ou “pas” ?\u2028Yes,\nor no?", "completion": f'"{n}", is.'} for n in range(5)]
FIELDS = ("prompt", "completion", "text", "messages")


def as_csv(delimiter: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["prompt", "completion"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(ROWS)

    return write


def as_arrow(path: Path) -> None:
    table = pyarrow.Table.from_pylist(ROWS)
    with ipc.new_file(path, table.schema) as file:
        file.write_table(table, max_chunksize=2)


WRITERS: dict[str, Callable[[Path], object]] = {
    ".jsonl": lambda path: path.write_bytes("\n".join(map(json.dumps, ROWS)).encode()),
    ".json": lambda path: path.write_bytes(json.dumps(ROWS, indent=1).encode()),
    ".csv": as_csv(","),
    ".tsv": as_csv("\t"),
    ".parquet": lambda path: parquet.write_table(pyarrow.Table.from_pylist(ROWS), path),
    ".arrow": as_arrow,
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: bytes(pyarrow.compress(content, codec="zstd", asbytes=True)),
}


def records(path: Path) -> list[object]:
    return [record for _, record in file_records(path, FIELDS)]


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_is_read_plain_and_packed(tmp_path: Path, suffix: str, packing: str) -> None:
    plain = tmp_path / f"plain{suffix}"
    WRITERS[suffix](plain)
    path = tmp_path / f"a{suffix}{packing}"
    path.write_bytes(PACKERS[packing](plain.read_bytes()))
    assert records(path) == ROWS
    if packing:
        disguised = tmp_path / f"b{suffix}"
        disguised.write_bytes(path.read_bytes())
        assert records(disguised) == ROWS
        path.write_bytes(path.read_bytes()[:-12])
        with pytest.raises(UserError, match=rf"a\{suffix}\{packing}: can't be read \("):
            records(path)


def test_no_format_goes_untested() -> None:
    assert {*WRITERS, ".txt"} == set(FORMATS)
    assert set(PACKERS) == {"", *PACKINGS}


def test_a_text_file_has_a_text_in_each_line_as_datasets_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffOnce.\r\n\r\n  Twice – \nno newline".encode())
    assert records(path) == [{"text": "Once."}, {"text": "  Twice – "}, {"text": "no newline"}]
    path.write_bytes(b"fine\n\xe9\nfine")
    assert records(path)[1] == Unreadable("byte 0xe9 is not UTF-8; convert it to UTF-8")


def test_what_datasets_saves_to_disk_is_read(tmp_path: Path) -> None:
    Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    assert records(next((tmp_path / "saved").glob("*.arrow"))) == ROWS


def test_messages_come_out_of_tables_as_they_went_in(tmp_path: Path) -> None:
    talk = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hey"}]}
    parquet.write_table(pyarrow.Table.from_pylist([talk]), tmp_path / "a.parquet")
    assert records(tmp_path / "a.parquet") == [talk]


def test_windows_line_ends_and_byte_order_marks_make_no_difference(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfprompt,completion\r\nWhy?,So.\r\n\r\n")
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "Why?", "completion": "So."}\r\n\r\n')
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf[{"prompt": "Why?",\r\n"completion": "So."}]\r\n')
    for name in ("a.csv", "a.jsonl", "a.json"):
        assert records(tmp_path / name) == [{"prompt": "Why?", "completion": "So."}]


def test_a_cell_of_a_csv_file_may_be_long_and_stays_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"prompt,completion\n{'long ' * 50_000},007\n")
    assert records(tmp_path / "a.csv") == [{"prompt": "long " * 50_000, "completion": "007"}]


def test_lines_of_which_one_is_broken_leave_the_others_readable(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt,completion\n"two\nlines",a\nb\nc,d,e\nf,g\n')
    placed = list(file_records(tmp_path / "a.csv", FIELDS))
    assert [place for place, _ in placed] == ["line 2", "line 4", "line 5", "line 6"]
    assert placed[1][1] == Unreadable("has 1 values, but the first line names 2 columns")
    assert placed[3][1] == {"prompt": "f", "completion": "g"}
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": 1, "a": 2}\n{"a"\n')
    assert [isinstance(one, Unreadable) for one in records(tmp_path / "a.jsonl")] == [False, True, True]


def test_columns_that_stand_twice_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,completion,prompt\na,b,c\n")
    twice = pyarrow.table([["a"], ["b"]], names=["prompt", "prompt"])
    parquet.write_table(twice, tmp_path / "a.parquet")
    (tmp_path / "a.json").write_text('[{"prompt": "a", "prompt": "b"}]')
    for name in ("a.csv", "a.parquet"):
        with pytest.raises(UserError, match=rf"{name}: the column 'prompt' is there twice; which of them counts"):
            records(tmp_path / name)
    with pytest.raises(UserError, match=r"a\.json: the key 'prompt' stands twice in one object"):
        records(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b'prompt,completion\na,b\n"open,c\nd,e\n', r"a\.csv, line 4: not CSV \(unexpected end of data\)"),
        ("a.csv", b"prompt,completion\na,b\n\xe9,c\n", r"a\.csv, line 3: byte 0xe9 is not UTF-8"),
        ("a.arrow", b"plain text, no arrow at all", r"a\.arrow: (not a readable arrow file|can't be read) \("),
        ("a.txt.zst", b"plain", r"a\.txt\.zst: can't be read \("),
        ("a.csv.xz", b"plain", r"a\.csv\.xz: can't be read \("),
    ],
)
def test_a_file_that_cant_be_read_on_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        records(tmp_path / name)
    assert "\n" not in str(caught.value)
