"""One array of an .npz file, read row by row, however large it is."""

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

_LOCAL_HEADER = 30  # bytes before the name; its length and that of an extra field end the header
_CHUNK = 2**20  # bytes skipped at a time in a compressed array


class ZippedArray:
    """Rows of an array inside an .npz file; picklable, and nothing is read before it is needed.

    `numpy.load` cannot map such an array into memory. Rows of a stored array are read where they
    lie; a compressed one is unpacked from its start, so its rows should be asked for in order.

    Attributes:
        shape: of the whole array.
        dtype: of its elements.
        compressed: whether rows cost all that comes before them.
    """

    def __init__(self, path: Path, key: str) -> None:
        """Read what kind of array it is.

        Args:
            path: the .npz file.
            key: the array's name in it.

        Raises:
            ValueError: when the file is damaged, or the array lies in it column by column.
            OSError: when it cannot be read.
        """
        self.path, self._member = path, f"{key}.npy"
        with open_zip(path) as archive:
            info = archive.getinfo(self._member)
            self.compressed = info.compress_type != zipfile.ZIP_STORED
            with archive.open(info) as stream:
                self.shape, by_column, self.dtype = _read_header(stream, path)
                self._header = stream.tell()
            self._start = _start_of(info, path) + self._header
        if by_column and len(self.shape) > 1:
            raise ValueError(f"{path}: {key} is stored column by column; save a C-ordered copy")
        self._row_size = self.dtype.itemsize * math.prod(self.shape[1:])
        if info.file_size != self._header + self._row_size * self.shape[0]:
            raise ValueError(f"{path} is not a whole .npz file ({key} is cut short)")
        self._stream: IO[bytes] | None = None
        self._next = 0

    def __len__(self) -> int:
        return self.shape[0]

    def __getstate__(self) -> dict:
        """Leave the open file behind; another process opens its own."""
        return self.__dict__ | {"_stream": None, "_next": 0}

    def row(self, index: int) -> np.ndarray:
        """Read one row.

        Raises:
            ValueError: when the file is damaged.
            OSError: when it cannot be read.
        """
        content = self._unpack(index) if self.compressed else self._seek(index)
        if len(content) != self._row_size:
            raise ValueError(f"{self.path.name} ends within it")
        return np.frombuffer(content, self.dtype).reshape(self.shape[1:])

    def _seek(self, index: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self._start + index * self._row_size)
            return file.read(self._row_size)

    def _unpack(self, index: int) -> bytes:
        try:
            if self._stream is None or self._next > index:
                self._stream, self._next = open_zip(self.path).open(self._member), 0
                self._stream.read(self._header)
            skipped = (index - self._next) * self._row_size
            while skipped > 0:
                skipped -= len(self._stream.read(min(skipped, _CHUNK))) or skipped
            self._next = index + 1
            return self._stream.read(self._row_size)
        except (zipfile.BadZipFile, EOFError, ValueError) as error:
            self._stream = None
            raise ValueError(f"{self.path.name} is damaged there ({error})") from None


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open an .npz file.

    Raises:
        ValueError: when it is none.
        OSError: when it cannot be read.
    """
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"{path} is not a whole .npz file ({error})") from None


def _read_header(stream: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read shape, order and type of elements off the start of a .npy file."""
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        return read[version](stream)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a whole .npz file ({error})") from None


def _start_of(info: zipfile.ZipInfo, path: Path) -> int:
    """Return where a member's own bytes begin in the zip file."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
    name = int.from_bytes(header[26:28], "little")
    extra = int.from_bytes(header[28:30], "little")
    return info.header_offset + _LOCAL_HEADER + name + extra
