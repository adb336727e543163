"""Whose the files of a trial are that runs on another machine than the driver: see the two modules beside this one."""

from pathlib import Path

from basis.directory import PARAMS_FILE, RESULT_FILE, TENSORBOARD

STORE = "object storage"
"""What messages say before the address, which a user may have given by any of several flags."""

DISK_OF_NODE = "the disk of node"
"""What stands before a node's id in the error of a trial that its disk has failed."""

OF_DRIVER = (PARAMS_FILE, RESULT_FILE, "params.pkl", "progress.csv", "error.txt", "error.pkl")


def is_drivers(name: str) -> bool:
    """Whether a file, by its path, is one that Ray's loggers or our trackers write on the driver's machine."""
    file = Path(name).name
    return file in OF_DRIVER or file.startswith(TENSORBOARD)
