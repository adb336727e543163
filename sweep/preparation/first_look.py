"""Looks at the files and the disk that a sweep needs, without torch and before anything is prepared."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from basis.errors import SpecError, UserError, shortened
from sweep.data.examples import opening
from sweep.data.forms import CHOSEN, FORMS, Reading
from sweep.data.sources import ExampleReader, Tally
from sweep.data.words import broken_records, describe_forms, kind_name
from sweep.machine.output_folders import check_length, check_writable
from sweep.machine.workshop import WORKSHOPS
from sweep.preparation.questions import file_questions
from sweep.schema.data_folders import Role
from sweep.schema.places import DEMO, DEMO_CHAT, MADE_HERE, STUDY, TEST
from sweep.schema.sources import source_files
from sweep.schema.sweep_spec import SweepSpec

MOST_FILES = 50
"""Files of one source that are opened. So a look takes no longer, however many there are."""
SMALL_BYTES = 2 * 2**20
"""Data sets up to this size are read whole, in less than a second. Of larger ones the first records are read."""

DEMO_BYTES = 16 * 2**20
"""What data and models of the demo, or of `chat`, take while they are made: twice their size, and a little more."""
LEAST_BYTES = 2**20
"""A disk with less is full."""


def look_at_files(spec: SweepSpec) -> list[str]:
    """Open the local files of a spec, and say what their first records hold, a line each.

    Raises:
        SpecError: each file that holds no dialogue, or no prompt, that can be read.
    """
    lines: list[str] = []
    mistakes: list[str] = []
    local = list(local_files(spec))
    whole = sum(os.path.getsize(path) for _, path in local if os.path.isfile(path)) <= SMALL_BYTES
    skip = spec.data.skip_broken
    reader = ExampleReader(Reading(spec.data.columns, spec.data.field), skip)
    general_reader = ExampleReader(Reading(), skip)
    for role, path in local:
        asked = general_reader if role == "general" else reader
        try:
            lines.append(f"data.{role}: {_look(path, asked, spec.data.field or CHOSEN, whole)}")
        except UserError as error:
            # a mistake of data.field or data.columns is told once
            unknown = next((words for words in ("no field", "no form") if words in str(error)), None)
            if unknown is None or not any(unknown in mistake for mistake in mistakes):
                mistakes.append(f"data.{role}: {error}")
    reward = spec.reward
    if reward.judged_by is not None and reward.prompts not in (*MADE_HERE, STUDY, TEST):
        try:
            file_questions(Path(reward.prompts), reward)
        except UserError as error:
            mistakes.append(f"reward.prompts: {error}")
    if mistakes:
        raise SpecError(mistakes)
    return lines


def local_files(spec: SweepSpec) -> Iterator[tuple[Role, Path]]:
    """The files that are opened, each once."""
    by_role: tuple[tuple[Role, tuple[str, ...]], ...] = (
        ("train", spec.data.train),
        ("test", spec.data.test),
        ("exclude", spec.data.exclude),
        ("general", spec.data.general),
    )
    for role, sources in by_role:
        for source in sources:
            files = None if source in MADE_HERE else source_files(source, role)
            yield from ((role, path) for path in (files or [])[:MOST_FILES])


def _look(path: Path, reader: ExampleReader, field: str, whole: bool) -> str:
    """What a file's first record holds; a small file is read to its end.

    Raises:
        UserError: it, or a later one of a small file, holds no example.
    """
    tally = reader.tally = Tally()
    examples = reader.of_file(path, "train")
    first = next(examples)
    opens = f"the first opens with {shortened(opening(first), 60)!r}"
    made = next(iter(tally.made))
    how = "" if made == "whole" else f", {made} from 'prompt' and {field!r}"
    if not whole:
        form = FORMS[next(iter(tally.forms))]
        return f"{path.name}: {kind_name(form.kind, 2)} {form.shown}, {opens}{how}"
    for _ in examples:
        pass
    skipped = f", {broken_records(tally.skipped)} left out" if tally.skipped else ""
    return f"{path.name}: {describe_forms(tally.forms, tally.turns)}{skipped}, {opens}{how}"


def needs_demo(spec: SweepSpec) -> bool:
    """Whether a spec names the demo's data, models or prompts where they are used."""
    return spec.reward.model in MADE_HERE or DEMO in _used(spec)


def needs_chat(spec: SweepSpec) -> bool:
    """Whether a spec names the preset `chat`'s data, base model or prompts where they are used."""
    return DEMO_CHAT in _used(spec)


def needs_general_text(spec: SweepSpec) -> bool:
    """Whether a spec names the demo's general text."""
    return any(source in MADE_HERE for source in spec.data.general)


def _used(spec: SweepSpec) -> tuple[str | None, ...]:
    """What a spec names, but for its reward model."""
    prompts = (spec.reward.prompts,) if spec.reward.judged_by else ()
    bases = [name for model in spec.models.values() for name in (model.name, model.tokenizer)]
    return *bases, *spec.data.train, *spec.data.test, *prompts


def check_cache_room(spec: SweepSpec, cache_dir: Path, key: str) -> None:
    """Refuse a cache in which this sweep's data and models could not be kept; what the dead left in it is swept.

    Args:
        spec: the sweep.
        cache_dir: our cache.
        key: what names it, for messages.

    Raises:
        UserError: a folder in it can't be written to, or too little room is left.
    """
    check_length(key, cache_dir)
    for name in ("tokens", "demo", "random"):
        if os.path.lexists(cache_dir / name):
            check_writable(key, cache_dir / name)
            WORKSHOPS.remove_abandoned(cache_dir / name)
    wanted = [name for name, needed in (("demo", needs_demo(spec)), ("chat", needs_chat(spec))) if needed]
    lacking = [name for name in wanted if not any((cache_dir / "demo").glob(f"{name}-*"))]
    needed = DEMO_BYTES * len(lacking) or LEAST_BYTES
    there = next(folder for folder in (cache_dir, *cache_dir.parents) if os.path.isdir(folder))
    free = shutil.disk_usage(there).free
    if free < needed:
        raise UserError(
            f"{key} {cache_dir}: its disk has {free / 2**20:.1f} MiB left, and {needed / 2**20:.0f} MiB are needed; "
            "free some of it, or have $SFT_SWEEP_CACHE name a folder on another"
        )
