"""Whose the files of a trial are that runs on another machine than the driver: see the two modules beside this one."""

from pathlib import Path

from basis.directory import PARAMS_FILE, RESULT_FILE

OUTPUT = "--output"
"""What messages name as the place where a user gave the address."""

OF_DRIVER = (PARAMS_FILE, RESULT_FILE, "params.pkl", "progress.csv", "error.txt", "error.pkl")
TENSORBOARD = "events.out.tfevents."


def is_drivers(name: str) -> bool:
    """Whether a file, by its path, is one that Ray's loggers or our trackers write on the driver's machine."""
    file = Path(name).name
    return file in OF_DRIVER or file.startswith(TENSORBOARD)
