"""Looks at the files and the disk that a sweep needs, without torch and before anything is prepared."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from basis.errors import SpecError, UserError, shortened
from sweep.data.openings import opening_or_text
from sweep.data.sources import file_texts
from sweep.machine.output_folders import check_length, check_writable
from sweep.machine.workshop import WORKSHOPS
from sweep.preparation.questions import file_questions
from sweep.schema.places import DEMO, STUDY, TEST
from sweep.schema.sources import Role, source_files
from sweep.schema.sweep_spec import SweepSpec

MOST_FILES = 50
"""Files of one source that are opened. So a look takes no longer, however many there are."""
SMALL_BYTES = 2 * 2**20
"""Data sets up to this size are read whole, in less than a second. Of larger ones the first records are read."""

DEMO_BYTES = 16 * 2**20
"""What the demo's data and models take while they are made: twice their size, and a little more."""
LEAST_BYTES = 2**20
"""A disk with less is full."""


def look_at_files(spec: SweepSpec) -> list[str]:
    """Open the local files of a spec, and say what their first records hold, a line each.

    Raises:
        SpecError: each file that holds no dialogue, or no prompt, that can be read.
    """
    lines: list[str] = []
    mistakes: list[str] = []
    local = list(_local_files(spec))
    whole = sum(os.path.getsize(path) for _, path in local if os.path.isfile(path)) <= SMALL_BYTES
    for role, path in local:
        try:
            lines.append(f"data.{role}: {_look(role, path, spec.data.field, whole)}")
        except UserError as error:
            lacking = "no field" in str(error)  # which is a mistake of data.field, and told once
            if not (lacking and any("no field" in mistake for mistake in mistakes)):
                mistakes.append(f"data.{role}: {error}")
    reward = spec.reward
    if reward.judged_by is not None and reward.prompts not in (DEMO, STUDY, TEST):
        try:
            file_questions(Path(reward.prompts), reward)
        except UserError as error:
            mistakes.append(f"reward.prompts: {error}")
    if mistakes:
        raise SpecError(mistakes)
    return lines


def _local_files(spec: SweepSpec) -> Iterator[tuple[Role, Path]]:
    """The files that are opened, each once."""
    by_role: tuple[tuple[Role, tuple[str, ...]], ...] = (
        ("train", spec.data.train),
        ("test", spec.data.test),
        ("exclude", spec.data.exclude),
    )
    for role, sources in by_role:
        for source in sources:
            files = None if source == DEMO else source_files(source)
            yield from ((role, path) for path in (files or [])[:MOST_FILES])


def _look(role: Role, path: Path, field: str, whole: bool) -> str:
    """What a file's first record holds; a small file is read to its end.

    Raises:
        UserError: it, or a later one of a small file, holds no dialogue.
    """
    texts = file_texts(path, field)
    text, made = next(texts)
    count = 1 + sum(1 for _ in texts) if whole else None
    records = "" if count is None else f"{count:,} record{'s' * (count > 1)}, "
    how = "" if made == "whole" else f", {made} from 'prompt' and {field!r}"
    return f"{path.name}: {records}the first opens with {shortened(opening_or_text(text), 60)!r}{how}"


def needs_demo(spec: SweepSpec) -> bool:
    """Whether a spec names the demo's data, models or prompts where they are used."""
    judging = (spec.reward.model, spec.reward.prompts) if spec.reward.judged_by else ()
    return DEMO in (spec.model.name, spec.model.tokenizer, *spec.data.train, *spec.data.test, *judging)


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
    made = any((cache_dir / "demo").glob("demo-*"))
    needed = DEMO_BYTES if needs_demo(spec) and not made else LEAST_BYTES
    there = next(folder for folder in (cache_dir, *cache_dir.parents) if os.path.isdir(folder))
    free = shutil.disk_usage(there).free
    if free < needed:
        raise UserError(
            f"{key} {cache_dir}: its disk has {free / 2**20:.1f} MiB left, and {needed / 2**20:.0f} MiB are needed; "
            "free some of it, or have $SFT_SWEEP_CACHE name a folder on another"
        )
