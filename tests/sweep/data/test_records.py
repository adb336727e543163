"""What records may hold: a dialogue, a prompt and its answer, or something that is refused by its name."""

import json
from pathlib import Path
from typing import Any

import pytest

from basis.errors import UserError
from sweep.data.dialogues import DataSources, load_sft
from sweep.data.records import dialogue_text
from sweep.data.words import describe_dialogues

HH = "\n\nHuman: What is 2 + 2?\n\nAssistant:"


def write(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("record", "field", "text", "made"),
    [
        ({"chosen": f"{HH} 4."}, "chosen", f"{HH} 4.", "whole"),
        ({"prompt": HH, "chosen": " 4."}, "chosen", f"{HH} 4.", "joined"),
        ({"prompt": "What is 2 + 2?", "chosen": "4."}, "chosen", f"{HH} 4.", "framed"),
        ({"prompt": "What is 2 + 2?", "completion": " 4."}, "completion", f"{HH} 4.", "framed"),
        ({"prompt": HH, "chosen": f"{HH} 4."}, "chosen", f"{HH} 4.", "whole"),
        ({"prompt": "What is 2 + 2?", "chosen": "What is 2 + 2? 4."}, "chosen", "What is 2 + 2? 4.", "whole"),
        ({"prompt": "Hi", "chosen": "Hi there!"}, "chosen", "\n\nHuman: Hi\n\nAssistant: Hi there!", "framed"),
        ({"prompt": "id-17", "chosen": f"{HH} 4."}, "chosen", f"{HH} 4.", "whole"),
        ({"prompt": None, "chosen": "4."}, "chosen", "4.", "whole"),
        ({"prompt": " ", "chosen": "4."}, "chosen", "4.", "whole"),
        ({"prompt": "What is 2 + 2?", "text": "2 + 2 is 4."}, "text", "2 + 2 is 4.", "whole"),
        ({"prompt": "Alone.", "chosen": "x"}, "prompt", "Alone.", "whole"),
    ],
)
def test_a_prompt_is_joined_with_its_answer_once(record: dict[str, Any], field: str, text: str, made: str) -> None:
    assert dialogue_text(record, field) == (text, made)


def test_rm_static_trains_as_the_dialogues_that_it_was_cut_from_and_is_subtracted_as_those(tmp_path: Path) -> None:
    whole = [f"\n\nHuman: What is {n} plus one?\n\nAssistant: It is {n + 1}." for n in range(40)]
    cut = [{"prompt": text[: text.index(" It is")], "chosen": text[text.index(" It is") :]} for text in whole]
    train = write(tmp_path / "cut.jsonl", cut)
    exclude = write(tmp_path / "whole.jsonl", [{"chosen": text} for text in whole[:7]])
    read = load_sft(DataSources((train,), (train,), (exclude,)))
    assert ([example.text for example in read.train], read.excluded) == (whole[7:], 14)
    assert read.tally.made == {"joined": 80}
    assert [example.text for example in load_sft(DataSources((exclude,), (train,), ())).test] == whole


def test_a_git_lfs_pointer_is_no_data_whatever_its_suffix(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.jsonl.gz", "a.parquet", "a.json"):
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345678\n")
        with pytest.raises(UserError, match=r"a Git LFS pointer, not the data; fetch the data with: git lfs pull$"):
            load_sft(DataSources((str(tmp_path / name),)))


def test_files_of_another_format_are_no_hub_datasets(tmp_path: Path) -> None:
    for source in ("data/train.xlsx", "mine/dialogues.md", "mine/dialogues.zip"):
        with pytest.raises(UserError, match=r"is no data source; give local files \(\.jsonl, "):
            load_sft(DataSources((source,)))


def test_what_is_said_never_counts_openings_that_cannot_be_told() -> None:
    counts = {
        "train_dialogues": 100,
        "test_dialogues": 10,
        "overlap_exact": 2,
        "train_openings_unknown": 100,
        "test_openings_unknown": 10,
        "train_duplicates": 3,
        "test_duplicates": 1,
        "framed_dialogues": 4,
    }
    assert describe_dialogues(counts, "chosen") == [
        "of 10 test dialogues 2 also occur in train; how many open as a train dialogue can't be told",
        "no human turn is recognised in 100 of 100 train and 10 of 10 test dialogues; they are held out and "
        "compared by their whole text",
        "duplicates, copies beyond the first: 3 train and 1 test dialogues",
        r"4 plain pairs of 'prompt' and 'chosen' were framed as dialogues: \n\nHuman: PROMPT\n\nAssistant: CHOSEN",
    ]
