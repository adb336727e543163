"""Judges of all kinds: padded so that a batch changes no score, truncated to what they can read, refused otherwise."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Config,
    Qwen2ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLNetConfig,
    XLNetForSequenceClassification,
)

from sweep.judge import reward_model as judge_module
from sweep.judge.reading import check_judge, load_judge
from sweep.judge.reward_model import JudgeError
from tests.conftest import Here, Parts, dialogues

CPU = torch.device("cpu")
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 1}
LLAMA = {**SMALL, "num_key_value_heads": 2}
PAIRS = [
    ("Is it blue?", "Yes."),
    ("What colour is the apple?", ""),
    ("Hello?", "The apple is red, and I am happy to help. " * 2),
    ("colour " * 90, "The garden is white. " * 90),
]


def no_pad(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.pad_token = None


def pad_of_its_own(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})  # which the model has no embedding for


def left(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.padding_side = "left"


def short(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.model_max_length = 40


def as_is(tokenizer: PreTrainedTokenizerBase) -> None:
    """The tests' tokenizer pads with its end of text and knows no length."""


Case = tuple[Callable[..., PreTrainedModel], Callable[[Any], None], int | None]


def gpt2(**settings: Any) -> Callable[[int], PreTrainedModel]:
    size = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "num_labels": 1, **settings}
    return lambda n: GPT2ForSequenceClassification(GPT2Config(vocab_size=n, **size))


JUDGES: dict[str, Case] = {
    "deberta": (
        lambda n: DebertaV2ForSequenceClassification(
            DebertaV2Config(vocab_size=n, max_position_embeddings=128, **SMALL)
        ),
        as_is,
        128,
    ),
    "bert, which has token types": (
        lambda n: BertForSequenceClassification(BertConfig(vocab_size=n, max_position_embeddings=64, **SMALL)),
        as_is,
        64,
    ),
    "distilbert, which has none": (
        lambda n: DistilBertForSequenceClassification(
            DistilBertConfig(
                vocab_size=n, max_position_embeddings=64, dim=32, hidden_dim=32, n_layers=2, n_heads=2, num_labels=1
            )
        ),
        as_is,
        64,
    ),
    "roberta, which counts from behind its padding": (
        lambda n: RobertaForSequenceClassification(
            RobertaConfig(vocab_size=n, max_position_embeddings=66, type_vocab_size=1, **SMALL)
        ),
        as_is,
        64,
    ),
    "a tokenizer that reads less": (
        lambda n: BertForSequenceClassification(BertConfig(vocab_size=n, max_position_embeddings=64, **SMALL)),
        short,
        40,
    ),
    "gpt2 with padding in the tokenizer alone": (gpt2(), as_is, 64),
    "gpt2 without padding": (gpt2(), no_pad, 64),
    "gpt2 with padding that it can't embed": (gpt2(), pad_of_its_own, 64),
    "gpt2 with another padding than its tokenizer's": (gpt2(pad_token_id=7), as_is, 64),
    "gpt2 padded on the left": (gpt2(), left, 64),
    "llama": (
        lambda n: LlamaForSequenceClassification(LlamaConfig(vocab_size=n, max_position_embeddings=2048, **LLAMA)),
        no_pad,
        2048,
    ),
    "qwen2 padded on the left": (
        lambda n: Qwen2ForSequenceClassification(Qwen2Config(vocab_size=n, max_position_embeddings=128, **LLAMA)),
        left,
        128,
    ),
    "xlnet, whose length is -1": (
        lambda n: XLNetForSequenceClassification(
            XLNetConfig(vocab_size=n, d_model=32, n_layer=1, n_head=2, d_inner=32, num_labels=1)
        ),
        as_is,
        None,
    ),
}


def save(case: Case, parts: Parts, place: Path) -> Path:
    build, change, _ = case
    tokenizer = AutoTokenizer.from_pretrained(parts.reward_model)
    torch.manual_seed(0)
    build(len(tokenizer)).save_pretrained(place)
    change(tokenizer)
    tokenizer.save_pretrained(place)
    return place


@pytest.mark.parametrize("kind", JUDGES)
def test_a_batch_gives_every_pair_the_score_that_it_has_alone(kind: str, parts: Parts, tmp_path: Path) -> None:
    folder = save(JUDGES[kind], parts, tmp_path / "judge")
    reading, _ = check_judge(str(folder), ["Is it blue?"], 16, batch_size=4)
    assert reading.max_tokens == JUDGES[kind][2]
    judge = load_judge(folder, CPU, reading)
    alone, together = judge.score(PAIRS, 1), judge.score(PAIRS, len(PAIRS))
    assert together == pytest.approx(alone, abs=1e-5)
    assert len({round(score, 6) for score in alone}) == len(PAIRS)


def test_what_old_files_and_pretraining_leave_in_a_judge_does_no_harm(parts: Parts, tmp_path: Path) -> None:
    folder = save(JUDGES["roberta, which counts from behind its padding"], parts, tmp_path / "judge")
    expected = load_judge(folder, CPU).score(PAIRS, 1)
    path = folder / "model.safetensors"
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in load_file(path).items()
    }
    leftovers = {"roberta.embeddings.position_ids": torch.arange(66)[None], "lm_head.bias": torch.ones(9)}
    save_file({**state, **leftovers, "roberta.pooler.dense.weight": torch.ones(32, 32)}, path, {"format": "pt"})
    assert load_judge(folder, CPU).score(PAIRS, 1) == pytest.approx(expected, abs=1e-6)


def test_a_judge_whose_scores_depend_on_padding_is_refused_unless_it_judges_one_pair_at_a_time(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge_module, "_accepted_inputs", lambda model: {"input_ids"})  # padding is read as text
    with pytest.raises(JudgeError, match=r"scores a pair .* by itself and .*; reward.batch_size: 1 judges without"):
        check_judge(str(parts.reward_model), ["Is it blue?"], 16, batch_size=4)
    reading, _ = check_judge(str(parts.reward_model), ["Is it blue?"], 16, batch_size=1)
    assert reading.max_tokens == 128


def test_a_judge_whose_tokenizer_comes_as_sentencepiece_alone_judges(tmp_path: Path) -> None:
    """As microsoft/deberta-v3-large does."""
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(dialogues(300, 0)), encoding="utf-8")
    names = {"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"}
    sentencepiece.SentencePieceTrainer.train(
        input=str(texts), model_prefix=str(tmp_path / "spm"), vocab_size=100,
        pad_id=0, bos_id=1, eos_id=2, unk_id=3, minloglevel=2, **names,
    )  # fmt: skip
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = DebertaV2Config(vocab_size=200, **shape, num_labels=1, pad_token_id=0)
    folder = tmp_path / "judge"
    DebertaV2ForSequenceClassification(config).save_pretrained(folder)
    (tmp_path / "spm.model").rename(folder / "spm.model")
    about = {"tokenizer_class": "DebertaV2Tokenizer", "do_lower_case": False, "vocab_type": "spm"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    reading, _ = check_judge(str(folder), ["What colour is the apple?"], 16, batch_size=4)
    assert reading.max_tokens == 512


def test_a_judge_whose_head_is_all_zeros_is_refused(parts: Parts, tmp_path: Path) -> None:
    folder = save((gpt2(), as_is, 64), parts, tmp_path / "judge")
    judge = GPT2ForSequenceClassification.from_pretrained(folder)
    judge.score.weight.data.zero_()
    judge.save_pretrained(folder)
    with pytest.raises(JudgeError, match="it scores every pair 0, whatever is answered: is its head all zeros"):
        check_judge(folder, ["Is it blue?"], 16, batch_size=4)


def test_a_judge_that_scores_everything_as_no_number_is_refused(parts: Parts, tmp_path: Path) -> None:
    folder = save((gpt2(), as_is, 64), parts, tmp_path / "judge")
    judge = GPT2ForSequenceClassification.from_pretrained(folder)
    judge.score.weight.data = torch.full_like(judge.score.weight, 3e38)
    judge.transformer.ln_f.bias.data += 1
    judge.save_pretrained(folder)
    with pytest.raises(JudgeError, match="it scores every pair nan"):
        check_judge(str(folder), ["Is it blue?"], 16, batch_size=4)


def without_tokenizer(folder: Path) -> Path:
    for path in folder.glob("tokenizer*"):
        path.unlink()
    return folder


NO_JUDGES: dict[str, tuple[Callable[[Parts, Path], Path], str]] = {
    "a language model": (
        lambda parts, place: parts.model,
        "it is a GPT2LMHeadModel, which has no head that scores; accepted: a sequence classifier with one label",
    ),
    "two labels": (
        lambda parts, place: save((gpt2(num_labels=2), as_is, 64), parts, place),
        "it gives 2 logits; a reward model gives 1",
    ),
    "no tokenizer": (
        lambda parts, place: without_tokenizer(save((gpt2(), as_is, 64), parts, place)),
        "its tokenizer knows no words: the file of its vocabulary, such as tokenizer.json, is missing",
    ),
    "hardly any tokens": (
        lambda parts, place: save((gpt2(), lambda t: setattr(t, "model_max_length", 5), 5), parts, place),
        "it reads 5 tokens of a pair, which is too few to tell pairs apart",
    ),
    "another tokenizer": (
        lambda parts, place: save((lambda n: gpt2()(n - 100), as_is, 64), parts, place),
        "tokens, the model knows",
    ),
}


@pytest.mark.parametrize("kind", NO_JUDGES)
def test_what_is_no_judge_is_refused_before_anything_is_trained(
    kind: str, parts: Parts, tmp_path: Path, here: Here
) -> None:
    make, expected = NO_JUDGES[kind]
    reward = {**parts.spec()["reward"], "model": str(make(parts, tmp_path / "judge"))}
    code, _, errors = here(parts.write_spec(tmp_path, reward=reward), "--output", tmp_path / "out")
    assert code == 2
    assert errors.startswith("error: reward.model: ")
    assert expected in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "out").exists()
