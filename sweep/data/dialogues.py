"""The SFT set: where its dialogues are read from, what is subtracted, and what is held out.

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

from basis.errors import UserError
from basis.files import whole_file
from sweep.data.openings import opening_or_text
from sweep.data.records import Made
from sweep.data.sources import texts
from sweep.schema.sources import LOCAL_FILES, Role, hub_dataset, source_files


@dataclass(frozen=True)
class DataSources:
    """What the SFT set is made from; `load_sft` explains it."""

    train: tuple[str, ...]
    test: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    field: str = "chosen"
    test_fraction: float = 0.05
    validation_fraction: float | None = None
    template: str | None = None

    @property
    def by_role(self) -> tuple[tuple[Role, tuple[str, ...]], ...]:
        """The sources by what they are for, in the order in which they are read."""
        return ("train", self.train), ("test", self.test), ("exclude", self.exclude)


@dataclass(frozen=True)
class Dialogues:
    """The SFT set.

    Attributes:
        train: dialogues to train on.
        test: dialogues to test on.
        excluded: how many dialogues were subtracted from both.
        validation: dialogues by which settings are chosen. They are held out from train, and none of them is in test.
        made: how many dialogues of train and test sources were made from a prompt and its answer, by how.
    """

    train: list[str]
    test: list[str]
    excluded: int = 0
    validation: list[str] = field(default_factory=list)
    made: dict[Made, int] = field(default_factory=dict)


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
    excluded = {identity(text) for source in data.exclude for text, _ in texts(source, "exclude", data.field)}
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
        tested = {identity(text) for text in test}
        validation = [text for text in validation if identity(text) not in tested]
    return Dialogues(train, test, removed, validation, {how: n for how, n in made.items() if how != "whole"})


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


def text_digest(text: str) -> bytes:
    """What two dialogues share when they count as the same.

    Whitespace around the text is ignored because rm-static was made by cutting HH-RLHF dialogues into prompt and answer
    and stripping the answer's end: compared byte for byte, some would escape the subtraction. A digest instead of the
    text keeps sets of some hundred thousand dialogues small.
    """
    return hashlib.blake2b(text.strip().encode(), digest_size=16).digest()


def identity(text: str) -> bytes:
    """The digest of a whole dialogue, whatever its line ends."""
    return text_digest(text.replace("\r\n", "\n"))


def _subtract(
    sources: Sequence[str], role: Role, field: str, excluded: set[bytes], made: Counter[Made]
) -> tuple[list[str], int]:
    """The dialogues of the sources that are not excluded, and how many were; `made` is told how each came about."""
    kept: list[str] = []
    removed = 0
    for source in sources:
        for text, how in texts(source, role, field):
            made[how] += 1
            if excluded and identity(text) in excluded:
                removed += 1
            else:
                kept.append(text)
    if not kept:
        raise UserError(f"no {role} dialogue is left: all {removed} of {', '.join(sources)} are in the exclude sources")
    return kept, removed


def _hold_out(dialogues: list[str], name: str, fraction: float) -> tuple[list[str], list[str]]:
    """Split off a share by a hash of the opening turn. A small set still gets one opening to test on.

    A second split hashes differently: by the same hash, all that the first split left would lie above its fraction.
    """
    salt = "" if name == "test_fraction" else name
    positions = [int.from_bytes(text_digest(salt + opening_or_text(text))) / 2**128 for text in dialogues]
    limit = max(fraction, min(positions))
    if max(positions) <= limit:
        raise UserError(
            f"all {len(dialogues)} dialogues would be held out with {name} {fraction}; "
            "give a test source, a smaller fraction, or dialogues with more than one opening human turn"
        )
    train = [text for text, position in zip(dialogues, positions, strict=True) if position > limit]
    held_out = [text for text, position in zip(dialogues, positions, strict=True) if position <= limit]
    return train, held_out
