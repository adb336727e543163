"""Dialogues as tokens: tokenised once per (sources, tokenizer) into a cache, and cut into train and test windows.

A cache entry is a folder named by everything its content depends on. It is built beside its final place and renamed
into it, so a reader finds a whole entry or none, and whoever finds one starts without reading a dialogue.

    CACHE_DIR/KEY/
      train.npy, test.npy    all tokens in a row, each dialogue closed by the end-of-text token; uint16 or uint32
      validation.npy         likewise, where some of train is held out for tuning
      statistics.json        token counts and what the report says about the dialogues
      seals.json             the size and SHA-256 of the files above
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from basis.checksums import folder_flaw, seal_folder, set_aside
from basis.disks import disk_error, disk_failure
from basis.errors import UserError
from basis.files import publish_folder
from basis.read_json import DamagedError
from sweep.data.dialogues import DataSources, Dialogues, bring_hub_data, load_sft
from sweep.data.digests import SourceDigest, fingerprint, source_digests
from sweep.data.forms import CHOSEN
from sweep.data.overlap import overlap
from sweep.data.tokenizer import load_tokenizer, tokenizer_digests
from sweep.data.words import describe_dialogues, describe_sources
from sweep.machine.workshop import workshop

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMAT_VERSION = 3
"""Part of the cache key: raise it when the content of an entry changes meaning."""

BATCH_DIALOGUES = 256
_STATISTICS = "statistics.json"


@dataclass(frozen=True)
class TokenSet:
    """Where the tokens of a sweep lie, small enough to travel to every trial; `sweep.data.windows` opens them.

    `statistics` holds train_dialogues, test_dialogues and excluded_dialogues; overlap_exact, overlap_opening (absent
    where it can't be told), openings unknown and duplicates, explained at `overlap.Overlap`; validation_dialogues,
    validation_duplicates and validation_openings_in_test where some are held out; joined_dialogues and framed_dialogues
    where some are, see `records.Made`; form_NAME for each `forms.Form` that was read, turns and skipped_records, see
    `sources.Tally`, where there are some. `sources` are the digests of what the tokens were made from.
    """

    train_path: Path
    test_path: Path
    train_tokens: int
    test_tokens: int
    statistics: dict[str, int]
    validation_path: Path | None = None
    validation_tokens: int = 0
    sources: tuple[SourceDigest, ...] = ()


def prepare_tokens(
    data: DataSources,
    tokenizer_dir: Path | str,
    cache_dir: Path,
    say: Callable[[str], None],
    *,
    block_size: int,
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    tokenizer_pinned: str | None = None,
) -> TokenSet:
    """Find the tokens of an SFT set in the cache, or make them; safe to run from several processes at once.

    Args:
        data: the sources of the SFT set.
        tokenizer_dir: a tokenizer's folder; see `load_tokenizer`.
        cache_dir: where entries live; created if missing.
        say: told what happens, one line at a time.
        block_size: inputs per window; only checked against the number of tokens.
        tokenizer: the tokenizer itself where the caller has loaded it already.
        tokenizer_pinned: name@commit of a tokenizer that comes from the hub; of another its files are looked at.

    Returns:
        The cache entry.

    Raises:
        UserError: sources or tokenizer that can't be read, a cache that can't be written, or fewer tokens than one
            window in train or test.
    """
    sources = source_digests(data)
    key = _cache_key(data, sources, tokenizer_pinned or tokenizer_digests(tokenizer_dir))
    entry = cache_dir / key[:32]
    try:
        tokens = _read_entry(entry)
    except DamagedError as damage:
        say(f"{entry}: {damage}{set_aside(entry)}; made again")
        tokens = None
    if tokens is None:
        tokens = _make_entry(entry, data, tokenizer_dir, tokenizer, say)
    else:
        say(f"the SFT set: {describe_sources(data)}")
        say(f"{_counts(tokens)}, from the cache {entry}")
    for line in describe_dialogues(tokens.statistics, data.field or CHOSEN):
        say(line)
    _check_windows(tokens, data, block_size)
    return replace(tokens, sources=tuple(sources))


def _make_entry(
    entry: Path,
    data: DataSources,
    tokenizer_dir: Path | str,
    tokenizer: "PreTrainedTokenizerBase | None",
    say: Callable[[str], None],
) -> TokenSet:
    """Read and tokenise the SFT set into a new cache entry; arguments and errors are those of `prepare_tokens`."""
    started = time.perf_counter()
    say(f"reading the SFT set: {describe_sources(data)}")
    bring_hub_data(data, say)
    dialogues = load_sft(data)
    if dialogues.kind != "text":
        raise UserError(f"data.train: {dialogues.kind} can't be trained on yet; accepted: text, or HH-RLHF's chosen")
    held_out = f", {len(dialogues.validation):,} validation" if dialogues.validation else ""
    say(f"tokenising {len(dialogues.train):,} train{held_out} and {len(dialogues.test):,} test dialogues")
    try:
        tokens = _build_entry(entry, dialogues, load_tokenizer(tokenizer_dir) if tokenizer is None else tokenizer)
    except OSError as error:
        number = disk_failure(error)
        why = disk_error(entry, number).strerror if number else f"can't be written ({error.strerror})"
        raise UserError(f"{entry.parent}: the token cache {why}") from error
    say(f"{_counts(tokens)}, in {time.perf_counter() - started:.1f} s, kept in {entry}")
    return tokens


def _check_windows(tokens: TokenSet, data: DataSources, block_size: int) -> None:
    """Refuse sets with fewer tokens than one window.

    Raises:
        UserError: naming the set.
    """
    counted = {"train": tokens.train_tokens, "test": tokens.test_tokens}
    if data.validation_fraction is not None:
        counted["validation"] = tokens.validation_tokens
    for name, count in counted.items():
        if count < block_size + 1:
            raise UserError(
                f"the {name} set has {count:,} tokens, but one window takes {block_size + 1:,} (block_size "
                f"{block_size:,} + 1); give more {name} dialogues or a smaller block_size"
            )


def _counts(tokens: TokenSet) -> str:
    held_out = f", {tokens.validation_tokens:,} validation" if tokens.validation_tokens else ""
    return f"{tokens.train_tokens:,} train{held_out} and {tokens.test_tokens:,} test tokens"


def _cache_key(data: DataSources, sources: Sequence[SourceDigest], tokenizer: str | list[tuple[str, str]]) -> str:
    """A digest of everything that the tokens depend on. The tokenizer is not loaded for it."""
    fractions = [data.test_fraction, *([] if data.validation_fraction is None else [data.validation_fraction])]
    named = data.field or CHOSEN  # which is read alike, named or recognised
    others = [*([data.columns] if data.columns else []), *(["skip_broken"] if data.skip_broken else [])]
    parts = (FORMAT_VERSION, fingerprint(sources), named, *fractions, tokenizer, *others)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read_entry(entry: Path) -> TokenSet | None:
    """A cache entry, or None if there is none.

    Raises:
        DamagedError: naming the file of it that is not as it was written.
    """
    if not entry.exists():
        return None
    try:
        if flaw := folder_flaw(entry):
            raise DamagedError(flaw)
        content = json.loads((entry / _STATISTICS).read_bytes())
    except OSError as error:
        raise UserError(f"{entry}: can't be read ({error.strerror})") from None
    validation_tokens = content.get("validation_tokens", 0)
    return TokenSet(
        entry / "train.npy",
        entry / "test.npy",
        content["train_tokens"],
        content["test_tokens"],
        content["statistics"],
        entry / "validation.npy" if validation_tokens else None,
        validation_tokens,
    )


def _build_entry(entry: Path, dialogues: Dialogues, tokenizer: "PreTrainedTokenizerBase") -> TokenSet:
    """Write a cache entry; if another process was faster, its entry is used and this one dropped."""
    examples = {"train": dialogues.train, "test": dialogues.test}
    if dialogues.validation:
        examples["validation"] = dialogues.validation
    sets = {name: [example.text for example in side] for name, side in examples.items()}
    with workshop(entry.parent) as place:
        unfinished = place / entry.name
        unfinished.mkdir()
        paths = {name: unfinished / f"{name}.npy" for name in sets}
        content = {
            **{f"{name}_tokens": _write_tokens(paths[name], sets[name], tokenizer) for name in sets},
            "statistics": _statistics(dialogues),
        }
        (unfinished / _STATISTICS).write_text(json.dumps(content, indent=2) + "\n")
        seal_folder(unfinished)
        publish_folder(unfinished, entry)
    tokens = _read_entry(entry)
    if tokens is None:  # of another process, which was faster
        raise UserError(f"{entry}: another process has just written it, and it is damaged; start again")
    return tokens


def _statistics(dialogues: Dialogues) -> dict[str, int]:
    """What the report says about the dialogues; see TokenSet."""
    counted = overlap(dialogues)
    statistics = {
        "train_dialogues": len(dialogues.train),
        "test_dialogues": len(dialogues.test),
        "excluded_dialogues": dialogues.excluded,
        "overlap_exact": counted.exact,
        **({} if counted.opening is None else {"overlap_opening": counted.opening}),
        "train_openings_unknown": counted.train_openings_unknown,
        "test_openings_unknown": counted.test_openings_unknown,
        "train_duplicates": counted.train_duplicates,
        "test_duplicates": counted.test_duplicates,
    }
    if dialogues.validation:
        statistics["validation_dialogues"] = len(dialogues.validation)
        statistics["validation_duplicates"] = counted.validation_duplicates
        statistics["validation_openings_in_test"] = counted.validation_in_test
    tally = dialogues.tally
    statistics |= {f"{how}_dialogues": number for how, number in tally.made.items() if how != "whole"}
    statistics |= {f"form_{name}": number for name, number in tally.forms.items()}
    return statistics | {name: n for name, n in (("turns", tally.turns), ("skipped_records", tally.skipped)) if n}


def _write_tokens(path: Path, dialogues: Iterable[str], tokenizer: "PreTrainedTokenizerBase") -> int:
    """Stream the tokens of all dialogues into a .npy file, batch by batch, and return how many there are."""
    dtype = np.dtype(np.uint16 if max(tokenizer.get_vocab().values()) < 2**16 else np.uint32)
    count = 0
    with path.open("wb") as file:
        _write_header(file, dtype, 0)
        for ids in _token_batches(dialogues, tokenizer):
            file.write(np.array(ids, dtype).data)  # numpy's tofile does not say what the disk said
            count += len(ids)
        body = file.tell() - count * dtype.itemsize
        file.seek(0)
        _write_header(file, dtype, count)
        # numpy leaves room in the header for the length to grow; a header of another size would shift the tokens
        assert file.tell() == body, "the .npy header changed its size"
    return count


def _write_header(file: BinaryIO, dtype: np.dtype[Any], count: int) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, header)


def _token_batches(dialogues: Iterable[str], tokenizer: "PreTrainedTokenizerBase") -> Iterator[list[int]]:
    """The tokens of a batch of dialogues at a time, each dialogue closed by the end-of-text token.

    A fast tokenizer's own backend is called, without the offsets, masks and copies that transformers adds around it;
    the tokens are the same. It gets one dialogue at a time: given many, it starts a thread per core, each of which
    keeps several megabytes, and which Ray, forking its processes later, would inherit in an unknown state.
    """
    end: int = tokenizer.eos_token_id
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    remaining = iter(dialogues)
    while batch := list(islice(remaining, BATCH_DIALOGUES)):
        ids: list[int] = []
        for text in batch:
            if backend is not None:
                ids += backend.encode_batch_fast([text], add_special_tokens=False)[0].ids
            else:
                # verbose=False: that a dialogue is longer than the model's context is no news, windows are cut later
                ids += tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
            ids.append(end)
        yield ids
