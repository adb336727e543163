"""The files of one side of an SFT set: its tokens in a row, and beside them what is known of each.

NAME.npy            token ids, (tokens,) uint16 or uint32
NAME_roles.npy      who says each token, (tokens,) uint8, see `encode.ASSISTANT_BIT`; not of texts
NAME_ends.npy       where each example ends, (examples,) int64; not of texts
NAME_sizes.npy      bytes of text that each token stands for, (tokens,) uint16; of held-out sides alone
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from sweep.data.windows import Tokens, open_tokens

MOST_BYTES = 2**16 - 1
"""Of text that one token can be said to stand for; no tokenizer's comes near."""


@dataclass(frozen=True)
class TokenFiles:
    """One side of an SFT set, mapped into memory.

    Attributes:
        tokens: token ids.
        roles: who says each; None: of texts, in which all count.
        ends: where each example ends; None: of texts.
        sizes: bytes of text by token; None: of a train side.
    """

    tokens: Tokens
    roles: Tokens | None = None
    ends: Tokens | None = None
    sizes: Tokens | None = None

    @classmethod
    def open(cls, path: Path) -> "TokenFiles":
        """The files beside NAME.npy, which is `path`."""
        others = (open_tokens(file) if (file := beside(path, kind)).exists() else None for kind in KINDS)
        return cls(open_tokens(path), *others)


KINDS = ("roles", "ends", "sizes")


def beside(path: Path, kind: str) -> Path:
    """NAME_KIND.npy beside NAME.npy."""
    return path.with_name(f"{path.stem}_{kind}.npy")


class EncodedExample(Protocol):
    """What is written of an example, see `encode.Encoded`."""

    @property
    def ids(self) -> list[int]: ...
    @property
    def roles(self) -> list[int]: ...
    @property
    def sizes(self) -> list[int]: ...


def write_token_files(
    path: Path, examples: Iterable[EncodedExample], vocabulary: int, *, roles: bool, sizes: bool
) -> int:
    """Write examples one by one, and return how many tokens there are.

    Args:
        path: NAME.npy.
        examples: what is written.
        vocabulary: the number of token ids.
        roles: whether roles and ends are written.
        sizes: whether sizes are written.
    """
    writers = {"ids": _Array(path, np.uint16 if vocabulary <= 2**16 else np.uint32)}
    if roles:
        writers["roles"] = _Array(beside(path, "roles"), np.uint8)
    if sizes:
        writers["sizes"] = _Array(beside(path, "sizes"), np.uint16)
    count, ends = 0, []
    for example in examples:
        for name, writer in writers.items():
            writer.add([min(size, MOST_BYTES) for size in example.sizes] if name == "sizes" else getattr(example, name))
        count += len(example.ids)
        ends.append(count)
    for writer in writers.values():
        writer.close()
    if roles:
        np.save(beside(path, "ends"), np.array(ends, np.int64))
    return count


class _Array:
    """A .npy file of one dimension whose length is known at its end."""

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self._dtype, self._count = np.dtype(dtype), 0
        self._file: BinaryIO = path.open("wb")
        self._write_header()

    def add(self, values: list[int]) -> None:
        """Write further values."""
        self._file.write(np.array(values, self._dtype).data)  # numpy's tofile does not say what the disk said
        self._count += len(values)

    def close(self) -> None:
        """Write the length into the header."""
        body = self._file.tell() - self._count * self._dtype.itemsize
        self._file.seek(0)
        self._write_header()
        # numpy leaves room in the header for the length to grow; a header of another size would shift the values
        assert self._file.tell() == body, "the .npy header changed its size"
        self._file.close()

    def _write_header(self) -> None:
        header: dict[str, Any] = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._count,),
        }
        np.lib.format.write_array_header_1_0(self._file, header)
