"""The batches of a trial: which tokens stand where, which targets count, and that seed and step alone decide it."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sweep.data.batches import TrainBatches, held_out
from sweep.data.encode import ASSISTANT, COMPLETION, Encoder
from sweep.data.examples import Example
from sweep.data.rows import TrainRows, best_fit, cut_examples
from sweep.data.template import choose_template
from sweep.data.token_files import ExampleTokens, open_examples, write_examples
from sweep.data.windows import test_window_starts as fixed_window_starts  # by its own name, pytest would run it
from sweep.data.windows import train_window_starts, windows
from sweep.trial.config import TrialConfig
from tests.sweep.data.chat_templates import CHATML, chat_tokenizer
from tests.sweep.data.test_template import conversation

BLOCK = 48
TOKENIZER = chat_tokenizer(CHATML)
CONVERSATIONS = [conversation(f"{n}?", "yes " * (n % 5 + 1), *(["b?", "no " * (n % 3)] * (n % 2))) for n in range(23)]
TEXTS = [Example("text", example.messages[1]["content"] * 5) for example in CONVERSATIONS]


def config(**changed: Any) -> TrialConfig:
    shared = {"method": "full", "optimizer": "sgd", "lr": 1, "steps": 9, "test_every": 3, "test_windows": 5}
    return TrialConfig.model_validate({**shared, "batch_size": 3, "block_size": BLOCK, **changed})


def written(folder: Path, examples: list[Example]) -> Path:
    encoder = Encoder(TOKENIZER, choose_template(TOKENIZER, None))
    write_examples(folder / "set.npy", examples, encoder, np.uint16, held_out=True)
    return folder / "set.npy"


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    return written(tmp_path, CONVERSATIONS)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return written(tmp_path, TEXTS)


def of_roles(lengths: list[int], roles: list[int]) -> ExampleTokens:
    """A set of examples whose tokens are their own numbers."""
    return ExampleTokens(
        np.arange(sum(lengths)), np.cumsum(lengths), np.array(roles, np.uint8), np.ones(sum(lengths), np.uint32)
    )


@pytest.mark.parametrize("packing", ["auto", "stream"])
def test_a_stream_of_texts_is_the_windows_of_the_study(texts: Path, packing: str) -> None:
    batches, tokens = TrainBatches(texts, config(packing=packing, seed=5)), open_examples(texts).tokens
    for step in (0, 7):
        batch = batches.at(step)
        expected = windows(tokens, train_window_starts(5, step, 3, len(tokens), BLOCK), BLOCK)
        assert batch.tokens.numpy().tolist() == expected.tolist()
        assert batch.scored is None
        assert batch.documents is None


@pytest.mark.parametrize(
    ("loss_on", "bit"), [("auto", ASSISTANT), ("assistant", ASSISTANT), ("completions", COMPLETION)]
)
def test_in_a_stream_of_conversations_the_assistants_tokens_count(chats: Path, loss_on: Any, bit: int) -> None:
    batch = TrainBatches(chats, config(packing="stream", loss_on=loss_on)).at(2)
    read = open_examples(chats)
    assert read.roles is not None
    starts = train_window_starts(0, 2, 3, len(read.tokens), BLOCK)
    assert batch.scored is not None
    counts = (windows(read.roles, starts, BLOCK)[:, 1:] & bit).ravel() > 0
    assert batch.scored.tolist() == np.flatnonzero(counts).tolist()


@pytest.mark.parametrize("packing", ["examples", "none"])
@pytest.mark.parametrize("loss_on", ["all", "assistant", "completions"])
def test_each_example_trains_once_an_epoch_on_its_own_tokens(chats: Path, packing: Any, loss_on: Any) -> None:
    read, encoder = open_examples(chats), Encoder(TOKENIZER, choose_template(TOKENIZER, None))
    cut = cut_examples(read, BLOCK)
    rows = len(TrainRows(cut, 0, BLOCK, packing)._epoch(0))
    batches = TrainBatches(chats, config(packing=packing, loss_on=loss_on, batch_size=1))
    targets: Counter[int] = Counter()
    for step in range(rows):
        batch = batches.at(step)
        assert batch.scored is not None
        targets.update(batch.tokens[:, 1:].reshape(-1)[batch.scored].tolist())
    expected: Counter[int] = Counter()
    for example in CONVERSATIONS:
        ids, roles, _ = encoder.encode(example)
        bit = {"all": 0, "assistant": ASSISTANT, "completions": COMPLETION}[loss_on]
        expected.update(id for id, role in list(zip(ids, roles, strict=True))[1 : BLOCK + 1] if not bit or role & bit)
    assert targets == expected


def test_documents_tell_the_examples_of_a_row_apart(chats: Path) -> None:
    batch = TrainBatches(chats, config(loss_on="all")).at(0)
    assert batch.tokens.shape == (3, BLOCK + 1)
    assert batch.documents is not None
    assert batch.scored is not None
    counts = torch.zeros(3 * BLOCK).index_fill(0, batch.scored, 1).view(3, BLOCK)
    begin = TOKENIZER.convert_tokens_to_ids("<|im_start|>")
    for tokens, documents, counted in zip(batch.tokens, batch.documents, counts, strict=True):
        changes = (documents[1:] != documents[:-1]).nonzero().flatten() + 1
        assert documents.max() >= 1
        assert (documents.diff() >= 0).all()
        assert all(tokens[place] == begin for place in changes if counted[place:].any())
        assert not counted[changes - 1].any()  # the last token of an example predicts nothing of the next


def test_one_example_a_row_is_as_wide_as_the_longest(chats: Path) -> None:
    batch = TrainBatches(chats, config(packing="none")).at(4)
    assert batch.documents is None
    assert batch.tokens.shape[0] == 3
    assert (batch.tokens[:, -2] != 0).any()  # behind it stands the end-of-text token, which is 0 too


@pytest.mark.parametrize("packing", ["stream", "examples", "none"])
def test_a_step_depends_on_seed_and_number_alone(chats: Path, packing: Any) -> None:
    def tokens(step: int, seed: int = 1, loss_on: Any = "auto") -> list[Any]:
        drawn = TrainBatches(chats, config(packing=packing, seed=seed, loss_on=loss_on)).at(step).tokens
        return list(drawn.flatten().tolist())

    unbroken = TrainBatches(chats, config(packing=packing, seed=1))
    assert [unbroken.at(step).tokens.flatten().tolist() for step in range(30)] == [tokens(step) for step in range(30)]
    assert tokens(25) == tokens(25, loss_on="all") == tokens(25, loss_on="completions")
    assert tokens(25) != tokens(25, seed=2)
    assert tokens(0) != tokens(25)


def test_held_out_rows_are_the_same_for_every_arm(chats: Path) -> None:
    first = held_out(chats, config())
    assert first.batch.scored is not None
    assert len(first.batch.tokens) == 5
    for changed in ({"packing": "stream", "loss_on": "all"}, {"seed": 3}, {"loss_on": "completions"}):
        other = held_out(chats, config(**changed))
        assert other.batch.tokens.equal(first.batch.tokens)
        assert other.batch.scored is not None
        assert other.batch.scored.equal(first.batch.scored)
    decoded = TOKENIZER.decode(first.batch.tokens[:, 1:].reshape(-1)[first.batch.scored].tolist())
    assert first.text_bytes == sum(len(answer.strip().encode()) for answer in decoded.split("<|im_end|>"))


def test_held_out_texts_are_the_windows_of_the_study(texts: Path) -> None:
    got, read = held_out(texts, config(packing="examples")), open_examples(texts)
    starts = fixed_window_starts(len(read.tokens), BLOCK, 5)
    assert got.batch.tokens.tolist() == windows(read.tokens, starts, BLOCK).tolist()
    assert got.batch.scored is None
    assert got.text_bytes == len(TOKENIZER.decode(got.batch.tokens[:, 1:].reshape(-1), skip_special_tokens=True))


def test_what_does_not_fit_a_row_is_counted() -> None:
    read = of_roles([5, 3, 12, 12], [*[0, 0, 0, 3, 3], *[0, 0, 0], *[0] * 6, *[3] * 6, *[0] * 10, *[3] * 2])
    cut = cut_examples(read, 8)
    assert cut.starts.tolist() == [0, 8]
    assert cut.lengths.tolist() == [5, 9]
    assert (cut.truncated_examples, cut.truncated_tokens) == (1, 3)
    assert (cut.dropped_examples, cut.dropped_tokens) == (2, 15)  # one without an assistant's token, one by its cut


def test_rows_are_filled_well_and_never_beyond_their_room() -> None:
    draw = np.random.default_rng(0)
    lengths = draw.integers(20, 513, 20_000)
    rows = best_fit(lengths, draw.permutation(len(lengths)), 513)
    assert sorted(example for row in rows for example in row) == list(range(len(lengths)))
    filled = np.array([lengths[row].sum() for row in rows])
    assert filled.max() <= 513
    assert filled.mean() > 0.98 * 513
