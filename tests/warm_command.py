"""A command in a process that is forked from one that has imported this module, and with it what commands import."""

import importlib
import os
import sys
from pathlib import Path

import sweep.driver.ending
import sweep.driver.execute
import sweep.trainable  # noqa: F401
from basis.packages import ROOT


def be_command(words: list[str], environment: dict[str, str], streams: list[Path]) -> None:
    """Do what `python -m` does with these words.

    Args:
        words: a module of ours, and its arguments.
        environment: all its variables.
        streams: files that standard input, output and error are.
    """
    for descriptor, path in enumerate(streams):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)  # multiprocessing has closed it
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = words
    importlib.import_module(words[0]).script()
