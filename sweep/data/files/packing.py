"""Opens a data file unpacked, where its name or its first bytes say that it is packed."""

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path

from basis.errors import UserError

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
PACKED_ERRORS = (EOFError, zlib.error, lzma.LZMAError)
"""What reading a damaged packed file raises, beside OSError."""

_MAGIC = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\0", ".zst": b"\x28\xb5\x2f\xfd"}
"""What a file packed in each way begins with."""


def packing_of(path: Path, beginning: bytes) -> str:
    """Which of PACKINGS a file's name or its first bytes tell; "" for none.

    Args:
        path: the file.
        beginning: its first bytes, at least as many as LFS_POINTER has.

    Raises:
        UserError: it is a pointer of Git LFS.
    """
    if beginning.startswith(LFS_POINTER):
        raise UserError(f"{path}: is a Git LFS pointer, not the data; fetch the data with: git lfs pull")
    name = path.name.lower()
    told = (packing for packing, magic in _MAGIC.items() if name.endswith(packing) or beginning.startswith(magic))
    return next(told, "")


def open_unpacked(path: Path, packing: str) -> io.BufferedIOBase:
    """Open a file for reading its content, unpacked."""
    match packing:
        case ".gz":
            return gzip.open(path)
        case ".bz2":
            return bz2.open(path)
        case ".xz":
            return lzma.open(path)
        case ".zst":
            import pyarrow  # type: ignore[import-untyped]

            return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    return path.open("rb")
