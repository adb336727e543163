"""What every package has beside our code. Imports nothing but the standard library: it runs wherever a Python does."""

import json
import os
from pathlib import Path

VARIABLES_FILE = "variables.json"
QUESTION_FILE = "question.json"


def take_variables(package: Path) -> None:
    """Set the variables that came with a package, and take their file away; where it is gone already, do nothing."""
    path = package / VARIABLES_FILE
    if path.is_file():
        os.environ.update(json.loads(path.read_text(encoding="utf-8"))["variables"])
        path.unlink()
