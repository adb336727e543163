"""Whether a response gives the right answer: 1 or 0 by the reference of its prompt, without a reward model."""

import re
from decimal import Decimal
from typing import Literal

Match = Literal["exact", "contains", "regex", "number"]
"""How a response is compared with its reference."""

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


def reference_flaw(match: Match, reference: str) -> str | None:
    """Why no response can be held to a reference, in words that go on after "the reference of prompt 3"; None if one
    can."""
    if not reference.strip():
        return "is empty"
    if match == "number" and answered_number(reference) is None:
        return f"has no number: {_short(reference)}"
    if match == "regex":
        try:
            re.compile(reference.strip())
        except re.error as error:
            return f"is not a regular expression ({error}): {_short(reference)}"
    return None


def _short(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
