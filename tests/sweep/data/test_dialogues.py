"""Reading, subtracting, splitting and comparing dialogues."""

import gzip
import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet

from basis.errors import UserError
from basis.packages import ROOT
from sweep.data import dialogues
from sweep.data.dialogues import DataSources, Dialogues, write_sft
from sweep.data.digests import fingerprint, source_digests
from sweep.data.examples import Example, opening_turn
from sweep.data.overlap import overlap

SAMPLE = ROOT.parent / "shared" / "data" / "hh_harmless_sample.jsonl.gz"


def load_sft(train: list[str], test: list[str], exclude: list[str], **options: Any) -> Dialogues:
    return dialogues.load_sft(DataSources(tuple(train), tuple(test), tuple(exclude), **options))


def dialogue(question: str, answer: str = "Yes.") -> str:
    return f"\n\nHuman: {question}\n\nAssistant: {answer}"


DIALOGUES = [dialogue(f"Is {n} a prime – ou “pas” ?\u2028Second line", f"{n} is.\nQuite.") for n in range(20)]


def examples(texts: Iterable[str]) -> list[Example]:
    return [Example("text", text) for text in texts]


def sft(train: Iterable[str], test: Iterable[str]) -> Dialogues:
    return Dialogues(examples(train), examples(test))


def content_of(data: DataSources) -> str:
    return fingerprint(source_digests(data))


def write_lines(path: Path, texts: Iterable[str], **more: str) -> str:
    path.write_text("".join(json.dumps({"chosen": text, **more}) + "\n" for text in texts), encoding="utf-8")
    return str(path)


def as_json_lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n", encoding="utf-8")


def as_json_lines_with_bom(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8-sig")


def as_json_list(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def as_json_columns(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text(json.dumps({name: [row[name] for row in rows] for name in rows[0]}), encoding="utf-8")


def as_pandas_columns(path: Path, rows: list[dict[str, str]]) -> None:
    columns = {name: {str(n): row[name] for n, row in enumerate(rows)} for name in rows[0]}
    path.write_text(json.dumps(columns), encoding="utf-8")


def as_gzip(write: Callable[[Path, list[dict[str, str]]], None]) -> Callable[[Path, list[dict[str, str]]], None]:
    def write_and_pack(path: Path, rows: list[dict[str, str]]) -> None:
        write(path, rows)
        path.write_bytes(gzip.compress(path.read_bytes()))

    return write_and_pack


def as_parquet(path: Path, rows: list[dict[str, str]]) -> None:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", as_json_lines),
        ("bom.jsonl", as_json_lines_with_bom),
        ("a.jsonl.gz", as_gzip(as_json_lines)),
        ("lines.json", as_json_lines),
        ("list.json", as_json_list),
        ("columns.json", as_json_columns),
        ("pandas.json", as_pandas_columns),
        ("a.json.gz", as_gzip(as_json_list)),
        ("A.PARQUET", as_parquet),
    ],
)
def test_every_format_gives_the_same_dialogues(
    tmp_path: Path, name: str, write: Callable[[Path, list[dict[str, str]]], None]
) -> None:
    write(tmp_path / name, [{"chosen": text, "rejected": "no"} for text in DIALOGUES])
    path = str(tmp_path / name)
    read = load_sft([path], [path], [])
    assert read.train == read.test == examples(DIALOGUES)


def test_a_json_file_with_one_record_is_read(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "one.json", DIALOGUES[:1])
    assert load_sft([path], [path], []).train == examples(DIALOGUES[:1])


def test_a_glob_reads_its_files_in_order_of_their_names(tmp_path: Path) -> None:
    write_lines(tmp_path / "part-1.jsonl", DIALOGUES[10:])
    test = write_lines(tmp_path / "part-0.jsonl", DIALOGUES[:10])
    assert load_sft([str(tmp_path / "part-*.jsonl")], [test], []).train == examples(DIALOGUES)


def test_records_of_rm_static_form_are_subtracted_from_train_and_test(tmp_path: Path) -> None:
    split = [text.replace("Assistant: ", "Assistant:| ").split("|") for text in (DIALOGUES[3], DIALOGUES[12])]
    rm_static = [{"prompt": prompt, "response": "x", "chosen": chosen} for prompt, chosen in split]
    rm_static[0]["chosen"] += "  "  # whitespace around a dialogue doesn't let it escape
    as_json_lines(tmp_path / "rm_static.jsonl", rm_static)
    train = write_lines(tmp_path / "train.jsonl", DIALOGUES[:10])
    test = write_lines(tmp_path / "test.jsonl", DIALOGUES[10:])
    left = load_sft([train], [test], [str(tmp_path / "rm_static.jsonl")])
    assert left.train == examples(DIALOGUES[:3] + DIALOGUES[4:10])
    assert left.test == examples(DIALOGUES[10:12] + DIALOGUES[13:])
    assert left.excluded == 2


def test_records_without_a_prompt_are_subtracted_by_their_field(tmp_path: Path) -> None:
    train = write_lines(tmp_path / "train.jsonl", DIALOGUES)
    exclude = write_lines(tmp_path / "exclude.jsonl", DIALOGUES[5:])
    assert load_sft([train], [train], [exclude]).train == examples(DIALOGUES[:5])


def test_a_prompt_beside_a_train_dialogue_is_left_out(tmp_path: Path) -> None:
    train = write_lines(tmp_path / "train.jsonl", DIALOGUES, prompt="unused")
    assert load_sft([train], [train], []).train == examples(DIALOGUES)


def test_holding_out_keeps_openings_apart_whatever_the_order(tmp_path: Path) -> None:
    texts = [dialogue(f"question {n}", answer) for n in range(400) for answer in ("a", "b", "c")]
    one = load_sft([write_lines(tmp_path / "one.jsonl", texts)], [], [], test_fraction=0.1)
    random.Random(0).shuffle(texts)
    other = load_sft([write_lines(tmp_path / "other.jsonl", texts)], [], [], test_fraction=0.1)

    assert sorted(one.test) == sorted(other.test)
    assert sorted(one.train + one.test) == sorted(examples(texts))
    assert not set(map(opening_turn, one.train)) & set(map(opening_turn, one.test))
    assert overlap(one).opening == 0
    assert 0.06 < len(one.test) / len(texts) < 0.14

    fewer = load_sft([write_lines(tmp_path / "fewer.jsonl", texts[:600])], [], [], test_fraction=0.1)
    assert {x.text for x in fewer.test} <= {x.text for x in one.test}, (
        "a smaller set moved a dialogue to the other side"
    )


def test_what_settings_are_chosen_by_is_neither_in_train_nor_in_test(tmp_path: Path) -> None:
    texts = [dialogue(f"question {n}", answer) for n in range(300) for answer in ("a", "b")]
    train, test = write_lines(tmp_path / "train.jsonl", texts), write_lines(tmp_path / "test.jsonl", texts[:60])
    split = load_sft([train], [test], [], validation_fraction=0.2)
    assert not set(map(opening_turn, split.train)) & set(map(opening_turn, split.validation))
    both_sides = [example for example in split.validation if example in split.test]
    assert not both_sides, "a test dialogue that also stood in train has come along"
    assert 0.1 < len(split.validation) / len(texts) < 0.3

    both = load_sft([train], [], [], test_fraction=0.2, validation_fraction=0.2)
    assert sorted(both.train + both.test + both.validation) == sorted(examples(texts))
    assert both.test == load_sft([train], [], [], test_fraction=0.2).test, "the test set is that of other searches"
    assert 0.1 < len(both.validation) / len(texts) < 0.25


def test_holding_out_of_few_dialogues_takes_one_opening(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "few.jsonl", [dialogue("a"), dialogue("b"), dialogue("a", "No.")])
    held = load_sft([path], [], [], test_fraction=0.001)
    assert len({opening_turn(example) for example in held.test}) == 1
    assert held.train


def test_overlap_counts_exact_ones_openings_and_duplicates() -> None:
    train = [dialogue("a"), dialogue("b"), dialogue("b"), dialogue("b", "No."), dialogue("c") + "\n"]
    test = [dialogue("a"), dialogue("c"), dialogue("b", "Perhaps."), dialogue("new")]
    counted = overlap(sft(train, test))
    assert (counted.exact, counted.opening, counted.test_dialogues, counted.train_duplicates) == (2, 3, 4, 1)


FORMATS = {
    "HH-RLHF": "\n\nHuman: {}\n\nAssistant: {}",
    "CRLF": "\r\n\r\nHuman: {}\r\n\r\nAssistant: {}",
    "single newlines": "Human: {}\nAssistant: {}\n",
    "ChatML": "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n",
    "Alpaca": "Below is an instruction.\n\n### Instruction:\n{}\n\n### Response:\n{}",
    "Guanaco": "### Human: {}### Assistant: {}",
}


@pytest.mark.parametrize("name", FORMATS)
def test_openings_are_held_out_and_counted_in_every_format(tmp_path: Path, name: str) -> None:
    def texts(numbers: range, answers: str) -> list[str]:
        return [FORMATS[name].format(f"What is {n}?", answer) for n in numbers for answer in answers]

    held = load_sft([write_lines(tmp_path / "a.jsonl", texts(range(100), "abc"))], [], [], test_fraction=0.2)
    assert len(held.test) % 3 == 0
    assert overlap(held).opening == 0
    alike = overlap(sft(texts(range(20), "a"), [*texts(range(10), "b"), *texts(range(30, 33), "b")]))
    assert (alike.exact, alike.opening, alike.test_openings_unknown) == (0, 10, 0)
    other = overlap(sft([dialogue("What is 1?")], texts(range(2), "b")))
    assert other.opening == 1, "one question is one opening whatever its format"


def test_openings_that_cannot_be_told_are_counted_as_unknown_and_never_as_zero(tmp_path: Path) -> None:
    prose = [f"It was night number {n} of the voyage. The sea lay still." for n in range(200)]
    held = load_sft([write_lines(tmp_path / "a.jsonl", [*prose, *prose[:40]])], [], [], test_fraction=0.2)
    assert 20 < len(held.test) < 80
    counted = overlap(held)
    assert (counted.exact, counted.opening) == (0, None), "copies are on one side"
    assert counted.test_openings_unknown == len(held.test)
    assert counted.train_duplicates + counted.test_duplicates == 40
    few = overlap(sft([*DIALOGUES, prose[0]], [*DIALOGUES[:2], prose[0], prose[1]]))
    assert (few.exact, few.opening, few.test_openings_unknown, few.train_openings_unknown) == (3, 3, 2, 1)


def test_line_ends_do_not_make_a_dialogue_another_one(tmp_path: Path) -> None:
    dos = write_lines(tmp_path / "dos.jsonl", [text.replace("\n", "\r\n") for text in DIALOGUES[:9]])
    unix = write_lines(tmp_path / "unix.jsonl", DIALOGUES[4:])
    assert load_sft([dos], [dos], [unix]).excluded == 10
    assert overlap(load_sft([dos], [unix], [])).exact == 5


def test_written_dialogues_are_read_back(tmp_path: Path) -> None:
    train, test = write_sft(sft(DIALOGUES, DIALOGUES[:1]), tmp_path / "new" / "folder")
    assert [train.name, test.name] == ["sft_train.json", "sft_test.json"]
    assert json.loads(train.read_text(encoding="utf-8"))[0] == {"chosen": DIALOGUES[0]}
    read = load_sft([str(train)], [str(test)], [])
    assert (read.train, read.test) == (examples(DIALOGUES), examples(DIALOGUES[:1]))
    assert sorted(path.name for path in train.parent.iterdir()) == ["sft_test.json", "sft_train.json"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    train, _ = write_sft(sft(DIALOGUES, DIALOGUES), tmp_path)
    before = train.read_bytes()
    with pytest.raises(UnicodeEncodeError):
        write_sft(sft([*DIALOGUES, "\ud800"], []), tmp_path)
    assert train.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_fingerprint_follows_the_bytes_not_the_place(tmp_path: Path) -> None:
    here = write_lines(tmp_path / "here.jsonl", DIALOGUES)
    (tmp_path / "elsewhere").mkdir()
    there = write_lines(tmp_path / "elsewhere" / "there.jsonl", DIALOGUES)
    changed = write_lines(tmp_path / "changed.jsonl", [*DIALOGUES[:-1], DIALOGUES[-1] + "!"])
    same = content_of(DataSources((here,)))
    assert same == content_of(DataSources((there,)))
    assert same != content_of(DataSources((changed,)))
    assert len({content_of(DataSources((here,), (there,))), content_of(DataSources((here,), (), (there,))), same}) == 3


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.jsonl", b"", r"a\.jsonl: is empty; records are needed"),
    "blank": ("a.jsonl", b"\n \n", r"a\.jsonl: is empty"),
    "empty list": ("a.json", b"[]", r"a\.json: is empty"),
    "empty columns": ("a.json", b'{"chosen": []}', r"a\.json: is empty"),
    "empty parquet": ("a.parquet", b"", r"a\.parquet: is empty"),
    "wrong field": (
        "a.jsonl",
        b'{"texts": "a", "id": 1}',
        r"line 1: no form is recognised by the fields 'texts', 'id'; accepted: messages, ",
    ),
    "wrong column": ("a.json", b'{"texts": ["a"]}', r"record 1: no form is recognised by the fields 'texts'"),
    "no field": ("a.jsonl", b"{}", r"line 1: no form is recognised by the fields none"),
    "not a record": ("a.json", b'["a", "b"]', r"record 1: a str where a record is needed"),
    "not text": (
        "a.jsonl",
        b'{"chosen": "a"}\n\n{"chosen": ["a"]}',
        r"line 3: the field 'chosen' is \['a'\], but text is needed",
    ),
    "null": ("a.json", b'[{"chosen": null}]', r"record 1: the field 'chosen' is null, but text is needed"),
    "surrogate": ("a.jsonl", b'{"chosen": "\\ud800"}', r"line 1: the field 'chosen' has half a surrogate pair"),
    "not UTF-8": (
        "a.jsonl",
        b'{"chosen": "a"}\n{"chosen": "\xe9"}',
        r"line 2: byte 0xe9 is not UTF-8; convert it to UTF-8",
    ),
    "not UTF-8, .json": ("a.json", b'[\n{"chosen":\n "\xff"}]', r"line 3: byte 0xff is not UTF-8"),
    "not JSON": (
        "a.jsonl",
        b'{"chosen": "a"}\n{"chosen": "b"',
        r"line 2: not JSON \(Expecting ',' delimiter, column 15\)",
    ),
    "not JSON, list": ("a.json", b'[\n{"chosen": "a"},\n]', r"a\.json, line [23]: not JSON"),
    "not JSON, lines": ("a.json", b'{"chosen": "a"}\nb', r"a\.json, line 2: not JSON \(Expecting value, column 1\)"),
    "uneven columns": (
        "a.json",
        b'{"chosen": ["a"], "prompt": []}',
        r"the columns 'chosen' and 'prompt' differ in length",
    ),
    "not gzip": ("a.jsonl.gz", b"plain", r"a\.jsonl\.gz: can't be read \(Not a gzipped file"),
    "gzip cut short": (
        "a.jsonl.gz",
        gzip.compress(b'{"chosen": "a"}' * 99)[:-9],
        r"can't be read \(Compressed file ended",
    ),
    "not parquet": ("a.parquet", b"plain text, no parquet", r"a\.parquet: not a readable parquet file \(Parquet magic"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("role", ["train", "test", "exclude"])
def test_a_broken_file_is_named_in_one_line(tmp_path: Path, case: str, role: str) -> None:
    name, content, message = BROKEN[case]
    (tmp_path / name).write_bytes(content)
    good = write_lines(tmp_path / "good.jsonl", DIALOGUES)
    sources = {"train": [good], "test": [good], "exclude": [], role: [str(tmp_path / name)]}
    with pytest.raises(UserError, match=message) as raised:
        load_sft(sources["train"], sources["test"], sources["exclude"])
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_parquet_file_without_the_field_names_its_columns(tmp_path: Path) -> None:
    as_parquet(tmp_path / "a.parquet", [{"text": "a", "id": "b"}])
    with pytest.raises(UserError, match="row 1: no field 'chosen'; the fields there are 'text', 'id'"):
        load_sft([str(tmp_path / "a.parquet")], [], [], field="chosen")


def test_parquet_text_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    text = pyarrow.array([b"fine", b"caf\xe9"]).cast(pyarrow.binary()).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"chosen": text}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet: text after row 0 is not UTF-8"):
        load_sft([str(tmp_path / "a.parquet")], [], [])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing.jsonl", r"nothing\.jsonl: no such file \(looked from "),
        ("part-*.jsonl", r"part-\*\.jsonl: matches no file \(looked from "),
        ("data/notes.md", r"'data/notes.md' is no data source"),
        ("folder.json", r"folder\.json: no data file is in this folder; accepted: \.jsonl, "),
    ],
)
def test_a_source_that_is_no_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.md").touch()
    with pytest.raises(UserError, match=message):
        load_sft([source], [], [])
    with pytest.raises(UserError, match=message):
        content_of(DataSources((source,)))


def test_nothing_left_after_subtraction_is_an_error(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", DIALOGUES)
    with pytest.raises(UserError, match=r"no train dialogue is left: all 20 of .*a\.jsonl are in the exclude sources"):
        load_sft([path], [], [path])


def test_dialogues_that_cannot_be_split_are_an_error(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [dialogue("a"), dialogue("a", "No.")])
    with pytest.raises(UserError, match=r"all 2 dialogues would be held out with test_fraction 0\.05"):
        load_sft([path], [], [])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_a_test_fraction_outside_its_range_is_an_error(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(UserError, match=r"test_fraction is .*; a number between 0 and 1 is needed"):
        load_sft([write_lines(tmp_path / "a.jsonl", DIALOGUES)], [], [], test_fraction=fraction)


def test_no_train_source_is_an_error() -> None:
    with pytest.raises(UserError, match="no train source is given; name local files"):
        load_sft([], [], [])


@pytest.mark.skipif(not SAMPLE.exists(), reason="the HH-RLHF sample is not here")
def test_real_dialogues_are_read_and_split() -> None:
    held = load_sft([str(SAMPLE)], [], [])
    assert len(held.train) + len(held.test) == 1500
    assert 40 < len(held.test) < 110
    assert overlap(held).opening == 0
    openings = [opening_turn(example) for example in held.test]
    assert all(opening and "Assistant:" not in opening for opening in openings)


def test_validation_dialogues_that_open_as_a_given_test_dialogue_are_counted(tmp_path: Path) -> None:
    texts = [dialogue(f"question {n}", answer) for n in range(300) for answer in ("a", "b")]
    other = [dialogue(f"question {n}", "an answer that train has not") for n in range(0, 300, 3)]
    train, test = write_lines(tmp_path / "train.jsonl", texts), write_lines(tmp_path / "test.jsonl", other)
    split = load_sft([train], [test], [], validation_fraction=0.2)
    asked = [x for x in split.validation if int((opening_turn(x) or "").split()[1]) % 3 == 0]
    assert len(asked) > 20
    assert overlap(split).validation_in_test == len(asked)
    assert overlap(load_sft([train], [], [], validation_fraction=0.2)).validation_in_test == 0
