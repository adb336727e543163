"""The SFT set: where its dialogues are read from, what is subtracted, and what is held out.

The study's set is HH-RLHF `chosen` minus every dialogue that is also in rm-static:

    load_sft(DataSources(("Anthropic/hh-rlhf",), ("Anthropic/hh-rlhf",), ("Dahoas/rm-static",)))

What a source may be is told in `sweep.data.sources`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from basis.errors import UserError
from basis.files import whole_file
from basis.progress_line import progress_line
from sweep.data.examples import Example, Kind, identity, opening, text_digest
from sweep.data.forms import Reading
from sweep.data.sources import ExampleReader, Tally
from sweep.schema.data_folders import LOCAL_FILES, Role
from sweep.schema.sources import ON_HUB, hub_dataset, source_files


@dataclass(frozen=True)
class DataSources:
    """What the SFT set is made from; `load_sft` explains it."""

    train: tuple[str, ...]
    test: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    general: tuple[str, ...] = ()
    field: str | None = None
    test_fraction: float = 0.05
    validation_fraction: float | None = None
    columns: tuple[tuple[str, str], ...] = ()
    skip_broken: bool = False
    template: str | None = None

    @property
    def reading(self) -> Reading:
        """How the records of all sources are read."""
        return Reading(dict(self.columns), self.field)

    @property
    def by_role(self) -> tuple[tuple[Role, tuple[str, ...]], ...]:
        """The sources by what they are for, in the order in which they are read."""
        return ("train", self.train), ("test", self.test), ("exclude", self.exclude), ("general", self.general)


@dataclass(frozen=True)
class Dialogues:
    """The SFT set.

    Attributes:
        train: examples to train on.
        test: examples to test on.
        kind: what all of them are.
        excluded: how many examples were subtracted from both.
        validation: examples by which settings are chosen. They are held out from train, and none of them is in test.
        tally: what the records of all sources were.
    """

    train: list[Example]
    test: list[Example]
    kind: Kind = "text"
    excluded: int = 0
    validation: list[Example] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


def bring_hub_data(data: DataSources, say: Callable[[str], None]) -> None:
    """Bring what the hub has of the SFT set into the hub's cache, and tell what is downloaded.

    Raises:
        UserError: it can't be had.
    """
    from sweep.hub.fetch import fetch_dataset

    for role, sources in data.by_role:
        for source in sources:
            if source_files(source, role) is None:
                fetch_dataset(hub_dataset(source, role), f"data.{role}", say)


def load_sft(data: DataSources) -> Dialogues:
    """Read the SFT set, subtract the excluded dialogues and hold out what is not given.

    Args:
        data: `train`, `test` and `exclude` are sources. `field` is the field of a record that holds a dialogue's text,
            or the answer to its `prompt`, see `records.dialogue_text`; None: `sweep.data.forms` recognises the form.
            `columns` are pairs of a field's name there and in the records. `skip_broken` leaves broken records out.
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
        raise UserError(f"no train source is given; name {LOCAL_FILES} or {ON_HUB}")
    for name in ("test_fraction", "validation_fraction"):
        fraction = getattr(data, name)
        if fraction is not None and not 0 < fraction < 1:
            raise UserError(f"{name} is {fraction}; a number between 0 and 1 is needed")
    reader = ExampleReader(data.reading, data.skip_broken)
    excluded = {identity(example) for source in data.exclude for example in reader.of_source(source, "exclude")}
    train, removed = _subtract(reader, data.train, "train", excluded)
    if data.test:
        test, removed_from_test = _subtract(reader, data.test, "test", excluded)
        removed += removed_from_test
    else:
        train, test = _hold_out(train, "test_fraction", data.test_fraction)
    validation: list[Example] = []
    if data.validation_fraction is not None:
        train, validation = _hold_out(train, "validation_fraction", data.validation_fraction)
        tested = {identity(example) for example in test}
        validation = [example for example in validation if identity(example) not in tested]
    return Dialogues(
        train,
        test,
        train[0].kind,
        removed,
        validation,
        reader.tally,
    )


def write_sft(dialogues: Dialogues, folder: Path) -> list[Path]:
    """Write `sft_train.json`, `sft_test.json` and, if there is a validation set, `sft_validation.json`.

    They are lists of records with `chosen`, or `prompt` and `completion`, or `messages` (and `tools` where there are
    some), which `load_sft` reads back; each appears whole or not at all.

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
                for number, example in enumerate(written):
                    file.write(",\n" if number else "[\n")
                    file.write(json.dumps(_record(example), ensure_ascii=False))
                file.write("\n]\n" if written else "[]\n")
        except OSError as error:
            raise UserError(f"{path}: can't be written ({error.strerror})") from error
    return paths


def _record(example: Example) -> dict[str, object]:
    """The record by which `write_sft` writes an example."""
    match example.kind:
        case "text":
            return {"chosen": example.text}
        case "pairs":
            prompt, completion = example.messages
            return {"prompt": prompt["content"], "completion": completion["content"]}
        case "conversations":
            tools = {"tools": example.tools} if example.tools else {}
            if asked := example.prompt_messages:
                return {"prompt": example.messages[:asked], "completion": example.messages[asked:], **tools}
            return {"messages": example.messages, **tools}


def _subtract(
    reader: ExampleReader, sources: Sequence[str], role: Role, excluded: set[bytes]
) -> tuple[list[Example], int]:
    """The examples of the sources that are not excluded, and how many were."""
    kept: list[Example] = []
    removed = 0
    for source in sources:
        with progress_line(reader.of_source(source, role), f"reading {role}") as examples:
            for example in examples:
                if excluded and identity(example) in excluded:
                    removed += 1
                else:
                    kept.append(example)
    if not kept:
        raise UserError(f"no {role} dialogue is left: all {removed} of {', '.join(sources)} are in the exclude sources")
    return kept, removed


def _hold_out(examples: list[Example], name: str, fraction: float) -> tuple[list[Example], list[Example]]:
    """Split off a share by a hash of the opening turn. A small set still gets one opening to test on.

    A second split hashes differently: by the same hash, all that the first split left would lie above its fraction.
    """
    salt = "" if name == "test_fraction" else name
    positions = [int.from_bytes(text_digest(salt + opening(example))) / 2**128 for example in examples]
    limit = max(fraction, min(positions))
    if max(positions) <= limit:
        raise UserError(
            f"all {len(examples)} dialogues would be held out with {name} {fraction}; "
            "give a test source, a smaller fraction, or dialogues with more than one opening human turn"
        )
    train = [example for example, position in zip(examples, positions, strict=True) if position > limit]
    held_out = [example for example, position in zip(examples, positions, strict=True) if position <= limit]
    return train, held_out
