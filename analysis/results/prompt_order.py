"""Which prompt each line of a responses.jsonl answers, also where lines have been lost."""

from collections.abc import Sequence
from typing import Any

Lines = list[tuple[int, dict[str, Any]]]
"""Number and content of each line."""


def number_by_prompt(files: Sequence[Lines]) -> list[Lines]:
    """Number the lines of all trials by the prompt that they answer.

    All trials answer the same prompts in the same order, so a line that was taken out of a file moved those after it.
    The file of the most lines says where they belong. A file with prompts that this one lacks keeps its numbers.

    Args:
        files: the lines of each trial.

    Returns:
        The same lines, numbered as in the file of the most lines.
    """
    longest = max(files, key=len, default=[])
    return [_numbered(lines, longest) for lines in files]


def _numbered(lines: Lines, longest: Lines) -> Lines:
    asked = {number: line.get("prompt") for number, line in longest}
    if all(asked.get(number) == line.get("prompt") for number, line in lines):
        return lines
    rest = iter(asked.items())
    numbered: Lines = []
    for _, line in lines:
        number = next((number for number, prompt in rest if prompt == line.get("prompt")), None)
        if number is None:
            return lines
        numbered.append((number, line))
    return numbered
