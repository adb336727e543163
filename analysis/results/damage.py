"""Which files of an experiment are not as its sweep has left them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.results.files import finished_rows, read_mapping, read_rows
from basis.checksums import flaw
from basis.directory import BASE_RESPONSES_FILE, FINISHED_FILE, RESULT_FILE, SPEC_FILE, SWEEP_FILE, TRAINED_FILE

BASE_SEAL_FILE = "base/responses.seal.json"
MOST_NAMED = 20


def damaged_files(directory: Path) -> list[str]:
    """Name the damaged files of an experiment, a sentence each, with what that means for its report.

    A report reads no weights, so that these are held to their size alone; `--resume` reads them.

    Args:
        directory: the experiment directory.

    Returns:
        The sentences, the last one saying how to mend them; none if nothing is damaged.
    """
    sentences = [
        f"{name} can't be read: what it says of the sweep is left out."
        for name in (SPEC_FILE, SWEEP_FILE)
        if not read_mapping(directory / name)
    ]
    seal = read_mapping(directory / BASE_SEAL_FILE)
    if seal and (wrong := _flaw(directory / BASE_RESPONSES_FILE, seal)):
        sentences.append(f"{BASE_RESPONSES_FILE} {wrong}.")
    for path in sorted(directory.glob(f"*/{FINISHED_FILE}")):
        sentences += [f"{path.parent.name}/{sentence}" for sentence in _of_trial(path)]
    if len(sentences) > MOST_NAMED:
        sentences = [*sentences[:MOST_NAMED], f"So are {len(sentences) - MOST_NAMED} further files."]
    return [*sentences, "Continuing the sweep with --resume makes again what can be made again."] if sentences else []


def _of_trial(path: Path) -> list[str]:
    rows = finished_rows(path)
    if not rows:
        return [f"{FINISHED_FILE} can't be read: the trial's numbers are those of {RESULT_FILE}."]
    kept, folder = read_mapping(path).get("kept"), path.parent
    sentences = []
    for name, seal in kept.items() if isinstance(kept, Mapping) else ():
        if "/" not in name and isinstance(seal, Mapping) and (wrong := _flaw(folder / name, seal)):
            sentences.append(f"{name} {wrong}.")
    if [row["step"] for row in read_rows(folder / RESULT_FILE)] != [row["step"] for row in rows]:
        sentences.append(f"{RESULT_FILE} lacks rows: they are taken from {FINISHED_FILE}.")
    return sentences


def _flaw(path: Path, seal: Mapping[str, Any]) -> str | None:
    try:
        return flaw(path, seal, by_size=path.name == TRAINED_FILE)
    except OSError as error:
        return f"can't be read ({error.strerror})"
