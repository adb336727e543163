"""A whole set: one kind, broken records refused or counted, and what is said of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from basis.errors import UserError
from sweep.data.dialogues import DataSources, load_sft, write_sft
from sweep.data.examples import Example, opening_turn
from sweep.data.overlap import overlap
from sweep.data.words import describe_dialogues, describe_forms


def talk(number: int, answers: int = 1) -> dict[str, Any]:
    turns = [
        turn
        for again in range(answers)
        for turn in (
            {"role": "user", "content": f"Question {number}, {again}?"},
            {"role": "assistant", "content": f"Answer {number}."},
        )
    ]
    return {"messages": turns}


def write(path: Path, records: list[object]) -> str:
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in records))
    return str(path)


def test_conversations_are_split_by_what_the_user_says_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [talk(n // 2, 1 + n % 2) for n in range(400)])
    split = load_sft(DataSources((path,), validation_fraction=0.1, test_fraction=0.1))
    sides = [split.train, split.test, split.validation]
    assert sum(map(len, sides)) == 400
    assert split.kind == "conversations"
    openings = [set(map(opening_turn, side)) for side in sides]
    assert all(openings)
    assert sum(map(len, openings)) == len(set.union(*openings)), "an opening is on two sides"
    counted = overlap(split)
    assert (counted.exact, counted.opening, counted.test_openings_unknown) == (0, 0, 0)


def test_a_given_test_set_is_compared_by_openings(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [talk(n) for n in range(20)])
    test = write(tmp_path / "test.jsonl", [talk(3), talk(4, 2), talk(90)])
    counted = overlap(load_sft(DataSources((train,), (test,))))
    assert (counted.exact, counted.opening, counted.test_dialogues) == (1, 2, 3)


def test_examples_are_subtracted_by_the_whole_of_them(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [talk(n) for n in range(20)])
    exclude = write(tmp_path / "exclude.jsonl", [talk(3), talk(4, 2)])
    assert load_sft(DataSources((train,), (train,), (exclude,))).excluded == 2


def test_what_was_recognised_is_said_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [talk(n, 1 + (n % 10 > 0)) for n in range(1200)])
    tally = load_sft(DataSources((path,))).tally
    assert describe_forms(tally.forms, tally.turns) == "1,200 conversations in OpenAI messages, 1.9 turns on average"
    assert describe_forms({"answer": 7473}, 7473) == "7,473 pairs of question and answer"
    assert describe_forms({"text": 1, "chosen": 2}, 0) == (
        "1 text in the field text and 2 texts in the field chosen, as of HH-RLHF"
    )


def test_a_set_of_two_kinds_is_refused_by_both(tmp_path: Path) -> None:
    talks = write(tmp_path / "talks.jsonl", [talk(1), talk(2)])
    texts = write(tmp_path / "texts.jsonl", [{"text": "Once."}])
    message = (
        rf"^{texts}, line 1: text in the field text, but {talks}, line 1 has conversations in OpenAI messages; "
        "a set is of one kind$"
    )
    with pytest.raises(UserError) as caught:
        load_sft(DataSources((talks,), (texts,)))
    assert str(caught.value) == message[1:-1]
    mixed = write(tmp_path / "mixed.jsonl", [talk(1), talk(2), {"prompt": "a", "completion": "b"}])
    with pytest.raises(UserError, match=r"mixed\.jsonl, line 3: pairs of prompt and completion, but .*line 1 has conv"):
        load_sft(DataSources((mixed,)))
    forms = write(tmp_path / "forms.jsonl", [{"question": "a", "answer": "b"}, {"prompt": "c", "completion": "d"}])
    assert load_sft(DataSources((forms,), (forms,))).tally.forms == {"answer": 2, "completion": 2}


BROKEN = [talk(1), "{", {"messages": None}, talk(2), {"other": 1}, {"text": "Once."}, talk(3), talk(4), talk(5)]


def test_a_broken_record_is_refused_by_its_line_or_skipped_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", BROKEN)
    with pytest.raises(UserError, match=r"a\.jsonl, line 2: not JSON \(.*\); data\.skip_broken: true leaves such rec"):
        load_sft(DataSources((path,)))
    read = load_sft(DataSources((path,), (path,), skip_broken=True))
    assert (len(read.train), read.tally.skipped) == (5, 8)
    counts = {"test_dialogues": 5, "overlap_exact": 5, "overlap_opening": 5, "skipped_records": 8}
    counts |= {f"{side}_openings_unknown": 0 for side in ("train", "test")}
    assert describe_dialogues(counts, "chosen")[0] == "left out: 8 broken records"


def test_a_file_with_more_broken_records_than_others_is_refused_all_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [talk(1), {"a": 1}, {"b": 1}])
    with pytest.raises(
        UserError, match=r"2 of 3 records are broken, too many to skip: .*line 2: no form is recognised"
    ):
        load_sft(DataSources((path,), skip_broken=True))


@pytest.mark.parametrize(
    "records",
    [
        [talk(n) for n in range(4)],
        [{"prompt": f"Add {n}.", "completion": "x"} for n in range(4)],
        [{**talk(n), "tools": [{"type": "function"}]} for n in range(4)],
        [{"prompt": talk(n)["messages"], "completion": talk(n)["messages"]} for n in range(4)],
    ],
)
def test_examples_of_every_kind_are_written_and_read_back(tmp_path: Path, records: list[object]) -> None:
    path = write(tmp_path / "a.jsonl", records)
    read = load_sft(DataSources((path,), (path,)))
    train, test = write_sft(read, tmp_path / "out")
    again = load_sft(DataSources((str(train),), (str(test),)))
    assert (again.train, again.test, again.kind) == (read.train, read.test, read.kind)
    assert isinstance(read.train[0], Example)
