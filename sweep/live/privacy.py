"""Takes out of what a page shows whatever tells of the machine: secrets, home directories, its name."""

import html
import json
import platform
import re
from pathlib import Path

from sweep.cluster.privacy import secret_values, without_secrets

_END = r"(?![\w-]|\.\w)"
"""What follows the name of a directory: nothing that goes on with it."""
_HOMES = re.compile(rf"(?:/(?:home|Users)/[\w.@+-]*[\w-]|/root){_END}")
LEAST_NAME_LETTERS = 4
"""A machine's name that is shorter may be a word, and stays."""


def cleaned(text: str) -> str:
    """A text with ~ for home directories, and without values of secret variables; of any page or answer.

    Values are also found as HTML and JSON spell them.
    """
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}{_END}", "~", text)
    for value in secret_values():
        in_html = html.escape(value, quote=False).replace('"', "&#34;").replace("'", "&#39;")  # as Jinja escapes
        for spelled in (in_html, json.dumps(value)[1:-1]):
            text = text.replace(spelled, "***")
    return _HOMES.sub("~", without_secrets(text))


def without_machine(text: str) -> str:
    """A text that a trial or Ray has written, without the name of this machine and the addresses of any."""
    text = re.sub(r"\b(?:\d{1,3}\.){3}\d{1,3}\b", "[address]", text)
    name = platform.node()
    names = {name, name.partition(".")[0]}
    for one in sorted((one for one in names if len(one) >= LEAST_NAME_LETTERS), key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(one)}(?![\w-])", "[machine]", text)
    return text
