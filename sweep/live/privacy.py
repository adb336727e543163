"""Takes out of what a page shows whatever tells of the machine: secrets, home directories, its name."""

import platform
import re
from pathlib import Path

from sweep.cluster.privacy import without_secrets

_HOMES = re.compile(r"(?:/(?:home|Users)/[^/\s\"'<>&:,]+|/root)(?=[/\s\"'<>&:,]|$)")
LEAST_NAME_LETTERS = 4
"""A machine's name that is shorter may be a word, and stays."""


def cleaned(text: str) -> str:
    """A text with ~ for home directories, and without values of secret variables; of any page or answer."""
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?=[/\s\"'<>&:,]|$)", "~", text)
    return _HOMES.sub("~", without_secrets(text))


def without_machine(text: str) -> str:
    """A text that a trial or Ray has written, without the name of this machine and the addresses of any."""
    text = re.sub(r"\b(?:\d{1,3}\.){3}\d{1,3}\b", "[address]", text)
    name = platform.node()
    names = {name, name.partition(".")[0]}
    for one in sorted((one for one in names if len(one) >= LEAST_NAME_LETTERS), key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(one)}(?![\w-])", "[machine]", text)
    return text
