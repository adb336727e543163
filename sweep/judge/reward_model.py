"""The judge: a reward model that gives one score to a prompt with its response, loaded, tried and asked.

Judges differ in how they want to be padded, in how much they can read and in what their tokenizers say of it. All that
is found once, before anything is trained, by having the judge score pairs alone and together.
"""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from basis.errors import said_by_transformers
from model.memory_limit import ran_out_of_memory
from model.weight_files import check_folder
from model.weights import load_weights

IGNORED = (r"(^|\.)pooler\.", r"^(lm_head|cls|lm_predictions|mask_predictions)\.")
"""What a judge's file may have beside the judge: a pooler that its architecture leaves out, heads of pretraining."""

TRIED_TOKENS = 1024
"""A judge that claims to read no more than this is tried at its full length, others at what the sweep may ask."""

FEWEST_TOKENS = 16
"""A judge that reads less than this can't tell pairs apart."""

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
    def score(self, pairs: Sequence[Pair], batch_size: int) -> list[float]:
        """The single logit for each (prompt, response); pairs of similar length share a batch."""
        self.tokenizer.padding_side = self.reading.padding_side
        longest = self.reading.max_tokens
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


def load_judge(folder: str | Path, device: torch.device, reading: Reading | None = None) -> Judge:
    """A judge on the device that it is to judge on.

    Args:
        folder: the reward model's folder.
        device: where to put it, when it is known how to read.
        reading: what `find_reading` found; None: it is found now.
    """
    judge = Judge(folder)
    judge.reading = reading or find_reading(judge, TRIED_TOKENS, batched=True)
    judge.model.to(device)
    return judge


def check_judge(folder: str, prompts: Sequence[str], new_tokens: int, batch_size: int) -> tuple[Reading, int]:
    """Have a judge score pairs as it will be asked to, so that nothing is missing when a trial has trained for hours.

    Args:
        folder: the reward model's folder.
        prompts: what the sweep asks.
        new_tokens: the most tokens of a response.
        batch_size: pairs that are judged together; one pair at a time needs no padding.

    Returns:
        How the judge reads, and the bytes of its weights.

    Raises:
        JudgeError: it is no judge, or not one that scores pairs together as it does alone.
        WeightsError: its weights are not those of its configuration.
        Exception: what a damaged file or an unknown architecture makes Transformers raise.
    """
    check_folder(Path(folder))
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    architectures = config.architectures or []
    if architectures and not any("SequenceClassification" in name or "Reward" in name for name in architectures):
        raise JudgeError(
            f"it is a {architectures[0]}, which has no head that scores; accepted: a sequence classifier with one label"
        )
    if config.num_labels != 1:
        raise JudgeError(f"it gives {config.num_labels} logits; a reward model gives 1")
    judge = Judge(folder)
    longest = max(len(judge.tokenizer.encode(prompt)) for prompt in prompts) + 2 * new_tokens
    reading = find_reading(judge, longest, batched=batch_size > 1)
    model_bytes = sum(weight.numel() * weight.element_size() for weight in judge.model.parameters())
    return reading, model_bytes


def find_reading(judge: Judge, needed_tokens: int, batched: bool) -> Reading:
    """How a judge on the CPU reads: as long as it claims and really can, padded where scores don't change by it.

    On a GPU a position too many would take the process down, so this is found on the CPU.

    Args:
        judge: the judge.
        needed_tokens: about the longest pair that it will be asked for.
        batched: whether pairs will be judged together.

    Raises:
        JudgeError: no padding leaves scores as they are, or no pair gets a finite score.
        Exception: what the judge raises for every pair.
    """
    alone = judge.score(SHORT, 1)
    longest = _longest_that_runs(judge, needed_tokens)
    if longest is not None and longest < FEWEST_TOKENS:
        raise JudgeError(f"it reads {longest} tokens of a pair, which is too few to tell pairs apart")
    own = judge.reading.padding_side
    sides: tuple[PaddingSide, ...] = (own, "left" if own == "right" else "right")
    many = (SHORT[0], _long_pair(longest or needed_tokens))
    alone_long = [alone[0], *_read(judge, Reading(longest, own), many[1:], 1)]
    if not any(map(math.isfinite, [*alone, *alone_long])):
        raise JudgeError(f"it scores every pair {alone[0]}")
    if len(set(alone_long + alone)) == 1:
        raise JudgeError(f"it scores every pair {alone[0]:.4g}, whatever is answered: is its head all zeros?")
    if not batched:
        return Reading(longest, own)
    together: list[float] = []
    for side in sides:
        reading = Reading(longest, side)
        together = [*_read(judge, reading, SHORT, len(SHORT)), *_read(judge, reading, many, len(many))]
        if _agree([*alone, *alone_long], together):
            return reading
    raise JudgeError(
        f"it scores a pair {alone[0]:.4g} by itself and {together[0]:.4g} beside longer ones, so padding changes its "
        "scores; reward.batch_size: 1 judges without padding"
    )


def _longest_that_runs(judge: Judge, needed_tokens: int) -> int | None:
    """The most tokens of a pair, up to what the judge claims: some keep positions back that they count in."""
    claimed = judge.reading.max_tokens
    if claimed is None or claimed > TRIED_TOKENS:
        tried = min(needed_tokens, claimed or needed_tokens)
        if _runs(judge, tried):
            return claimed
    else:
        tried = claimed
        if _runs(judge, tried):
            return claimed
    padding = judge.model.config.pad_token_id
    guess = tried - 1 - padding if isinstance(padding, int) and 0 <= padding < tried else 0
    if guess > 0 and _runs(judge, guess):  # such as RoBERTa's, which count positions from behind their padding token
        return guess
    runs, fails = 0, tried
    while fails - runs > 1:
        middle = (runs + fails) // 2
        runs, fails = (middle, fails) if _runs(judge, middle) else (runs, middle)
    if runs == 0:
        _read(judge, Reading(tried, judge.reading.padding_side), [_long_pair(tried)], 1)  # raises what is wrong
    return runs


def _runs(judge: Judge, tokens: int) -> bool:
    try:
        _read(judge, Reading(tokens, judge.reading.padding_side), [_long_pair(tokens)], 1)
    except Exception as error:  # an index out of range, or a shape that does not fit: each architecture has its own
        if ran_out_of_memory(error):
            raise
        return False
    return True


def _long_pair(tokens: int) -> Pair:
    """A pair that no tokenizer makes less than so many tokens of."""
    return "What colour is it? " * (tokens // 4 + 1), "It is blue. " * (tokens // 3 + 1)


def _read(judge: Judge, reading: Reading, pairs: Sequence[Pair], batch_size: int) -> list[float]:
    """Scores under another reading than the judge's own."""
    kept, judge.reading = judge.reading, reading
    try:
        return judge.score(pairs, batch_size)
    finally:
        judge.reading = kept


def _agree(alone: Sequence[float], together: Sequence[float]) -> bool:
    """Whether scores are the same but for rounding, as seen beside how far the pairs lie apart."""
    known = [score for score in alone if math.isfinite(score)]
    tolerance = 1e-3 * (max(known) - min(known)) + 1e-4 * max(map(abs, known))
    return all(
        abs(one - other) <= tolerance if math.isfinite(one) else not math.isfinite(other)
        for one, other in zip(alone, together, strict=True)
    )


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
    token = next((one for one in ids if isinstance(one, int) and 0 <= one < min(vocabulary, len(tokenizer))), None)
    if token is not None and token != tokenizer.pad_token_id:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(token)
    config.pad_token_id = token


def _accepted_inputs(model: PreTrainedModel) -> set[str]:
    """Names of what the model takes of a tokenizer's output: some tokenizers give more than theirs can read."""
    accepted: dict[str, Any] = dict(inspect.signature(model.forward).parameters)
    if getattr(model.config, "type_vocab_size", 2) < 2:
        accepted.pop("token_type_ids", None)
    return set(accepted)
