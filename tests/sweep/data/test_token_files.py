"""The files of one side of an SFT set: ends, roles and bytes fit the tokens."""

from pathlib import Path

import numpy as np
import pytest

from basis.errors import UserError
from sweep.data.encode import ASSISTANT, Encoder
from sweep.data.examples import Example
from sweep.data.template import choose_template
from sweep.data.token_files import open_examples, write_examples
from tests.sweep.data.chat_templates import CHATML, chat_tokenizer
from tests.sweep.data.test_template import conversation

CONVERSATIONS = [conversation("a?", "yes"), conversation("☃?", "no", "b?", "yes", system="Be kind.")]


def encoder(template: str = CHATML) -> Encoder:
    tokenizer = chat_tokenizer(template)
    return Encoder(tokenizer, choose_template(tokenizer, None))


def test_ends_roles_and_bytes_are_those_of_each_example(tmp_path: Path) -> None:
    path = tmp_path / "test.npy"
    count = write_examples(path, CONVERSATIONS, encoder(), np.uint16, held_out=True)
    read = open_examples(path)
    assert read.roles is not None
    assert read.bytes is not None
    assert len(read.tokens) == len(read.roles) == len(read.bytes) == count
    start = 0
    for example, end in zip(CONVERSATIONS, read.ends.tolist(), strict=True):
        ids, roles, counted = encoder().encode(example)
        assert read.tokens[start:end].tolist() == ids
        assert read.roles[start:end].tolist() == roles.tolist()
        assert read.bytes[start:end].tolist() == counted.tolist()
        start = end
    assert start == count
    assert (read.roles & ASSISTANT).any()


def test_texts_have_no_roles_and_train_no_bytes(tmp_path: Path) -> None:
    texts = [Example("text", "a☃ b"), Example("text", "no")]
    for held_out in (False, True):
        path = tmp_path / f"{held_out}.npy"
        write_examples(path, texts, encoder(), np.uint32, held_out=held_out)
        read = open_examples(path)
        assert read.roles is None
        assert (read.bytes is not None) == held_out
        assert [read.tokens[: read.ends[0]].tolist(), read.tokens[read.ends[0] :].tolist()] == [
            encoder().text_ids(text.text) for text in texts
        ]


def test_an_example_that_cannot_be_rendered_is_named_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^train conversation 2: it has no assistant turn"):
        write_examples(
            tmp_path / "train.npy", [CONVERSATIONS[0], conversation("a?")], encoder(), np.uint16, held_out=False
        )
