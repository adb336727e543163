"""Measures tokenising beside Hugging Face's datasets, opening the cache again, and feeding a training step.

python -m benchmarks.data [--quick]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.made_up import dialogues, write_dialogues, write_tokenizer
from benchmarks.measured import paired, run_alone, single, spread
from benchmarks.table import Row, Table, Target
from model.batch import Batch
from model.sft import SFTRun, SFTSettings
from sweep.data.dialogues import DataSources
from sweep.data.tokens import TokenSet, prepare_tokens
from sweep.data.windows import open_tokens, train_window_starts, windows

ROOT = Path(__file__).resolve().parent.parent
BATCH = (8, 1024)
"""Windows and block size of the batch whose feeding is timed."""
STEP_BATCH = (4, 256)
"""Windows and block size of the training step that feeding is compared with."""


@dataclass(frozen=True)
class Size:
    """How much is tokenised and how often. The tokenizer is trained on the first `taught` dialogues."""

    dialogues: int
    taught: int
    vocabulary: int
    pairs: int
    feeds: int
    steps: int


FULL = Size(dialogues=20_000, taught=3000, vocabulary=16_384, pairs=3, feeds=1000, steps=5)
QUICK = Size(dialogues=300, taught=100, vocabulary=1000, pairs=1, feeds=20, steps=2)

Figures = dict[str, float]


def measure(quick: bool) -> Table:
    """Measure CPU seconds and MiB of both tokenisations, ms to reopen the cache, and us to feed a step.

    Args:
        quick: take sizes that need a few seconds.
    """
    size = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = dialogues(size.dialogues)
        write_dialogues(folder / "dialogues.jsonl", texts)
        write_tokenizer(folder / "tokenizer", texts[: size.taught], size.vocabulary)
        pairs = tokenised_pairs(folder, size.pairs)
        rows, targets = _tokenising(pairs)
        tokens, reopened = _reopen(folder)
        rows.append(reopened)
        feeding_rows, feeding_target = _feeding(tokens, size)
    table_rows = [*rows, *feeding_rows]
    return Table("data", "Data", _about(size, pairs[0][0]["tokens"]), table_rows, [*targets, feeding_target])


def tokenised_pairs(folder: Path, count: int) -> list[tuple[Figures, Figures]]:
    """Tokenise `count` times in both ways, each time in a fresh process with a fresh cache.

    Returns:
        Pairs (ours, theirs). In each pair the other way goes first.

    Raises:
        RuntimeError: the two ways differ in the number of tokens.
    """
    pairs = []
    for number in range(count):
        order = ("ours", "datasets") if number % 2 else ("datasets", "ours")
        taken = {way: _in_fresh_process(way, folder, folder / f"cache-{way}-{number}") for way in order}
        if taken["ours"]["tokens"] != taken["datasets"]["tokens"]:
            raise RuntimeError(f"the tokenisations differ: {taken}")
        pairs.append((taken["ours"], taken["datasets"]))
    return pairs


def _in_fresh_process(way: str, folder: Path, cache: Path) -> Figures:
    command = [sys.executable, "-m", "benchmarks.data_worker", way, "dialogues.jsonl", "tokenizer", str(cache)]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{ran.stderr}")
    figures: Figures = json.loads(ran.stdout.splitlines()[-1])
    return figures


def _tokenising(pairs: list[tuple[Figures, Figures]]) -> tuple[list[Row], list[Target]]:
    rows: list[Row] = []
    for stage in ("tokenising", "reading", "both"):
        for measured, unit in ((f"{stage} CPU s", "CPU s"), (f"{stage} growth MiB", "MiB")):
            ours, theirs = ([pair[side][measured] for pair in pairs] for side in (0, 1))
            what = "CPU time" if unit == "CPU s" else "memory growth"
            rows.append(spread(f"{stage}, ours: {what}", unit, ours))
            rows.append(spread(f"{stage}, datasets: {what}", unit, theirs))
            rows.append(spread(f"{stage}, ours / datasets: {what}", "ratio", paired(ours, theirs)))
    ratio = {str(row["what"]): float(row["median"] or 0) for row in rows}
    bounds = {"CPU time": 1.0, "memory growth": 0.3}
    return rows, [
        Target(f"{stage}, {measured} of ours / datasets", ratio[f"{stage}, ours / datasets: {measured}"], bound, False)
        for stage in ("tokenising", "both")
        for measured, bound in bounds.items()
    ]


def _reopen(folder: Path) -> tuple[TokenSet, Row]:
    """Time the opening of the cache entry that the first pair has left, as a second sweep on the same data opens it."""

    def again() -> TokenSet:
        sources = DataSources((str(folder / "dialogues.jsonl"),))
        return prepare_tokens(
            sources, str(folder / "tokenizer"), folder / "cache-ours-0", said.append, block_size=BATCH[1]
        )

    said: list[str] = []
    milliseconds = [1e3 * seconds for seconds in _times(again, 5)]
    tokens = again()
    if any("tokenising" in line for line in said):
        raise RuntimeError(f"the cache was not found again: {said}")
    note = "checks the digests of sources and tokenizer"
    return tokens, spread("finding the cache again and opening it", "ms", milliseconds, note)


def _feeding(tokens: TokenSet, size: Size) -> tuple[list[Row], Target]:
    train = open_tokens(tokens.train_path)
    steps = iter(range(10**9))

    def batch(count: int, block: int) -> Batch:  # as Training._batch
        starts = train_window_starts(0, next(steps), count, len(train), block)
        return Batch(torch.from_numpy(windows(train, starts, block)))

    feeds = {shape: _times(partial(batch, *shape), size.feeds) for shape in (BATCH, STEP_BATCH)}
    run = _small_run(size)
    step_seconds = _times(lambda: run.train_step(batch(*STEP_BATCH)), size.steps + 1)[1:]  # the first one warms up
    share = statistics.median(feeds[STEP_BATCH]) / statistics.median(step_seconds)
    names = {BATCH: f"feeding {BATCH[0]} x {BATCH[1]}", STEP_BATCH: f"feeding {STEP_BATCH[0]} x {STEP_BATCH[1]}"}
    rows = [spread(names[shape], "us", [1e6 * seconds for seconds in feeds[shape]]) for shape in feeds]
    rows.append(spread(f"training step of {STEP_BATCH[0]} x {STEP_BATCH[1]}", "ms", [1e3 * s for s in step_seconds]))
    rows.append(single("feeding / step", "share", share))
    return rows, Target("feeding, share of a training step", share, 0.01, False)


def _small_run(size: Size) -> SFTRun:
    """A GPT-2 of 4 layers and width 256. Its steps are short, so that feeding takes as large a share as it can."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=size.vocabulary, n_layer=4, n_embd=256, n_head=4, bos_token_id=0, eos_token_id=0)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    settings = SFTSettings(steps=size.steps + 1, lr=1e-4, micro_batch=STEP_BATCH[0])
    return SFTRun(model, [optimizer], settings, torch.device("cpu"))


def _times(action: Callable[[], object], count: int) -> list[float]:
    """Seconds of each of `count` calls."""
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return seconds


def _about(size: Size, tokens: float) -> str:
    return (
        f"{size.dialogues:,} dialogues of made-up words in a .jsonl file, {tokens / size.dialogues:.0f} tokens each "
        f"under a byte-level BPE of {size.vocabulary:,} tokens that is trained on {size.taught:,} of them (GPT-2's own "
        "is not shipped). Each tokenisation runs in a fresh process with a fresh cache, the tokenizer loaded and "
        f"called once before; {size.pairs} pairs, taking turns in going first. Ours is prepare_tokens, on one thread, "
        "and writes its cache; 'datasets' is load_dataset and Dataset.map(batched=True) without num_proc, the same "
        "fast tokenizer without attention mask, and writes its Arrow cache. Both give the same number of tokens. "
        "'reading' is from the file to dialogues (held-out part chosen, in ours), 'tokenising' from there to the cache "
        "(in ours with counting how train and test overlap), 'both' the whole way. CPU time is user and system time "
        "with all threads; memory growth is the peak resident size (mapped file pages included) minus the size before. "
        "The step is of a GPT-2 of 4 layers and width 256 with AdamW, all of it training, on the CPU with "
        f"{torch.get_num_threads()} threads."
    )


if __name__ == "__main__":
    run_alone(measure)
