"""Reads the examples of an SFT set, one at a time, with errors that name file, line and value."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from basis.errors import UserError
from sweep.data.examples import Example
from sweep.data.files.records import file_records
from sweep.data.forms import Form, Reading, read_record
from sweep.data.records import BrokenRecordError, Made, Unreadable
from sweep.hub.data import PlacedRecord, hub_records, hub_tables
from sweep.schema.data_folders import Role
from sweep.schema.hub_names import shown_name
from sweep.schema.sources import hub_dataset, source_files

LEAVE_OUT = "data.skip_broken: true leaves such records out"


@dataclass
class Tally:
    """What an ExampleReader has read.

    Attributes:
        forms: how many examples of train and test sources were read in which form, by `forms.Form.name`.
        made: how many of them were made from a prompt and its answer, by how.
        turns: answers in those of them that have messages.
        prompt_turns: of these, what an assistant says in a prompt.
        skipped: records of any source that were left out because they are broken.
    """

    forms: Counter[str] = field(default_factory=Counter)
    made: Counter[Made] = field(default_factory=Counter)
    turns: int = 0
    prompt_turns: int = 0
    skipped: int = 0


class ExampleReader:
    """Reads the sources of one SFT set. All its examples are of one kind.

    Attributes:
        tally: what has been read; who counts file by file puts a new one here.
    """

    def __init__(self, reading: Reading, skip_broken: bool = False) -> None:
        self._reading = reading
        self._skip_broken = skip_broken
        self._first: tuple[str, Form] | None = None
        self.tally = Tally()

    def of_source(self, source: str, role: Role) -> Iterator[Example]:
        """The examples of one source.

        Raises:
            UserError: it can't be read, or holds a broken record that is not to be skipped, or more broken ones than
                others.
        """
        files = source_files(source, role)
        if files is None:
            hub = hub_tables(hub_dataset(source, role), f"data.{role}")
            for split, table in hub:
                records = hub_records(table, self._reading.fields)
                yield from self._examples(f"{shown_name(source)}, split {split}", records, role)
        else:
            for path in files:
                yield from self.of_file(path, role)

    def of_file(self, path: Path, role: Role) -> Iterator[Example]:
        """The examples of one file; see `of_source`."""
        yield from self._examples(str(path), file_records(path, self._reading.fields), role)

    def _examples(self, name: str, records: Iterable[PlacedRecord], role: Role) -> Iterator[Example]:
        good, broken = 0, ""
        skipped = 0
        for place, record in records:
            try:
                example = self._example(f"{name}, {place}", record, role)
            except BrokenRecordError as error:
                what = f"{name}, {place}: {error}"
                if not self._skip_broken:
                    raise UserError(f"{what}; {LEAVE_OUT}" if good else what) from error
                skipped += 1
                broken = broken or what
                continue
            good += 1
            yield example
        self.tally.skipped += skipped
        if not good and not skipped:
            needed = "" if self._reading.field is None else f" with a field {self._reading.field!r}"
            raise UserError(f"{name}: is empty; records{needed} are needed")
        if skipped > good:
            raise UserError(f"{name}: {skipped:,} of {skipped + good:,} records are broken, too many to skip: {broken}")

    def _example(self, place: str, record: object, role: Role) -> Example:
        if isinstance(record, Unreadable):
            raise BrokenRecordError(record.why)
        example, form, made = read_record(record, self._reading)
        if self._first is None:
            self._first = place, form
        first_place, first = self._first
        if first.kind != form.kind:
            raise BrokenRecordError(
                f"{form.kind} {form.shown}, but {first_place} has {first.kind} {first.shown}; a set is of one kind"
            )
        if role != "exclude":
            self.tally.forms[form.name] += 1
            self.tally.made[made] += 1
            spoken = [message["role"] == "assistant" for message in example.messages]
            self.tally.turns += sum(spoken)
            self.tally.prompt_turns += sum(spoken[: example.prompt_messages])
        return example
