"""The evaluation prompts, read without torch, so that a file that holds none is refused at once."""

import csv
from pathlib import Path

from basis.errors import UserError
from sweep.data.files.packing import LFS_POINTER


def read_prompts(path: Path, max_prompts: int | None = None) -> list[str]:
    """The column `prompt` of a CSV file.

    Raises:
        UserError: the file can't be read, is not UTF-8, has no such column, or holds no prompt.
    """
    try:
        with path.open("rb") as start:
            pointer = start.read(len(LFS_POINTER)) == LFS_POINTER
        if pointer:
            raise UserError(f"{path} is a pointer of Git LFS, not the file itself; fetch it with: git lfs pull")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if "prompt" not in (reader.fieldnames or []):
                raise UserError(f"{path}: no column 'prompt'; its columns are {', '.join(reader.fieldnames or [])}")
            prompts = [row["prompt"] for row in reader if row["prompt"]]
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file that can be read ({error})") from None
    if not prompts:
        raise UserError(f"{path}: no prompts in it")
    return prompts[:max_prompts]
