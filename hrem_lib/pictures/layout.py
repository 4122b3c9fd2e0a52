"""Files of the public layout that grow: whole under their name, or not there; until then they are NAME.part."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from hrem_lib.files import PART


class Rows:
    """A .npy file that grows: rows are appended to NAME.part, and the header gets the true count at the end."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str, rows: int):
        self.path, self.part = path, path.with_name(path.name + PART)
        self.shape, self.dtype = shape, np.dtype(dtype)
        if rows and not self.part.exists():  # stopped between renaming and the last record
            os.replace(path, self.part)
        self.file = open(self.part, "r+b" if rows else "w+b")  # noqa: SIM115
        self._header(rows)
        # what was written after the last saving is written again
        self.file.truncate(self.file.tell() + rows * self.dtype.itemsize * int(np.prod(shape)))
        self.file.seek(0, os.SEEK_END)

    def _header(self, rows: int) -> None:
        """numpy leaves room in a header for a growing first dimension: its length stays."""
        self.file.seek(0)
        form = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": form, "fortran_order": False, "shape": (rows, *self.shape)}
        np.lib.format.write_array_header_1_0(self.file, header)

    def append(self, values: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(values, self.dtype).tobytes())

    def save(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())

    def finish(self, rows: int) -> None:
        self._header(rows)
        self.save()
        self.file.close()
        os.replace(self.part, self.path)


class Lines:
    """A text file that grows; it is begun anew in every process."""

    def __init__(self, path: Path):
        self.path, self.part = path, path.with_name(path.name + PART)
        self.file = open(self.part, "wb")  # noqa: SIM115

    def append(self, line: str) -> None:
        self.file.write(line.encode() + b"\n")

    def finish(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self.part, self.path)

    def drop(self) -> None:
        self.file.close()
        self.part.unlink()
