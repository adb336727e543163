"""Windows of tokens: train windows drawn from (seed, step) alone, test windows fixed."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.integer[Any]]


def open_tokens(path: Path) -> Tokens:
    """Map a token file into memory, read-only; every process on a machine shares the same pages.

    Returns:
        (tokens,) array of uint16 or uint32.
    """
    tokens: Tokens = np.load(path, mmap_mode="r", allow_pickle=False)
    return tokens


def train_window_starts(seed: int, step: int, count: int, tokens: int, block_size: int) -> npt.NDArray[np.int64]:
    """Where the train windows of one step begin, uniform over all places where a window fits.

    They depend on the arguments alone: a resumed trial draws what an unbroken one draws, and trials of the same seed
    see the same windows.

    Args:
        seed: the trial's seed, 0 or more.
        step: the step's number, 0 or more.
        count: windows of the step.
        tokens: length of the train tokens.
        block_size: inputs per window.

    Returns:
        (count,) starts in [0, tokens - block_size - 1].
    """
    # Philox makes its numbers from (key, counter); the low 128 bits count the draws within a step.
    draw = np.random.Generator(np.random.Philox(key=seed, counter=step << 128))
    return draw.integers(0, tokens - block_size, size=count)


def test_window_starts(tokens: int, block_size: int, windows: int) -> npt.NDArray[np.int64]:
    """Where the test windows begin: the same for every trial, spread evenly, none overlapping another.

    Args:
        tokens: length of the test tokens.
        block_size: inputs per window.
        windows: how many are wanted.

    Returns:
        (min(windows, as many as fit),) ascending starts.
    """
    length = block_size + 1
    count = min(windows, tokens // length)
    return np.arange(count, dtype=np.int64) * (tokens - length) // max(count - 1, 1)


def windows(tokens: Tokens, starts: npt.NDArray[np.int64], block_size: int) -> npt.NDArray[np.int64]:
    """Cut windows out of the tokens: [:, :-1] are the inputs and [:, 1:] the targets.

    Args:
        tokens: (tokens,) from `open_tokens`.
        starts: (count,) where each window begins.
        block_size: inputs per window.

    Returns:
        (count, block_size + 1) tokens, int64 as embedding layers and losses take them.
    """
    plain = tokens.view(np.ndarray)  # slicing a memmap object itself costs several microseconds a time
    cut = np.empty((len(starts), block_size + 1), dtype=np.int64)
    for row, start in zip(cut, starts, strict=True):
        row[:] = plain[start : start + block_size + 1]
    return cut
