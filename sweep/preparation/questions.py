"""The questions of a sweep, each with the right answer where one judges, read and checked without torch."""

from collections.abc import Sequence
from pathlib import Path

from basis.errors import UserError
from sweep.data.prompts import Question, read_questions
from sweep.judge.answer_match import check_references
from sweep.schema.reward import RewardPart


def file_questions(path: Path, reward: RewardPart) -> list[Question]:
    """The questions of a file.

    Args:
        path: see `read_questions`.
        reward: how many are asked, and what right answers are held to.

    Raises:
        UserError: they can't be read, or a right answer is none that a response can be held to.
    """
    questions = read_questions(path, reward.max_prompts, reward.judge.reference if reward.judge else None)
    try:
        check_answers(questions, reward)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return questions


def check_answers(questions: Sequence[Question], reward: RewardPart) -> None:
    """Refuse right answers that no response can be held to.

    Raises:
        UserError: naming the first of them.
    """
    if reward.judge is not None:
        check_references(reward.judge.match, [question.reference or "" for question in questions])
