"""General text, by whose loss forgetting is measured: its tokens, in a cache entry of their own.

    CACHE_DIR/KEY/general.npy, and beside it what `sweep.data.tokens` lists

The key depends on the SFT set too, since the entry says how many of its examples also occur in train.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from sweep.data.cache_entry import whole_entry, write_entry
from sweep.data.dialogues import DataSources, Dialogues
from sweep.data.digests import SourceDigest, fingerprint
from sweep.data.examples import Kind, identity
from sweep.data.forms import Reading
from sweep.data.sources import ExampleReader
from sweep.data.template import ChatTemplate
from sweep.data.words import broken_records, kind_name
from sweep.schema.data_folders import Role

_NAME: Role = "general"


class GeneralTokens(NamedTuple):
    """Where the tokens of general text lie.

    Attributes:
        path: the file of tokens; `sweep.data.token_files` opens it.
        tokens: how many there are.
        kind: what its examples are.
        statistics: general_examples, and general_in_train: how many of them also occur in train;
            general_skipped_records where broken ones were left out.
    """

    path: Path
    tokens: int
    kind: Kind
    statistics: dict[str, int]


def prepare_general(
    data: DataSources,
    sources: Sequence[SourceDigest],
    set_entry: Path,
    read: Callable[[], Dialogues],
    template: Callable[[], ChatTemplate],
    say: Callable[[str], None],
) -> GeneralTokens:
    """Find the tokens of general text in the cache, or make them.

    Args:
        data: the sources of the SFT set, general ones among them.
        sources: the digests of all of them.
        set_entry: the entry of the SFT set, in whose name tokenizer and template count.
        read: reads the SFT set. It is called where the entry is not there yet.
        template: loads the template of examples that are no texts, with the tokenizer; called likewise.
        say: told what happens, one line at a time.

    Returns:
        The tokens.

    Raises:
        UserError: a source that can't be read, or a cache that can't be written.
    """
    own = fingerprint([source for source in sources if source.role == _NAME])
    key = hashlib.sha256(json.dumps((_NAME, set_entry.name, own)).encode()).hexdigest()
    entry = set_entry.with_name(key[:32])
    content = whole_entry(entry, _NAME, say)
    if content is None:
        trained = {identity(example) for example in read().train}
        reader = ExampleReader(Reading(), data.skip_broken)  # data.field and data.columns say nothing of general text
        examples = [example for source in data.general for example in reader.of_source(source, _NAME)]
        statistics = {
            "general_examples": len(examples),
            "general_in_train": sum(identity(example) in trained for example in examples),
            **({"general_skipped_records": reader.tally.skipped} if reader.tally.skipped else {}),
        }
        content = write_entry(entry, {_NAME: examples}, template(), statistics)
    general = GeneralTokens(entry / f"{_NAME}.npy", content[f"{_NAME}_tokens"], content["kind"], content["statistics"])
    say(_described(general))
    return general


def _described(general: GeneralTokens) -> str:
    """What is told of general text, in one line."""
    counts = general.statistics
    examples, skipped = counts["general_examples"], counts.get("general_skipped_records", 0)
    shared = f"{counts['general_in_train']:,} of them also occur in train"
    left_out = f"; {broken_records(skipped)} left out" if skipped else ""
    return f"general: {examples:,} {kind_name(general.kind, examples)}, {general.tokens:,} tokens; {shared}{left_out}"
