"""General text lies in a cache entry of its own, and that of the SFT set is the same with and without it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tokenizers

import sweep.data.tokens
from basis.errors import UserError
from sweep.data.dialogues import DataSources
from sweep.data.token_files import open_examples
from sweep.data.tokens import TokenSet, prepare_tokens
from sweep.data.windows import open_tokens

DIALOGUES = [f"\n\nHuman: What is {n}?\n\nAssistant: {n} is {n}." for n in range(8)]
PROSE = ["The sea is blue today.", "A cat sat on the mat.", DIALOGUES[3]]


def write(path: Path, records: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


@pytest.fixture
def data(tmp_path: Path) -> DataSources:
    """The study's form, read by data.field, which no record of general text has."""
    train, test = (
        write(tmp_path / name, [{"said": text} for text in texts])
        for name, texts in (("train.jsonl", DIALOGUES[:6]), ("test.jsonl", DIALOGUES[6:]))
    )
    return DataSources((train,), (test,), field="said")


@pytest.fixture
def general(data: DataSources, tmp_path: Path) -> DataSources:
    return replace(data, general=(write(tmp_path / "general.jsonl", [{"text": text} for text in PROSE]),))


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., TokenSet]:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator([], trainer)
    (tmp_path / "tokenizer").mkdir()
    tokenizer.save(str(tmp_path / "tokenizer" / "tokenizer.json"))

    def call(data: DataSources, say: Callable[[str], None] = str, block_size: int = 8) -> TokenSet:
        return prepare_tokens(data, tmp_path / "tokenizer", tmp_path / "cache", say, block_size=block_size)

    return call


def test_general_text_is_read_by_its_own_form_tokenised_and_counted_where_train_has_it(
    prepare: Callable[..., TokenSet], general: DataSources
) -> None:
    said: list[str] = []
    made = prepare(general, said.append).general
    assert made is not None
    assert open_tokens(made.path).size == made.tokens == sum(len(text) + 1 for text in PROSE)
    assert open_examples(made.path).bytes.sum() == sum(map(len, PROSE))
    assert made.statistics == {"general_examples": 3, "general_in_train": 1}
    assert f"general: 3 texts, {made.tokens:,} tokens; 1 of them also occur in train" in said


def test_an_sft_set_keeps_its_entry_and_reads_nothing_again_once_both_are_there(
    prepare: Callable[..., TokenSet],
    data: DataSources,
    general: DataSources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = prepare(data)
    assert alone.general is None
    beside = prepare(general)
    assert beside.general
    assert replace(beside, general=None, sources=()) == replace(alone, sources=())
    assert [source.role for source in beside.sources] == ["train", "test", "general"]

    def forbidden(*_: object) -> None:
        raise AssertionError("the cache should have been used")

    monkeypatch.setattr(sweep.data.tokens, "load_sft", forbidden)
    monkeypatch.setattr(sweep.data.tokens, "load_tokenizer", forbidden)
    assert prepare(general) == beside


def test_another_train_set_or_other_general_text_has_another_entry(
    prepare: Callable[..., TokenSet], general: DataSources, tmp_path: Path
) -> None:
    other = write(tmp_path / "other.jsonl", [{"text": "Snow is white."}] * 2)
    folders = [
        prepared.general.path.parent
        for sources in (general, replace(general, general=(other,)), replace(general, train=general.test))
        if (prepared := prepare(sources)).general
    ]
    assert len(set(folders)) == 3


def test_general_conversations_beside_texts_are_tested_on_what_the_assistant_says(
    prepare: Callable[..., TokenSet], data: DataSources, tmp_path: Path
) -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    made = prepare(replace(data, general=(write(tmp_path / "talk.jsonl", [{"messages": talk}]),))).general
    assert made is not None
    assert made.kind == "conversations"
    examples = open_examples(made.path)
    assert examples.roles is not None
    assert (examples.roles > 0).sum() == len(" Hello") + 1  # and the token that ends it


def test_too_little_or_broken_general_text_is_refused_by_name(
    prepare: Callable[..., TokenSet], data: DataSources, tmp_path: Path
) -> None:
    short = replace(data, general=(write(tmp_path / "short.jsonl", [{"text": "Hi"}]),))
    with pytest.raises(UserError, match=r"the general set has 3 tokens, but one window takes 9"):
        prepare(short)
    broken = [{"text": "The sea is blue."}, {"text": "So is the sky."}, {"text": None}]
    source = write(tmp_path / "broken.jsonl", broken)
    with pytest.raises(UserError, match=r"broken\.jsonl, line 3: "):
        prepare(replace(data, general=(source,)))
    skipping = prepare(replace(data, general=(source,), skip_broken=True)).general
    assert skipping is not None
    assert skipping.statistics["general_skipped_records"] == 1
