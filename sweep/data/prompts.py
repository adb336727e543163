"""The evaluation prompts, read without torch, so that a file that holds none is refused at once."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from basis.errors import UserError
from sweep.data.examples import Example
from sweep.data.files.packing import LFS_POINTER

GZIP = b"\x1f\x8b"

COLUMNS = ("prompt", "question")
"""The names of the column with the prompts, the first of them that is there."""


class Question(NamedTuple):
    """What the models are asked.

    Attributes:
        text: the user's turn.
        system: the system turn before it; "" for none.
        reference: the right answer; None where a reward model judges.
    """

    text: str
    system: str = ""
    reference: str | None = None


def read_questions(path: Path, max_prompts: int | None = None, reference: str | None = None) -> list[Question]:
    """The questions of a file: CSV, or JSON lines where its name ends in .jsonl or .jsonl.gz.

    Args:
        path: the file. Records without a prompt are left out.
        max_prompts: how many are read, from the first; None: all.
        reference: the column of the right answers; None: there are none.

    Raises:
        UserError: the file can't be read, is not UTF-8, has no such column, holds no prompt, or lacks a right answer.
    """
    questions: list[Question] = []
    try:
        for place, record in _records(path):
            column = next((name for name in COLUMNS if name in record), None)
            for name in (column or COLUMNS[0], *([reference] if reference else [])):
                if name not in record:
                    there = ", ".join(map(str, record))
                    raise UserError(f"{path}: no column {name!r}; its columns are {there} ({place})")
            assert column is not None
            if not (text := _text(path, place, column, record[column])).strip():
                continue
            answer = _text(path, place, reference, record[reference]) if reference else None
            if answer is not None and not answer.strip():
                raise UserError(f"{path}, {place}: the prompt has no right answer in the column {reference!r}")
            questions.append(Question(text, reference=answer))
            if len(questions) == max_prompts:
                break
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: can't be read ({getattr(error, 'strerror', None) or error})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from None
    if not questions:
        raise UserError(f"{path}: no prompts in it")
    return questions


def first_turns(examples: Sequence[Example], max_prompts: int | None = None, answered: bool = False) -> list[Question]:
    """The first turn of each conversation or pair as a question, each question once.

    Args:
        examples: of the test set.
        max_prompts: how many questions are made, from the first; None: all.
        answered: whether each is held to the answer that follows in its example.

    Raises:
        UserError: the examples are texts, or none of them opens with a user's turn.
    """
    if any(example.kind == "text" for example in examples):
        raise UserError("reward.prompts: 'test' takes conversations or pairs, and the test set holds texts")
    questions: dict[tuple[str, str], Question] = {}
    for example in examples:
        question = _first_turn(example.messages)
        if question and (question.reference or not answered):
            kept = question if answered else question._replace(reference=None)
            questions.setdefault((question.system, question.text), kept)
    if not questions:
        answer = ", answered by an assistant's" if answered else ""
        raise UserError(f"reward.prompts: no example of the test set opens with a user's turn{answer}")
    return list(questions.values())[:max_prompts]


def _first_turn(messages: Sequence[Mapping[str, Any]]) -> Question | None:
    """The user's turn that a conversation opens with, the system turn before it and the answer behind it."""
    system = ""
    if messages and messages[0]["role"] == "system":
        system, messages = str(messages[0]["content"]), messages[1:]
    if not messages or messages[0]["role"] != "user":
        return None
    answers = [str(message["content"] or "") for message in messages[1:2] if message["role"] == "assistant"]
    return Question(str(messages[0]["content"]), system, answers[0] if answers else None)


def _records(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The records of a file, each with its place."""
    with path.open("rb") as start:
        beginning = start.read(len(LFS_POINTER))
    if beginning == LFS_POINTER:
        raise UserError(f"{path} is a pointer of Git LFS, not the file itself; fetch it with: git lfs pull")
    lines = path.name.removesuffix(".gz").endswith(".jsonl")
    packed = beginning.startswith(GZIP)
    with (gzip.open if packed else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
        yield from _json_lines(path, file) if lines else _csv_rows(path, file)


def _csv_rows(path: Path, file: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(file)
    try:
        names = reader.fieldnames or []
        if not set(COLUMNS) & set(names):
            raise UserError(f"{path}: no column {COLUMNS[0]!r}; its columns are {', '.join(names)}")
        for row in reader:
            yield f"line {reader.line_num}", row
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file that can be read ({error})") from None


def _json_lines(path: Path, file: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise UserError(f"{path}, line {number}: not JSON") from None
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {number}: no record; accepted: an object with 'prompt' or 'question'")
        yield f"line {number}", record


def _text(path: Path, place: str, column: str, value: object) -> str:
    """A column's value as text; numbers are written out."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{path}, {place}: the column {column!r} is {value!r}; accepted: text, or a number")
    try:
        str(value).encode()
    except UnicodeEncodeError:
        raise UserError(f"{path}, {place}: the column {column!r} has half a surrogate pair") from None
    return str(value)
