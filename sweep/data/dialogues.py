"""The SFT set: where its dialogues are read from, what is subtracted, and how train and test overlap.

The study's set is HH-RLHF `chosen` minus every dialogue that is also in rm-static:

    load_sft(DataSources(("Anthropic/hh-rlhf",), ("Anthropic/hh-rlhf",), ("Dahoas/rm-static",)))

What a source may be is told in `sweep.data.sources`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from basis.errors import UserError
from basis.files import whole_file
from sweep.data.openings import opening_or_text, opening_turn
from sweep.data.records import Made
from sweep.data.sources import texts, unreadable
from sweep.spec.hub_names import HubName
from sweep.spec.sources import LOCAL_FILES, Role, hub_dataset, source_files, suffix_of


@dataclass(frozen=True)
class DataSources:
    """What the SFT set is made from; `load_sft` explains it."""

    train: tuple[str, ...]
    test: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    field: str = "chosen"
    test_fraction: float = 0.05
    validation_fraction: float | None = None

    @property
    def by_role(self) -> tuple[tuple[Role, tuple[str, ...]], ...]:
        """The sources by what they are for, in the order in which they are read."""
        return ("train", self.train), ("test", self.test), ("exclude", self.exclude)


class SourceDigest(NamedTuple):
    """What one file, or one split of a hub dataset, holds.

    Attributes:
        role: what it is for.
        name: the file's name without its folder, or "owner/name:split".
        format: the file's `suffix_of`; empty for hub data.
        digest: SHA-256 of the file's bytes, or the commit of the hub dataset.
    """

    role: Role
    name: str
    format: str
    digest: str


@dataclass(frozen=True)
class Dialogues:
    """The SFT set.

    Attributes:
        train: dialogues to train on.
        test: dialogues to test on.
        excluded: how many dialogues were subtracted from both.
        validation: what settings are chosen by: held out from train, and nothing of it is in test.
        made: how many dialogues of train and test sources were made from a prompt and its answer, by how.
    """

    train: list[str]
    test: list[str]
    excluded: int = 0
    validation: list[str] = field(default_factory=list)
    made: dict[Made, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Overlap:
    """How far the test set is not new. Line ends and surrounding whitespace make no difference between dialogues.

    Attributes:
        exact: test dialogues that also occur in train.
        opening: test dialogues whose opening human turn also opens a train dialogue; includes the exact ones. None
            where the openings of most test or most train dialogues can't be told.
        test_dialogues: all test dialogues.
        test_openings_unknown: test dialogues without a recognised opening human turn.
        train_openings_unknown: such train dialogues.
        train_duplicates: train dialogues that repeat another one (copies beyond the first).
        test_duplicates: such test dialogues.
        validation_duplicates: such validation dialogues.
        validation_in_test: validation dialogues whose opening human turn also opens a test dialogue.
    """

    exact: int
    opening: int | None
    test_dialogues: int
    test_openings_unknown: int
    train_openings_unknown: int
    train_duplicates: int
    test_duplicates: int
    validation_duplicates: int
    validation_in_test: int


def bring_hub_data(data: DataSources, say: Callable[[str], None]) -> None:
    """Bring what the hub has of the SFT set into the hub's cache, and tell what is downloaded.

    Raises:
        UserError: it can't be had.
    """
    from sweep.hub.fetch import fetch_dataset

    for role, sources in data.by_role:
        for source in sources:
            if source_files(source) is None:
                fetch_dataset(hub_dataset(source, role), f"data.{role}", say)


def load_sft(data: DataSources) -> Dialogues:
    """Read the SFT set, subtract the excluded dialogues and hold out what is not given.

    Args:
        data: `train`, `test` and `exclude` are sources, `field` is the field of a record that holds the dialogue's
            text, or the answer to its `prompt`, see `records.dialogue_text`.
            Without test sources about `test_fraction` of the train dialogues are held out, and with a
            `validation_fraction` that share of the rest: chosen by a hash of the opening human turn, so no opening is
            on both sides, and neither the order of the dialogues nor their number moves one to the other side
            (except that a set too small for the fraction holds out one opening all the same). Dialogues whose opening
            can't be told are held out by their whole text. Fractions lie between 0 and 1, both excluded.

    Returns:
        The dialogues in the order of their sources, duplicates kept, as the study did.

    Raises:
        UserError: a source that can't be read, or nothing left on one side.
    """
    if not data.train:
        raise UserError(f"no train source is given; name {LOCAL_FILES} or a hub dataset 'owner/name'")
    for name in ("test_fraction", "validation_fraction"):
        fraction = getattr(data, name)
        if fraction is not None and not 0 < fraction < 1:
            raise UserError(f"{name} is {fraction}; a number between 0 and 1 is needed")
    excluded = {_identity(text) for source in data.exclude for text, _ in texts(source, "exclude", data.field)}
    made: Counter[Made] = Counter()
    train, removed = _subtract(data.train, "train", data.field, excluded, made)
    if data.test:
        test, removed_from_test = _subtract(data.test, "test", data.field, excluded, made)
        removed += removed_from_test
    else:
        train, test = _hold_out(train, "test_fraction", data.test_fraction)
    validation: list[str] = []
    if data.validation_fraction is not None:
        train, validation = _hold_out(train, "validation_fraction", data.validation_fraction)
        tested = {_identity(text) for text in test}
        validation = [text for text in validation if _identity(text) not in tested]
    return Dialogues(train, test, removed, validation, {how: n for how, n in made.items() if how != "whole"})


def overlap(dialogues: Dialogues) -> Overlap:
    """Count how many test dialogues also occur in train, exactly and by their opening human turn; see Overlap."""
    train, test = ([_identity(text) for text in side] for side in (dialogues.train, dialogues.test))
    validation = {_identity(text) for text in dialogues.validation}
    texts = set(train)
    train_openings, test_openings = (
        [opening_turn(text) for text in side] for side in (dialogues.train, dialogues.test)
    )
    unknown_in_train, unknown_in_test = train_openings.count(None), test_openings.count(None)
    openings = {_digest(opening) for opening in train_openings if opening is not None}
    asked = {opening for opening in test_openings if opening is not None}
    alike = sum(
        text in texts or (opening is not None and _digest(opening) in openings)
        for text, opening in zip(test, test_openings, strict=True)
    )
    told = 2 * unknown_in_train <= len(train) and 2 * unknown_in_test <= len(test)
    return Overlap(
        exact=sum(text in texts for text in test),
        opening=alike if told else None,
        test_dialogues=len(test),
        test_openings_unknown=unknown_in_test,
        train_openings_unknown=unknown_in_train,
        train_duplicates=len(train) - len(texts),
        test_duplicates=len(test) - len(set(test)),
        validation_duplicates=len(dialogues.validation) - len(validation),
        validation_in_test=sum(opening_turn(text) in asked for text in dialogues.validation),
    )


def write_sft(dialogues: Dialogues, folder: Path) -> list[Path]:
    """Write `sft_train.json`, `sft_test.json` and, if there is a validation set, `sft_validation.json`.

    They are lists of {"chosen": text} that `load_sft` reads back; each appears whole or not at all.

    Returns:
        Their paths.

    Raises:
        UserError: the folder can't be written to.
    """
    sets = {"train": dialogues.train, "test": dialogues.test, "validation": dialogues.validation}
    paths = []
    for name, written in sets.items():
        if name == "validation" and not written:
            continue
        path = folder / f"sft_{name}.json"
        paths.append(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with whole_file(path, shared=True) as partial, partial.open("w", encoding="utf-8") as file:
                for number, text in enumerate(written):
                    file.write(",\n" if number else "[\n")
                    file.write(json.dumps({"chosen": text}, ensure_ascii=False))
                file.write("\n]\n" if written else "[]\n")
        except OSError as error:
            raise UserError(f"{path}: can't be written ({error.strerror})") from error
    return paths


def fingerprint(sources: Sequence[SourceDigest]) -> str:
    """Identify the content of all sources by their digests.

    Local files count by their bytes and suffix_of, wherever they lie; hub data by name, split and commit.

    Returns:
        64 hexadecimal digits.
    """
    parts = [(source.role, source.format or source.name, source.digest) for source in sources]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def source_digests(data: DataSources) -> list[SourceDigest]:
    """The content of each source without parsing it, in the order in which they are read.

    Raises:
        UserError: a source that doesn't exist or can't be read.
    """
    found: list[SourceDigest] = []
    for role, sources in data.by_role:
        for source in sources:
            files = source_files(source)
            if files is None:
                found.append(_hub_digest(hub_dataset(source, role), role))
            for path in files or ():
                try:
                    with path.open("rb") as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                except OSError as error:
                    raise unreadable(path, error) from error
                found.append(SourceDigest(role, path.name, suffix_of(str(path)), digest))
    return found


def _hub_digest(dataset: HubName, role: Role) -> SourceDigest:
    from sweep.hub.fetch import resolve

    commit = resolve(dataset, "dataset", f"data.{role}")
    return SourceDigest(role, f"{dataset.name}:{dataset.split or 'all'}", "", commit)


def _digest(text: str) -> bytes:
    """What two dialogues share when they count as the same.

    Whitespace around the text is ignored because rm-static was made by cutting HH-RLHF dialogues into prompt and answer
    and stripping the answer's end: compared byte for byte, some would escape the subtraction. A digest instead of the
    text keeps sets of some hundred thousand dialogues small.
    """
    return hashlib.blake2b(text.strip().encode(), digest_size=16).digest()


def _identity(text: str) -> bytes:
    """The digest of a whole dialogue, whatever its line ends."""
    return _digest(text.replace("\r\n", "\n"))


def _subtract(
    sources: Sequence[str], role: Role, field: str, excluded: set[bytes], made: Counter[Made]
) -> tuple[list[str], int]:
    """The dialogues of the sources that are not excluded, and how many were; `made` is told how each came about."""
    kept: list[str] = []
    removed = 0
    for source in sources:
        for text, how in texts(source, role, field):
            made[how] += 1
            if excluded and _identity(text) in excluded:
                removed += 1
            else:
                kept.append(text)
    if not kept:
        raise UserError(f"no {role} dialogue is left: all {removed} of {', '.join(sources)} are in the exclude sources")
    return kept, removed


def _hold_out(dialogues: list[str], name: str, fraction: float) -> tuple[list[str], list[str]]:
    """Split off a share by a hash of the opening turn. A small set still gets one opening to test on.

    The hash of a second split is another one: all that the first has left would lie above its fraction.
    """
    salt = "" if name == "test_fraction" else name
    positions = [int.from_bytes(_digest(salt + opening_or_text(text))) / 2**128 for text in dialogues]
    limit = max(fraction, min(positions))
    if max(positions) <= limit:
        raise UserError(
            f"all {len(dialogues)} dialogues would be held out with {name} {fraction}; "
            "give a test source, a smaller fraction, or dialogues with more than one opening human turn"
        )
    train = [text for text, position in zip(dialogues, positions, strict=True) if position > limit]
    held_out = [text for text, position in zip(dialogues, positions, strict=True) if position <= limit]
    return train, held_out
