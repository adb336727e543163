"""One tokenisation in a process of its own, told by `benchmarks.data`; prints what it took as one line of JSON.

python -m benchmarks.data_worker ours|datasets FILE TOKENIZER_DIR CACHE_DIR
"""

import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIB = 2**20


class Stages:
    """Measures CPU seconds and memory growth of each stage, and of both stages together."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self._begin()
        self._first = self._cpu, self._resident
        self._peak = 0

    def _begin(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM, the peak, to the present size
        self._cpu, self._resident = cpu_seconds(), _status("VmRSS")

    def end(self, name: str) -> None:
        """Note what the stage that ends here took, and begin the next one."""
        self.figures[f"{name} CPU s"] = cpu_seconds() - self._cpu
        peak = _status("VmHWM")
        self.figures[f"{name} growth MiB"] = (peak - self._resident) / MIB
        self._peak = max(self._peak, peak)
        self.figures["both CPU s"] = cpu_seconds() - self._first[0]
        self.figures["both growth MiB"] = (self._peak - self._first[1]) / MIB
        self._begin()


def cpu_seconds() -> float:
    """User and system time of this process, its threads and its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


def _tokenizer(folder: str) -> Any:
    """The tokenizer after a first call, so that no stage pays for loading it or for an import."""
    from sweep.data.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(folder)
    tokenizer("a first call", add_special_tokens=False)
    gc.collect()
    return tokenizer


def ours(file: str, tokenizer_dir: str, cache_dir: Path) -> dict[str, float]:
    """Run `prepare_tokens` from a file to a cache entry. The lines that it says mark where a stage ends."""
    from sweep.data.dialogues import DataSources
    from sweep.data.tokens import prepare_tokens

    tokenizer = _tokenizer(tokenizer_dir)
    stages = Stages()

    def say(text: str) -> None:
        if text.startswith("tokenising"):
            stages.end("reading")

    tokens = prepare_tokens(DataSources((file,)), tokenizer_dir, cache_dir, say, block_size=1, tokenizer=tokenizer)
    stages.end("tokenising")
    return {**stages.figures, "tokens": tokens.train_tokens + tokens.test_tokens}


def with_datasets(file: str, tokenizer_dir: str, cache_dir: Path) -> dict[str, float]:
    """Tokenise as one usually does with `datasets`: load_dataset, and a batched map that adds the end-of-text token."""
    import datasets

    datasets.disable_progress_bars()
    tokenizer = _tokenizer(tokenizer_dir)
    stages = Stages()
    read = datasets.load_dataset("json", data_files=file, split="train", cache_dir=str(cache_dir))
    stages.end("reading")

    def tokenise(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        texts = [text + tokenizer.eos_token for text in batch["chosen"]]
        return {"input_ids": tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]}

    tokenised = read.map(tokenise, batched=True, remove_columns=read.column_names)
    stages.end("tokenising")
    return {**stages.figures, "tokens": sum(map(len, tokenised.with_format("numpy")["input_ids"]))}


if __name__ == "__main__":
    WAYS: dict[str, Callable[[str, str, Path], dict[str, float]]] = {"ours": ours, "datasets": with_datasets}
    way, source, tokenizer_folder, cache = sys.argv[1:]
    print(json.dumps(WAYS[way](source, tokenizer_folder, Path(cache))))
