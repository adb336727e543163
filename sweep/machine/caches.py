"""Where our files and those of libraries are kept between sweeps, also for a user without a home directory."""

import getpass
import os
import sys
import tempfile
from pathlib import Path

from basis.errors import UserError
from sweep.machine.output_folders import check_writable, is_writable, local_path

OURS = "SFT_SWEEP_CACHE"


def set_up_caches() -> tuple[Path, list[str]]:
    """Find a cache for us that can be written to, and have libraries keep theirs where they can.

    Returns:
        Our cache: $SFT_SWEEP_CACHE, or ~/.cache/sft-sweep, or a folder among the temporary files where there is no home
        or it can't be written to; and what to tell the user of it.

    Raises:
        UserError: no folder can be written to, or not the one that the user chose.
    """
    _have_a_name()
    home = _home()
    if home is None:
        os.environ["HOME"] = str(_temporary_folder())  # libraries look for one when they are imported
    chosen, remarks = os.environ.get(OURS), []
    if chosen:
        cache = local_path(OURS, chosen)
    elif home is not None and is_writable(home / ".cache" / "sft-sweep"):
        cache = home / ".cache" / "sft-sweep"
    else:
        cache = _temporary_folder() / "cache"
        remarks.append(f"no home directory that can be written to: the cache is {cache} ({OURS} chooses another)")
    check_writable(OURS, cache)
    return cache, [*remarks, *_set_up_hugging_face(cache)]


def _home() -> Path | None:
    try:
        return Path.home().absolute()
    except RuntimeError:  # neither $HOME nor an entry in the system's list of users
        return None


def _set_up_hugging_face(cache: Path) -> list[str]:
    """Leave Hugging Face's cache where it is, unless nothing could be kept there.

    One that can only be read is still worth reading; data sets alone must be written to be read.
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
    if "huggingface_hub" in sys.modules:  # it has read its environment: our own command that imports it, or a notebook
        return [f"{usual} can't be written to: nothing can be downloaded (set HF_HOME before starting)"]
    os.environ["HF_HOME"] = str(ours)
    return [f"Hugging Face's cache is {ours} (HF_HOME chooses another)"]


def _temporary_folder() -> Path:
    """A folder of ours alone among the temporary files, the same one every time.

    Raises:
        UserError: somebody else has taken its name, or nothing can be written.
    """
    folder = Path(tempfile.gettempdir()) / f"sft-sweep-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise UserError(f"{OURS}: not set, and {folder} can't be made ({error.strerror})") from None
    if folder.is_symlink() or found.st_uid != os.getuid():
        raise UserError(f"{OURS}: not set, there is no home to write to, and {folder} is somebody else's")
    return folder


def _have_a_name() -> None:
    """Libraries name folders after the user; a number without an entry in the list of users has no name."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"uid{os.getuid()}"
