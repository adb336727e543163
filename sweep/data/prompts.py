"""The evaluation prompts, read without torch, so that a file that holds none is refused at once."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from basis.errors import UserError
from sweep.data.examples import Example
from sweep.data.files.records import file_records, format_of
from sweep.data.records import Unreadable

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
    """The questions of a file, which has any format of data with columns; CSV where its name tells none.

    Args:
        path: the file. Records without a prompt are left out.
        max_prompts: how many are read, from the first; None: all.
        reference: the column of the right answers; None: there are none.

    Raises:
        UserError: the file can't be read, has no such column, holds no prompt, or lacks a right answer.
    """
    questions: list[Question] = []
    for place, record in _records(path, reference):
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
    if any(message["role"] == "assistant" for e in examples for message in e.messages[: e.prompt_messages]):
        raise UserError(
            "reward.prompts: 'test' asks the first turn of an example, and the test set has prompts in which an "
            "assistant speaks; accepted: a file of prompts"
        )
    questions: dict[tuple[str, str], Question] = {}
    for example in examples:
        question = first_turn(example.messages)
        if question and (question.reference or not answered):
            kept = question if answered else question._replace(reference=None)
            questions.setdefault((question.system, question.text), kept)
    if not questions:
        answer = ", answered by an assistant's" if answered else ""
        raise UserError(f"reward.prompts: no example of the test set opens with a user's turn{answer}")
    return list(questions.values())[:max_prompts]


def first_turn(messages: Sequence[Mapping[str, Any]]) -> Question | None:
    """The user's turn that a conversation opens with, the system turn before it and the answer behind it."""
    system = ""
    if messages and messages[0]["role"] == "system":
        system, messages = str(messages[0]["content"]), messages[1:]
    if not messages or messages[0]["role"] != "user":
        return None
    answers = [str(message["content"] or "") for message in messages[1:2] if message["role"] == "assistant"]
    return Question(str(messages[0]["content"]), system, answers[0] if answers else None)


def _records(path: Path, reference: str | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The records of a file, each with its place. A name that tells no format with columns is taken for CSV's."""
    named = format_of(path)
    columns = (*COLUMNS, *([reference] if reference else []))
    for place, record in file_records(path, columns, ".csv" if named in ("", ".txt") else named):
        if isinstance(record, Unreadable):
            raise UserError(f"{path}, {place}: {record.why}")
        if not isinstance(record, dict):
            raise UserError(f"{path}, {place}: no record; accepted: an object with 'prompt' or 'question'")
        yield place, record


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
