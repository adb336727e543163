"""How a judge reads pairs, found by having it score some, alone and together, before anything is trained.

Judges differ in how they want to be padded, in how much they can read and in what their tokenizers say of it.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoConfig

from model.memory_limit import ran_out_of_memory
from model.weight_files import check_folder
from sweep.judge.reward_model import SHORT, Judge, JudgeError, PaddingSide, Pair, Reading

TRIED_TOKENS = 1024
"""A judge that claims to read no more than this is tried at its full length, others at what the sweep may ask."""

FEWEST_TOKENS = 16
"""A judge that reads less than this can't tell pairs apart."""


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
    """Have a judge score pairs as the sweep will, before trials train for hours.

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
    alone_long = [alone[0], *judge.score(many[1:], 1, Reading(longest, own))]
    if not any(map(math.isfinite, [*alone, *alone_long])):
        raise JudgeError(f"it scores every pair {alone[0]}")
    if len(set(alone_long + alone)) == 1:
        raise JudgeError(f"it scores every pair {alone[0]:.4g}, whatever is answered: is its head all zeros?")
    if not batched:
        return Reading(longest, own)
    together: list[float] = []
    for side in sides:
        reading = Reading(longest, side)
        together = [*judge.score(SHORT, len(SHORT), reading), *judge.score(many, len(many), reading)]
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
        judge.score([_long_pair(tried)], 1, Reading(tried, judge.reading.padding_side))  # raises what is wrong
    return runs


def _runs(judge: Judge, tokens: int) -> bool:
    try:
        judge.score([_long_pair(tokens)], 1, Reading(tokens, judge.reading.padding_side))
    except Exception as error:  # an index out of range, or a shape that does not fit: each architecture has its own
        if ran_out_of_memory(error):
            raise
        return False
    return True


def _long_pair(tokens: int) -> Pair:
    """A pair that is at least so many tokens for every tokenizer."""
    return "What colour is it? " * (tokens // 4 + 1), "It is blue. " * (tokens // 3 + 1)


def _agree(alone: Sequence[float], together: Sequence[float]) -> bool:
    """Whether scores differ by rounding alone, measured by how far the scores of different pairs lie apart."""
    known = [score for score in alone if math.isfinite(score)]
    tolerance = 1e-3 * (max(known) - min(known)) + 1e-4 * max(map(abs, known))
    return all(
        abs(by_itself - beside) <= tolerance if math.isfinite(by_itself) else not math.isfinite(beside)
        for by_itself, beside in zip(alone, together, strict=True)
    )
