"""The folder in which our commands keep files between them."""

import os
import tempfile
from pathlib import Path

CACHE_VARIABLE = "SFT_SWEEP_CACHE"
"""Environment variable that chooses it."""


def cache_folder() -> Path:
    """The folder, which need not be there; `sweep.machine.caches` finds another one where it can't be written to."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser().absolute()
    try:
        return Path.home() / ".cache" / "sft-sweep"
    except RuntimeError:  # neither $HOME nor an entry in the system's list of users
        return Path(tempfile.gettempdir()) / f"sft-sweep-{os.getuid()}" / "cache"
