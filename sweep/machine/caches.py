"""Finds the folders that keep files between sweeps, ours and Hugging Face's, also for a user without a home."""

import getpass
import os
import sys
import tempfile
from pathlib import Path

from basis.cache import CACHE_VARIABLE
from basis.errors import UserError
from sweep.machine.output_folders import check_writable, is_writable, local_path


def set_up_caches() -> tuple[Path, list[str]]:
    """Choose our cache, and set the environment so that libraries keep theirs in a folder that can be written to.

    Returns:
        Our cache, and remarks for the user. The cache is $SFT_SWEEP_CACHE, or else ~/.cache/sft-sweep, or else (without
        a home that can be written to) a folder among the temporary files.

    Raises:
        UserError: the folder that the user chose can't be written to, or none can.
    """
    _have_a_name()
    home = _home()
    if home is None:
        os.environ["HOME"] = str(_temporary_folder())  # libraries look for one when they are imported
    chosen, remarks = os.environ.get(CACHE_VARIABLE), []
    if chosen:
        cache = local_path(CACHE_VARIABLE, chosen)
    elif home is not None and is_writable(home / ".cache" / "sft-sweep"):
        cache = home / ".cache" / "sft-sweep"
    else:
        cache = _temporary_folder() / "cache"
        remarks.append(
            f"no home directory that can be written to: the cache is {cache} ({CACHE_VARIABLE} chooses another)"
        )
    check_writable(CACHE_VARIABLE, cache)
    return cache, [*remarks, *_set_up_hugging_face(cache)]


def _home() -> Path | None:
    """The user's home directory; None if there is none."""
    try:
        return Path.home().absolute()
    except RuntimeError:  # neither $HOME nor an entry in the system's list of users
        return None


def _set_up_hugging_face(cache: Path) -> list[str]:
    """Leave Hugging Face's cache where it is if it can be written to; otherwise use ours for what must be written.

    A cache that can only be read is still read. Only data sets need a folder to write to.

    Returns:
        Remarks for the user.
    """
    chosen = os.environ.get("HF_HOME")
    usual = Path(chosen or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface")
    usual = local_path("HF_HOME", str(usual)) if chosen else usual
    if is_writable(usual):
        return []
    ours = cache / "huggingface"
    if chosen or os.access(usual, os.R_OK | os.X_OK):
        os.environ.setdefault("HF_DATASETS_CACHE", str(ours / "datasets"))
        return [f"{usual} can only be read: nothing can be downloaded into it (HF_HOME chooses another cache)"]
    if "huggingface_hub" in sys.modules:  # already imported, by our own command or a notebook: it has read HF_HOME
        return [f"{usual} can't be written to: nothing can be downloaded (set HF_HOME before starting)"]
    os.environ["HF_HOME"] = str(ours)
    return [f"Hugging Face's cache is {ours} (HF_HOME chooses another)"]


def _temporary_folder() -> Path:
    """The user's own folder among the temporary files, the same one every time.

    Raises:
        UserError: another user owns a folder of that name, or the folder can't be made.
    """
    folder = Path(tempfile.gettempdir()) / f"sft-sweep-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise UserError(f"{CACHE_VARIABLE}: not set, and {folder} can't be made ({error.strerror})") from None
    if folder.is_symlink() or found.st_uid != os.getuid():
        raise UserError(f"{CACHE_VARIABLE}: not set, there is no home to write to, and {folder} is somebody else's")
    return folder


def _have_a_name() -> None:
    """Set $USER if the system knows no name for this user, since libraries name folders after it."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"uid{os.getuid()}"
