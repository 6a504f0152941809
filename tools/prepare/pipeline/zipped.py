"""One array of an .npz file, read row by row, however large it is.

`numpy.load` would read the whole array into memory.
"""

import math
import zipfile
from pathlib import Path

import numpy as np

from dataset.reading import reading
from tools.zips import AGAIN, open_zip, read_header

NPZ = "a whole .npz file"


class ZippedArray:
    """Rows of an array inside an .npz file; picklable: another process opens its own.

    What lies before a row is read over, so rows should be asked for in order.

    Attributes:
        shape: of the whole array.
        dtype: of its elements.
        compressed: whether reading over is slow.
    """

    def __init__(self, path: Path, key: str) -> None:
        """Open an array by its name in an .npz file.

        Raises:
            ValueError: when the file is damaged, or the array lies in it column by column.
        """
        self._path, self._key = path, key
        archive = open_zip(path, NPZ)
        with reading(path, NPZ, AGAIN):
            info = archive.getinfo(f"{key}.npy")
            self.compressed = info.compress_type != zipfile.ZIP_STORED
            self._stream = archive.open(info)
            self.shape, by_column, self.dtype = read_header(self._stream)
        if self.dtype.kind not in "fiub":
            raise ValueError(f"{path}: {key} holds {self.dtype}, not numbers")
        if by_column and len(self.shape) > 1:
            raise ValueError(f"{path}: {key} is stored column by column; save a C-ordered copy")
        self._start = self._stream.tell()
        self._row_size = self.dtype.itemsize * math.prod(self.shape[1:])
        rows = self.shape[0] if self.shape else 1
        if min(self.shape, default=0) < 0 or info.file_size != self._start + self._row_size * rows:
            raise ValueError(f"{path} is not {NPZ} ({key} is cut short or too long)")

    def __len__(self) -> int:
        return self.shape[0]

    def __reduce__(self) -> tuple:
        return ZippedArray, (self._path, self._key)

    def row(self, index: int) -> np.ndarray:
        """Read one row; a ValueError where the file is damaged."""
        with reading(self._path.name, NPZ, AGAIN):
            self._stream.seek(self._start + index * self._row_size)
            content = self._stream.read(self._row_size)
        if len(content) != self._row_size:
            raise ValueError(f"{self._path.name} ends within it")
        return np.frombuffer(content, self.dtype).reshape(self.shape[1:])
