"""Examples as tokens: tokenised once per (sources, tokenizer, template) into a cache.

A cache entry is a folder named by everything its content depends on. It is built beside its final place and renamed
into it, so a reader finds a whole entry or none, and whoever finds one starts without reading a dialogue.

    CACHE_DIR/KEY/
      train.npy, test.npy    all tokens in a row, each example closed by the end-of-text token; uint16 or uint32
      validation.npy         likewise, where some of train is held out for tuning
      NAME_ends.npy          where each example ends in NAME.npy; int64
      NAME_roles.npy         of examples that are no texts: the bits of `sweep.data.encode` by token; uint8
      NAME_bytes.npy         of test and validation: the bytes of text that each token stands for; uint32
      statistics.json        token counts and what the report says about the dialogues
      seals.json             the size and SHA-256 of the files above
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from basis.errors import UserError
from basis.row_counts import RowCounts
from sweep.data.cache_entry import whole_entry, write_entry
from sweep.data.dialogues import DataSources, Dialogues, bring_hub_data, load_sft
from sweep.data.digests import SourceDigest, fingerprint, source_digests
from sweep.data.examples import Kind
from sweep.data.forms import CHOSEN
from sweep.data.general import GeneralTokens, prepare_general
from sweep.data.overlap import overlap
from sweep.data.template import TEMPLATE_DATE, ChatTemplate, choose_template
from sweep.data.tokenizer import load_tokenizer, template_digests, tokenizer_digests
from sweep.data.words import describe_dialogues, describe_sources

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMAT_VERSION = 3
"""Part of the cache key: raise it when the content of an entry changes meaning."""

MESSAGES_VERSION = 2
"""Likewise of entries of messages alone."""


@dataclass(frozen=True)
class TokenSet:
    """Where the tokens of a sweep lie, small enough to travel to every trial; `sweep.data.token_files` opens them.

    `statistics` holds train_dialogues, test_dialogues and excluded_dialogues; overlap_exact, overlap_opening (absent
    where it can't be told), openings unknown and duplicates, explained at `overlap.Overlap`; validation_dialogues,
    validation_duplicates and validation_openings_in_test where some are held out; joined_dialogues and framed_dialogues
    where some are, see `records.Made`; form_NAME for each `forms.Form` that was read, turns and
    skipped_records, see `sources.Tally`, where there are some. `sources` are digests of what the tokens were made from.
    `template` names what messages went through; empty of texts. `general` is general text, where there is some. `rows`
    are what rows of whole examples leave of each set, once that is known.
    """

    train_path: Path
    test_path: Path
    train_tokens: int
    test_tokens: int
    statistics: dict[str, int]
    validation_path: Path | None = None
    validation_tokens: int = 0
    sources: tuple[SourceDigest, ...] = ()
    kind: Kind = "text"
    template: str = ""
    general: GeneralTokens | None = None
    rows: tuple[RowCounts, ...] = ()


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
            window in train, test or general text.
    """
    sources = source_digests(data)
    places = _places(data, sources, tokenizer_dir, cache_dir, tokenizer_pinned)
    tokens = None
    for entry in places:
        if content := whole_entry(entry, "train", say):
            tokens = _token_set(entry, content)

    @cache
    def dialogues() -> Dialogues:
        say(f"reading the SFT set: {describe_sources(data)}")
        bring_hub_data(data, say)
        return load_sft(data)

    @cache
    def template() -> ChatTemplate:
        return choose_template(load_tokenizer(tokenizer_dir) if tokenizer is None else tokenizer, data.template)

    if tokens is None:
        tokens = _make_entry(places, dialogues, template, say)
    else:
        say(f"the SFT set: {describe_sources(data)}")
        say(f"{_counts(tokens)}, from the cache {tokens.train_path.parent}")
    if tokens.template:
        say(f"messages go through {tokens.template}")
    for line in describe_dialogues(tokens.statistics, data.field or CHOSEN):
        say(line)
    if data.general:
        general = prepare_general(data, sources, places.of_messages, dialogues, template, say)
        tokens = replace(tokens, general=general)
    _check_windows(tokens, data, block_size)
    return replace(tokens, sources=tuple(sources))


def _make_entry(
    places: "_Places",
    read: Callable[[], Dialogues],
    template: Callable[[], ChatTemplate],
    say: Callable[[str], None],
) -> TokenSet:
    """Read and tokenise the SFT set into a new cache entry."""
    started = time.perf_counter()
    dialogues = read()
    held_out = f", {len(dialogues.validation):,} validation" if dialogues.validation else ""
    say(f"tokenising {len(dialogues.train):,} train{held_out} and {len(dialogues.test):,} test dialogues")
    entry = places.of_texts if dialogues.kind == "text" else places.of_messages
    sets = {"train": dialogues.train, "test": dialogues.test}
    if dialogues.validation:
        sets["validation"] = dialogues.validation
    tokens = _token_set(entry, write_entry(entry, sets, template(), _statistics(dialogues)))
    say(f"{_counts(tokens)}, in {time.perf_counter() - started:.1f} s, kept in {entry}")
    return tokens


def _check_windows(tokens: TokenSet, data: DataSources, block_size: int) -> None:
    """Refuse sets of texts with fewer tokens than one window.

    Raises:
        UserError: naming the set.
    """
    counted: dict[str, int] = {}
    if tokens.kind == "text":
        counted = {"train": tokens.train_tokens, "test": tokens.test_tokens}
        if data.validation_fraction is not None:
            counted["validation"] = tokens.validation_tokens
    if tokens.general and tokens.general.kind == "text":
        counted["general"] = tokens.general.tokens
    for name, count in counted.items():
        if count < block_size + 1:
            raise UserError(
                f"the {name} set has {count:,} tokens, but one window takes {block_size + 1:,} (block_size "
                f"{block_size:,} + 1); give more {name} examples or a smaller block_size"
            )


def _counts(tokens: TokenSet) -> str:
    held_out = f", {tokens.validation_tokens:,} validation" if tokens.validation_tokens else ""
    return f"{tokens.train_tokens:,} train{held_out} and {tokens.test_tokens:,} test tokens"


class _Places(NamedTuple):
    """Where the entry of an SFT set lies. Only its dialogues tell which of both it is; there is one at most."""

    of_texts: Path
    of_messages: Path


def _places(
    data: DataSources, sources: Sequence[SourceDigest], tokenizer_dir: Path | str, cache_dir: Path, pinned: str | None
) -> _Places:
    """The places of an SFT set's entry in a cache."""
    key = _cache_key(data, sources, pinned or tokenizer_digests(tokenizer_dir))
    template_files = [] if pinned else template_digests(tokenizer_dir)
    return _Places(cache_dir / key[:32], cache_dir / _key_with_template(key, data, template_files)[:32])


def _cache_key(data: DataSources, sources: Sequence[SourceDigest], tokenizer: str | list[tuple[str, str]]) -> str:
    """A digest of everything that the tokens depend on. The tokenizer is not loaded for it."""
    fractions = [data.test_fraction, *([] if data.validation_fraction is None else [data.validation_fraction])]
    named = data.field or CHOSEN  # which is read alike, named or recognised
    of_set = [source for source in sources if source.role != "general"]
    others = [*([data.columns] if data.columns else []), *(["skip_broken"] if data.skip_broken else [])]
    parts = (FORMAT_VERSION, fingerprint(of_set), named, *fractions, tokenizer, *others)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _key_with_template(key: str, data: DataSources, files: Sequence[tuple[str, str]]) -> str:
    """The key of examples that go through a template: the one given, or one among the tokenizer's files.

    A field that is named holds texts, where recognised records may hold messages.
    """
    parts = (key, MESSAGES_VERSION, TEMPLATE_DATE.isoformat(), data.field, data.template, files)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _token_set(entry: Path, content: Mapping[str, Any]) -> TokenSet:
    """What lies in a cache entry, by what is told of it."""
    validation_tokens = content.get("validation_tokens", 0)
    return TokenSet(
        entry / "train.npy",
        entry / "test.npy",
        content["train_tokens"],
        content["test_tokens"],
        content["statistics"],
        entry / "validation.npy" if validation_tokens else None,
        validation_tokens,
        kind=content["kind"],
        template=content["template"],
    )


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
