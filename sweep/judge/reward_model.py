"""The judge: a reward model that gives one score to a prompt with its response.

How it reads pairs is found by trying, see `sweep.judge.reading`.
"""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from basis.errors import said_by_transformers
from model.weights import load_weights

IGNORED = (r"(^|\.)pooler\.", r"^(lm_head|cls|lm_predictions|mask_predictions)\.")
"""What a judge's file may have beside the judge: a pooler that its architecture leaves out, heads of pretraining."""

UNKNOWN_TOKENS = 10**6
"""A tokenizer that claims more tokens than this doesn't know how many there may be."""

Pair = tuple[str, str]
PaddingSide = Literal["left", "right"]

SHORT: tuple[Pair, ...] = (
    ("Is it blue?", "Yes, it is."),
    ("Is it blue?", ""),
    ("What is it?", "A small blue bird. " * 3),
)


class JudgeError(ValueError):
    """A judge that can't be relied upon. The message is one line, for the user."""


@dataclass(frozen=True)
class Reading:
    """How a judge reads pairs.

    Attributes:
        max_tokens: the longest that it can read; longer pairs lose the end of their longer part. None: any length.
        padding_side: where shorter pairs of a batch are filled up.
    """

    max_tokens: int | None
    padding_side: PaddingSide


class Judge:
    """A reward model with its tokenizer."""

    def __init__(self, folder: str | Path) -> None:
        """Load the judge in fp32 on the CPU.

        Raises:
            WeightsError: its weights are not those of a sequence classifier.
            JudgeError: its tokenizer is another model's, or can't be loaded.
        """
        self.model: PreTrainedModel = load_weights(AutoModelForSequenceClassification, folder, IGNORED)
        self.tokenizer = _load_tokenizer(folder)
        vocabulary = getattr(self.model.config, "vocab_size", None)
        if vocabulary is not None and self.tokenizer.vocab_size > vocabulary:
            raise JudgeError(f"its tokenizer has {self.tokenizer.vocab_size} tokens, the model knows {vocabulary}")
        _set_padding(self.tokenizer, self.model.config, vocabulary or math.inf)
        self._accepted = _accepted_inputs(self.model)
        self.reading = Reading(_claimed_tokens(self.tokenizer, self.model.config), self.tokenizer.padding_side)

    @torch.no_grad()
    def score(self, pairs: Sequence[Pair], batch_size: int, reading: Reading | None = None) -> list[float]:
        """The single logit for each (prompt, response); pairs of similar length share a batch.

        Args:
            pairs: what is scored.
            batch_size: pairs that are scored together.
            reading: how pairs are read; None: as the judge reads them.
        """
        reading = reading or self.reading
        self.tokenizer.padding_side = reading.padding_side
        longest = reading.max_tokens
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
        scores = [0.0] * len(pairs)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            inputs = self.tokenizer(
                [pairs[i][0] for i in batch],
                [pairs[i][1] for i in batch],
                padding=len(batch) > 1,
                truncation="longest_first" if longest else False,
                max_length=longest,
                return_tensors="pt",
            )
            accepted = {name: value.to(self.model.device) for name, value in inputs.items() if name in self._accepted}
            for i, logit in zip(batch, self.model(**accepted).logits[:, 0].tolist(), strict=True):
                scores[i] = logit
        return scores


def _load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    """The judge's tokenizer; without a vocabulary, Transformers makes up one that knows no words."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as error:  # a broken file raises whatever its parser raises
        missing = "no tokenizer.json in it, and sentencepiece is not installed to make one"
        why = missing if "sentencepiece" in str(error) else said_by_transformers(error)
        raise JudgeError(f"its tokenizer can't be loaded: {why}") from error
    tokens = tokenizer.encode(" ".join(SHORT[0]), add_special_tokens=False)
    if len(set(tokens) - {tokenizer.unk_token_id}) < 3:
        raise JudgeError("its tokenizer knows no words: the file of its vocabulary, such as tokenizer.json, is missing")
    return tokenizer


def _claimed_tokens(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> int | None:
    """The most tokens that tokenizer and configuration claim; None where neither knows."""
    claims = (tokenizer.model_max_length, getattr(config, "max_position_embeddings", None))
    return min((int(claim) for claim in claims if claim and 0 < claim < UNKNOWN_TOKENS), default=None)


def _set_padding(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, vocabulary: float) -> None:
    """Have tokenizer and model pad with the same token: decoders score the last token that is not padding.

    The configuration's comes first, since the model was trained to find its last token by it; then the tokenizer's
    own, then any special token that it has.
    """
    specials = ("pad", "eos", "unk", "bos", "sep", "cls")
    ids = [getattr(config, "pad_token_id", None), *(getattr(tokenizer, f"{name}_token_id") for name in specials)]
    most = min(vocabulary, len(tokenizer))
    token = next((number for number in ids if isinstance(number, int) and 0 <= number < most), None)
    if token is not None and token != tokenizer.pad_token_id:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(token)
    config.pad_token_id = token


def _accepted_inputs(model: PreTrainedModel) -> set[str]:
    """Names of what the model takes of a tokenizer's output: some tokenizers give more than theirs can read."""
    accepted: dict[str, Any] = dict(inspect.signature(model.forward).parameters)
    if getattr(model.config, "type_vocab_size", 2) < 2:
        accepted.pop("token_type_ids", None)
    return set(accepted)
