"""Examples that no trial could learn from are refused in one line, and what rows leave out is told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from basis.errors import UserError
from sweep.data.encode import Encoder
from sweep.data.examples import Example
from sweep.data.general import GeneralTokens
from sweep.data.template import choose_template
from sweep.data.token_files import ROLES, beside, write_examples
from sweep.data.tokens import TokenSet
from sweep.preparation.rows import check_rows
from sweep.trial.config import TrialConfig
from tests.sweep.data.chat_templates import CHATML, chat_tokenizer
from tests.sweep.data.test_template import conversation

CONVERSATIONS = [conversation("a?", "yes"), conversation("b?", "no " * 80), conversation("c " * 40, "yes")]


def trial(**changed: Any) -> TrialConfig:
    shared = {"method": "full", "optimizer": "sgd", "lr": 1, "steps": 9, "test_every": 3, "test_windows": 5}
    return TrialConfig.model_validate({**shared, "batch_size": 3, "block_size": 60, **changed})


def token_set(folder: Path, examples: list[Example]) -> TokenSet:
    tokenizer = chat_tokenizer(CHATML)
    encoder = Encoder(tokenizer, choose_template(tokenizer, None))
    train, test = (
        write_examples(folder / f"{side}.npy", examples, encoder, np.uint16, held_out=side == "test")
        for side in ("train", "test")
    )
    return TokenSet(folder / "train.npy", folder / "test.npy", train, test, {}, kind=examples[0].kind)


def test_what_rows_leave_out_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    tokens = token_set(tmp_path, CONVERSATIONS)
    train, test = check_rows(tokens, [trial(), trial(lr=2), trial(loss_on="all")], said.append)
    assert [line.split(":")[0] for line in said] == ["train rows of 60 tokens", "test rows of 60 tokens"]
    assert " 2 examples, 1 of them cut by " in said[0]
    assert "; 1 left out in every arm, " in said[0]
    assert (train.side, train.block_size, test.side) == ("train", 60, "test")
    assert train[2:] == test[2:]
    assert (train.examples, train.truncated_examples, train.dropped_examples) == (3, 1, 1)
    assert 0 < train.truncated_tokens + train.dropped_tokens < tokens.train_tokens


def test_general_conversations_beside_texts_are_told_likewise(tmp_path: Path) -> None:
    talks = token_set(tmp_path, CONVERSATIONS)
    (tmp_path / "texts").mkdir()
    texts = token_set(tmp_path / "texts", [Example("text", "a b c " * 30)])
    general = GeneralTokens(talks.test_path, talks.test_tokens, "conversations", {})
    said: list[str] = []
    check_rows(replace(texts, general=general), [trial()], said.append)
    assert [line.split(":")[0] for line in said] == ["general rows of 60 tokens"]


@pytest.mark.parametrize(
    ("examples", "changed", "error"),
    [
        ([Example("text", "a b c " * 30)], {"loss_on": "assistant"}, r"^trial.loss_on: 'assistant' is not accepted on"),
        (
            CONVERSATIONS,
            {"block_size": 4},
            "^every token of the 3 train examples is masked: none is",
        ),
        (CONVERSATIONS, {"block_size": 4, "packing": "stream"}, "^every token of the 3 test examples is masked"),
        (CONVERSATIONS, {"block_size": 9999, "packing": "stream"}, "one window takes 10,000"),
        ([conversation("a " * 90, "yes")], {}, "^every token of the 1 train examples is masked"),
    ],
)
def test_rows_without_anything_to_learn_are_refused(
    tmp_path: Path, examples: list[Example], changed: dict[str, Any], error: str
) -> None:
    with pytest.raises(UserError, match=error):
        check_rows(token_set(tmp_path, examples), [trial(**changed)], str)


def test_a_set_of_which_every_token_is_masked_is_refused(tmp_path: Path) -> None:
    tokens = token_set(tmp_path, CONVERSATIONS)
    np.save(beside(tokens.test_path, ROLES), np.zeros(tokens.test_tokens, np.uint8))
    with pytest.raises(UserError, match=r"^every token of the 3 test examples is masked"):
        check_rows(tokens, [trial()], str)
