"""Opens a data file as what it is, unpacked where its name says that it is packed."""

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path

from basis.errors import UserError
from sweep.schema.data_folders import PACKINGS, suffix_of

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
PACKED_ERRORS = (EOFError, zlib.error, lzma.LZMAError)
"""What reading a damaged packed file raises, beside OSError."""

_MAGIC = {"gzip": (b"\x1f\x8b", ".gz"), "bzip2": (b"BZh", ".bz2"), "xz": (b"\xfd7zXZ\0", ".xz")}
_MAGIC["Zstandard"] = (b"\x28\xb5\x2f\xfd", ".zst")


def check_beginning(path: Path, beginning: bytes) -> None:
    """Refuse a file that is not what its name says.

    Args:
        path: the file.
        beginning: its first bytes, at least as many as LFS_POINTER has.

    Raises:
        UserError: a pointer of Git LFS, or a packed file with the name of one that is not.
    """
    suffix = suffix_of(path.name)
    if beginning.startswith(LFS_POINTER):
        raise UserError(f"{path}: is a Git LFS pointer, not the data; fetch the data with: git lfs pull")
    for packer, (magic, packing) in _MAGIC.items():
        if beginning.startswith(magic) and not suffix.endswith(packing):
            plain = suffix.removesuffix(_packing(suffix))
            raise UserError(f"{path}: is compressed by {packer}; give it a name that ends in {plain}{packing}")


def open_unpacked(path: Path) -> io.BufferedIOBase:
    """Open a file for reading its content, unpacked."""
    match _packing(suffix_of(path.name)):
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


def is_packed(path: Path) -> bool:
    """Whether the file's name says that it is packed."""
    return bool(_packing(suffix_of(path.name)))


def _packing(suffix: str) -> str:
    return next((packing for packing in PACKINGS if suffix.endswith(packing)), "")
