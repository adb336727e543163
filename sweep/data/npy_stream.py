"""An array that is written to a .npy file piece by piece, so that it never lies in memory whole."""

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt


class NpyStream:
    """A .npy file of one dimension that grows; its length is written when the `with` block ends.

    Attributes:
        count: how many numbers it has.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        """Open the file; `numpy.load` reads it when the `with` block has ended."""
        self._dtype = np.dtype(dtype)
        self._file = path.open("wb")
        self.count = 0
        self._write_header()

    def append(self, numbers: npt.ArrayLike) -> None:
        """Write numbers behind those that are there.

        Raises:
            OSError: as the disk says it.
            OverflowError: a number that the file's type can't hold.
        """
        array = np.asarray(numbers, self._dtype)
        self._file.write(array.data)  # numpy's tofile does not say what the disk said
        self.count += len(array)

    def __enter__(self) -> "NpyStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file as file:
            if error is not None:
                return
            body = file.tell() - self.count * self._dtype.itemsize
            file.seek(0)
            self._write_header()
            # numpy leaves room in the header for the length to grow; a header of another size would shift the numbers
            assert file.tell() == body, "the .npy header changed its size"

    def _write_header(self) -> None:
        descr: Any = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": descr, "fortran_order": False, "shape": (self.count,)}
        np.lib.format.write_array_header_1_0(self._file, header)
