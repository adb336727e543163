"""Which files of an experiment are not as its sweep has left them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.results.files import FinishedFile, TrialFiles, read_mapping
from basis.checksums import flaw
from basis.directory import BASE_DIR, FINISHED_FILE, RESPONSES_FILE, RESULT_FILE, SPEC_FILE, SWEEP_FILE, TRAINED_FILE

BASE_SEAL_FILE = "responses.seal.json"
"""Beside a base model's answers: their size and checksum."""
MOST_NAMED = 20


def damaged_files(directory: Path, trials: Mapping[str, TrialFiles]) -> list[str]:
    """Name the damaged files of an experiment, a sentence each, with what that means for its report.

    A report reads no weights, so that these are held to their size alone; `--resume` reads them. Where they are gone,
    somebody has made room, and nothing of the report is missing.

    Args:
        directory: the experiment directory.
        trials: what the directory of each trial holds, by its name.

    Returns:
        The sentences, the last one saying how to mend them; none if nothing is damaged.
    """
    unread = [name for name in (SPEC_FILE, SWEEP_FILE) if not read_mapping(directory / name)]
    sentences = [f"{name} can't be read: what it says of the sweep is left out." for name in unread]
    for sealed in sorted((directory / BASE_DIR).rglob(BASE_SEAL_FILE)):
        seal, answers = read_mapping(sealed), sealed.with_name(RESPONSES_FILE)
        if seal and (wrong := _flaw(answers, seal)):
            sentences.append(f"{answers.relative_to(directory).as_posix()} {wrong}.")
    for name, files in sorted(trials.items()):
        if files.finished is not None:
            damage = _damage_of(directory / name, files.finished, files.reported_steps)
            sentences += [f"{name}/{sentence}" for sentence in damage]
    if len(sentences) > MOST_NAMED:
        sentences = [*sentences[:MOST_NAMED], f"So are {len(sentences) - MOST_NAMED} further files."]
    return [*sentences, "Continuing the sweep with --resume makes again what can be made again."] if sentences else []


def _damage_of(folder: Path, finished: FinishedFile, reported_steps: list[Any]) -> list[str]:
    if not finished.rows:
        return [f"{FINISHED_FILE} can't be read: the trial's numbers are those of {RESULT_FILE}."]
    sentences = []
    for name, seal in finished.seals.items():
        if name == TRAINED_FILE and not (folder / name).exists():
            continue
        if "/" not in name and isinstance(seal, Mapping) and (wrong := _flaw(folder / name, seal)):
            sentences.append(f"{name} {wrong}.")
    if reported_steps != [row["step"] for row in finished.rows]:
        sentences.append(f"{RESULT_FILE} lacks rows: they are taken from {FINISHED_FILE}.")
    return sentences


def _flaw(path: Path, seal: Mapping[str, Any]) -> str | None:
    try:
        return flaw(path, seal, by_size=path.name == TRAINED_FILE)
    except OSError as error:
        return f"can't be read ({error.strerror})"
