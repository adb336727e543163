"""Whether a response gives the right answer: 1 or 0 by the reference of its prompt, without a reward model."""

import re
from collections.abc import Sequence
from decimal import Decimal

from basis.errors import UserError, shortened
from sweep.schema.reward import Match

FINAL_ANSWER = "####"
"""What GSM8K writes between a worked solution and its number (Cobbe et al. 2021, arXiv:2110.14168)."""

_NUMBER = re.compile(r"(?:(?<![\w)\]])-)?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<!\w)-?\.[0-9]+")


def is_right(match: Match, response: str, reference: str) -> bool:
    """Whether a response gives the right answer.

    Args:
        match: "exact": the response is the reference; "contains": the reference stands in it; "regex": the reference,
            a regular expression, matches somewhere in it; "number": both give the same number, see `answered_number`.
        response: what the model wrote.
        reference: of the prompt. White space around both does not count; upper and lower case differ.
    """
    response, reference = response.strip(), reference.strip()
    if match == "exact":
        return response == reference
    if match == "contains":
        return reference in response
    if match == "regex":
        return re.search(reference, response) is not None
    answered = answered_number(response)
    return answered is not None and answered == answered_number(reference)


def answered_number(text: str) -> Decimal | None:
    """The number that a text answers with; None where it gives none.

    That is the first number behind the last "####", or without that mark the last number. Commas between thousands
    and dollar signs do not count.
    """
    _, mark, answer = text.rpartition(FINAL_ANSWER)
    numbers = [match.group() for match in _NUMBER.finditer(answer.replace("$", ""))]
    if not numbers:
        return None
    return Decimal(numbers[0 if mark else -1].replace(",", ""))


def check_references(match: Match, references: Sequence[str]) -> None:
    """Refuse references that no response can be held to.

    Args:
        match: how responses are compared with them.
        references: one for each prompt.

    Raises:
        UserError: naming the first such reference.
    """
    for number, reference in enumerate(references, 1):
        if flaw := _flaw(match, reference.strip()):
            raise UserError(f"the reference of prompt {number} {flaw}")


def _flaw(match: Match, reference: str) -> str | None:
    if not reference:
        return "is empty"
    if match == "number" and answered_number(reference) is None:
        return f"has no number: {shortened(reference, 60)!r}"
    if match == "regex":
        try:
            re.compile(reference)
        except re.error as error:
            return f"is no regular expression ({error}): {shortened(reference, 60)!r}"
    return None
