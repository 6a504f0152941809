"""One array of an .npz file, read row by row, however large it is.

`numpy.load` would read the whole array into memory.
"""

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np


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
        archive, npy = open_zip(path), np.lib.format
        info = archive.getinfo(f"{key}.npy")
        self.compressed = info.compress_type != zipfile.ZIP_STORED
        self._stream = archive.open(info)
        try:
            first = npy.read_magic(self._stream) == (1, 0)
            read_header = npy.read_array_header_1_0 if first else npy.read_array_header_2_0
            self.shape, by_column, self.dtype = read_header(self._stream)
        except (ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is not a whole .npz file ({error})") from None
        if by_column and len(self.shape) > 1:
            raise ValueError(f"{path}: {key} is stored column by column; save a C-ordered copy")
        self._start = self._stream.tell()
        self._row_size = self.dtype.itemsize * math.prod(self.shape[1:])
        if info.file_size != self._start + self._row_size * self.shape[0]:
            raise ValueError(f"{path} is not a whole .npz file ({key} is cut short)")

    def __len__(self) -> int:
        return self.shape[0]

    def __reduce__(self) -> tuple:
        return ZippedArray, (self._path, self._key)

    def row(self, index: int) -> np.ndarray:
        """Read one row; a ValueError where the file is damaged."""
        try:
            self._stream.seek(self._start + index * self._row_size)
            content = self._stream.read(self._row_size)
        except (zipfile.BadZipFile, EOFError, ValueError, zlib.error) as error:
            raise ValueError(f"{self._path.name} is damaged there ({error})") from None
        if len(content) != self._row_size:
            raise ValueError(f"{self._path.name} ends within it")
        return np.frombuffer(content, self.dtype).reshape(self.shape[1:])


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open an .npz file; a ValueError where it is none."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"{path} is not a whole .npz file ({error})") from None
