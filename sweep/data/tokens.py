"""Dialogues as tokens: tokenised once per (sources, tokenizer) into a cache, and cut into train and test windows.

A cache entry is a folder named by everything its content depends on. It is built beside its final place and renamed
into it, so a reader finds a whole entry or none, and whoever finds one starts without reading a dialogue.

    CACHE_DIR/KEY.LAYOUT/
      train.npy, test.npy    all tokens in a row, each example closed by the end-of-text token
      validation.npy         likewise, where some of train is held out for tuning
      NAME_KIND.npy          what is known of each token, see `sweep.data.token_files`
      statistics.json        token counts and what the report says about the examples
      seals.json             the size and SHA-256 of the files above
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from basis.checksums import folder_flaw, seal_folder, set_aside
from basis.disks import disk_error, disk_failure
from basis.errors import UserError, shortened
from basis.files import publish_folder
from basis.read_json import DamagedError
from sweep.data.dialogues import DataSources, Dialogues, bring_hub_data, load_sft
from sweep.data.digests import SourceDigest, fingerprint, source_digests
from sweep.data.encode import Encoded, Encoder
from sweep.data.examples import Example, opening
from sweep.data.forms import CHOSEN
from sweep.data.overlap import overlap
from sweep.data.rows import fitting
from sweep.data.template import TemplateError, choose_template
from sweep.data.token_files import TokenFiles, write_token_files
from sweep.data.tokenizer import load_tokenizer, tokenizer_digests
from sweep.data.words import describe_dialogues, describe_sources
from sweep.machine.workshop import workshop

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMAT_VERSION = 3
"""Part of the cache key: raise it when the content of an entry changes meaning."""

LAYOUT_VERSION = 4
"""Of an entry's files. An older one is left alone and made again beside it; the data are the same."""

_STATISTICS = "statistics.json"


@dataclass(frozen=True)
class TokenSet:
    """Where the tokens of a sweep lie, small enough to travel to every trial; `sweep.data.token_files` opens them.

    `key` is the same for the same data and tokenizer, wherever the files lie.

    `statistics` holds train_dialogues, test_dialogues and excluded_dialogues; overlap_exact, overlap_opening (absent
    where it can't be told), openings unknown and duplicates, explained at `overlap.Overlap`; validation_dialogues,
    validation_duplicates and validation_openings_in_test where some are held out; joined_dialogues and framed_dialogues
    where some are, see `records.Made`; form_NAME for each `forms.Form` that was read, turns and skipped_records, see
    `sources.Tally`, where there are some. `sources` are the digests of what the tokens were made from.
    """

    key: str
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
    entry = cache_dir / f"{key[:32]}.{LAYOUT_VERSION}"
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
    _check_windows(tokens, data, block_size, say)
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
    held_out = f", {len(dialogues.validation):,} validation" if dialogues.validation else ""
    say(f"tokenising {len(dialogues.train):,} train{held_out} and {len(dialogues.test):,} test dialogues")
    try:
        loaded = load_tokenizer(tokenizer_dir) if tokenizer is None else tokenizer
        tokens = _build_entry(entry, dialogues, loaded, data.template)
    except OSError as error:
        number = disk_failure(error)
        why = disk_error(entry, number).strerror if number else f"can't be written ({error.strerror})"
        raise UserError(f"{entry.parent}: the token cache {why}") from error
    say(f"{_counts(tokens)}, in {time.perf_counter() - started:.1f} s, kept in {entry}")
    return tokens


def _check_windows(tokens: TokenSet, data: DataSources, block_size: int, say: Callable[[str], None]) -> None:
    """Refuse sets with fewer tokens than one window, or without an answer that begins within one; say what is cut off.

    Raises:
        UserError: naming the set.
    """
    paths = {"train": tokens.train_path, "test": tokens.test_path, "validation": tokens.validation_path}
    for name, path in paths.items():
        if path is None:
            if name == "validation" and data.validation_fraction is None:
                continue
            raise UserError(f"the {name} set has no examples; give more, or a larger data.validation_fraction")
        files = TokenFiles.open(path)
        if files.roles is None:
            _check_length(name, len(files.tokens), block_size)
        elif line := fitting(name, files, block_size):
            say(line)


def _check_length(name: str, count: int, block_size: int) -> None:
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
    others = [
        *([data.template] if data.template else []),
        *([data.columns] if data.columns else []),
        *(["skip_broken"] if data.skip_broken else []),
    ]
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
        entry.name.partition(".")[0],
        entry / "train.npy",
        entry / "test.npy",
        content["train_tokens"],
        content["test_tokens"],
        content["statistics"],
        entry / "validation.npy" if validation_tokens else None,
        validation_tokens,
    )


def _build_entry(
    entry: Path, dialogues: Dialogues, tokenizer: "PreTrainedTokenizerBase", template_text: str | None
) -> TokenSet:
    """Write a cache entry; if another process was faster, its entry is used and this one dropped."""
    examples = {"train": dialogues.train, "test": dialogues.test}
    if dialogues.validation:
        examples["validation"] = dialogues.validation
    template = choose_template(template_text, tokenizer)
    vocabulary = max(tokenizer.get_vocab().values()) + 1
    with workshop(entry.parent) as place:
        unfinished = place / entry.name
        unfinished.mkdir()
        content: dict[str, Any] = {
            f"{name}_tokens": write_token_files(
                unfinished / f"{name}.npy",
                _encoded(name, side, Encoder(template, tokenizer, sizes=name != "train")),
                vocabulary,
                roles=dialogues.kind != "text",
                sizes=name != "train",
            )
            for name, side in examples.items()
        } | {
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


def _encoded(name: str, examples: Sequence[Example], encoder: Encoder) -> Iterator[Encoded]:
    """The examples of a side as tokens.

    A fast tokenizer's own backend is called, without the masks and copies that transformers adds around it; the tokens
    are the same. It gets one example at a time: given many, it starts a thread per core, each of which keeps several
    megabytes, and which Ray, forking its processes later, would inherit in an unknown state.

    Raises:
        UserError: an example that the template can't render.
    """
    for number, example in enumerate(examples, 1):
        try:
            yield encoder.encode(example)
        except TemplateError as error:
            opens = shortened(opening(example), 40)
            raise UserError(f"data.{name}: example {number}, which opens with {opens!r}: {error}") from None
