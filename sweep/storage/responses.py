"""Files of prompts with their responses and rewards: those of each trial, and those of the base model."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from basis.checksums import Seal, flaw, seal, set_aside
from basis.files import write_text
from basis.read_json import DamagedError, parse_json, read_object, read_text

Answer = dict[str, str | float | int | None]
"""A prompt with its `response`, its `reward` and `response_tokens`; a trial's also with what the base model's were."""

SEAL_SUFFIX = ".seal.json"
"""How the name of the file ends that lies beside the base model's answers, with their seal (see `basis.checksums`)."""


def write_answers(path: Path, answers: Sequence[Answer]) -> None:
    """Write JSON lines, atomically; a reward that is no finite number as null, which every reader of JSON knows."""
    finite = [{name: _finite(value) for name, value in answer.items()} for answer in answers]
    write_text(path, "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in finite))


def read_answers(path: Path) -> list[Answer]:
    """Read what `write_answers` wrote.

    Raises:
        DamagedError: it is not as it was written.
    """
    text = read_text(path)
    if not text.endswith("\n"):
        raise DamagedError("is cut short")
    answers = [parse_json(line) for line in text[:-1].split("\n")]
    for number, answer in enumerate(answers, 1):
        if not isinstance(answer, dict) or not {"prompt", "response", "reward"} <= answer.keys():
            raise DamagedError(f"has no answer in line {number}")
    return answers


def write_sealed_answers(path: Path, answers: Sequence[Answer]) -> None:
    """Write answers as `write_answers` does, with their seal beside them."""
    sealed = path.with_suffix(SEAL_SUFFIX)
    sealed.unlink(missing_ok=True)  # between the two writes there is no seal, and not a wrong one
    write_answers(path, answers)
    write_text(sealed, json.dumps(seal(path)))


def answers_flaw(path: Path, prompts: Sequence[str]) -> str | None:
    """In which way sealed answers are not as they were written; None if they are.

    Args:
        path: their file, beside which lies its seal.
        prompts: what has been asked.
    """
    try:
        answered = [str(answer["prompt"]) for answer in read_answers(path)]
        if answered != list(prompts):
            return f"answers {len(answered)} prompts instead of {len(prompts)}, or others"
        sealed = path.with_suffix(SEAL_SUFFIX)
        return flaw(path, _read_seal(sealed)) if sealed.exists() else None
    except DamagedError as damage:
        return str(damage)


def set_answers_aside(path: Path, prompts: Sequence[str]) -> str | None:
    """Set the base model's answers aside if they are damaged; returns a line about it. For arguments see above."""
    if not path.exists() or (damage := answers_flaw(path, prompts)) is None:
        return None
    return f"{path}: {damage}{set_aside(path)}; the base model answers again"


def _finite(value: str | float | int | None) -> str | float | int | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_seal(path: Path) -> Seal:
    try:
        return read_object(path)
    except DamagedError as damage:
        raise DamagedError(f"can't be verified, for {path.name} {damage}") from None
