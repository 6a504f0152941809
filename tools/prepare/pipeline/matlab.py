"""One array of a MATLAB 5 file, read without believing a length before its bytes are there.

A file is a header of 128 bytes and elements: type, size, content. An element of type 14 is an
array, one of type 15 such an element compressed by zlib. An array's content is four elements more:
flags, shape, name, numbers by column. Source: MathWorks, MAT-File Format, version 5.
"""

import math
import zlib
from collections.abc import Iterator

import numpy as np

_HEADER, _ARRAY, _COMPRESSED = 128, 14, 15
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_TEXT = 1  # of an array's name
_CLASSES = range(6, 16)  # of arrays of numbers
_COMPLEX = 0x800
_MOST = 2**26  # bytes of an array: over an hour of skeletons


def read_array(content: bytes, name: str) -> np.ndarray | None:
    """Read an array of real numbers by its name; None where there is none of this name.

    Args:
        content: of the file.
        name: of the array.

    Raises:
        ValueError, zlib.error: when the file is damaged, or the array holds anything else.
    """
    if content[124:128] != b"\x00\x01IM":
        raise ValueError("it does not begin as MATLAB 5 files do")
    found = None
    for kind, body in _elements(content[_HEADER:], padded=False):  # to the end: bytes may be added
        if kind == _COMPRESSED:
            kind, body = next(_elements(_decompressed(body)))
        if kind != _ARRAY:
            raise ValueError(f"it holds an element of type {kind}")
        array = _array(body, name)
        found = array if found is None else found
    return found


def _decompressed(content: bytes) -> bytes:
    stream = zlib.decompressobj()
    body = stream.decompress(content, _MOST)
    if not stream.eof:  # which also means that its checksum was compared
        raise ValueError("an array is cut short, or too large")
    return body


def _elements(content: bytes, padded: bool = True) -> Iterator[tuple[int, bytes]]:
    """Type and content of one element after the other; small ones stand within their tag."""
    place = 0
    while place < len(content):
        kind, size = np.frombuffer(content, "<u4", 2, place).tolist()
        begin, end = place + 8, place + 8 + size
        place = end + (-size % 8 if padded else 0)
        if kind >> 16:
            kind, size = kind & 0xFFFF, kind >> 16
            begin, end = begin - 4, begin - 4 + size
            place = begin + 4
        if end > len(content) or (kind >> 16 and size > 4):
            raise ValueError("an element is cut short")
        yield kind, content[begin:end]


def _array(content: bytes, name: str) -> np.ndarray | None:
    """Read an array, or return None where it has another name."""
    (_, flags), (_, shape), (kind, called), *numbers = _elements(content)
    if kind != _TEXT:
        raise ValueError(f"the name of an array is of type {kind}")
    if called != name.encode():
        return None
    (flag,) = np.frombuffer(flags[:4], "<u4").tolist()
    shape = np.frombuffer(shape, "<i4").tolist()
    if flag & 0xFF not in _CLASSES or flag & _COMPLEX or len(numbers) != 1:
        raise ValueError(f"{name} does not hold numbers")
    (kind, values), *_ = numbers
    dtype = np.dtype(_TYPES.get(kind, "O")).newbyteorder("<")
    if dtype.hasobject or min(shape) < 0 or math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError(f"{name} has shape {tuple(shape)} and {len(values)} bytes")
    return np.frombuffer(values, dtype).reshape(shape, order="F")
