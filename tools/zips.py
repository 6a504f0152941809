"""Zip archives of others (.npz files, checkpoints): claims are checked before they cost memory.

Neither torch nor a reader that skips over a member looks at checksums; `check` reads them all.
"""

import io
import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from dataset.reading import reading

AGAIN = "copy it again"
_CHUNK = 2**20
_MOST = 2**30  # bytes of arrays that are read whole
_FOLDER = 0x10  # among the attributes that DOS gives a file
_RATIO = 500
"""Bytes that one compressed byte may become; one-hot labels become a hundred, a bomb a thousand."""


def open_zip(path: Path, what: str) -> zipfile.ZipFile:
    """Open an archive whose members are as large as its file allows.

    Messages say `what` the file should be.

    Raises:
        ValueError: when it is damaged, or claims what cannot be.
        OSError: when it cannot be read.
    """
    with reading(path, what, AGAIN):
        archive = zipfile.ZipFile(path)
        try:
            _check_claims(archive.infolist(), path.stat().st_size)
        except zipfile.BadZipFile:
            archive.close()
            raise
    return archive


def _check_claims(members: list[zipfile.ZipInfo], size: int) -> None:
    """Raise BadZipFile for members of one name, overlapping ones, and bombs."""
    if len({one.filename for one in members}) < len(members):
        raise zipfile.BadZipFile("two members have one name")
    if sum(one.compress_size for one in members) > size:
        raise zipfile.BadZipFile("its members claim more bytes than the file has")
    for one in members:
        if one.flag_bits & 1 or one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise zipfile.BadZipFile(f"{one.filename} is encrypted or compressed in a rare way")
        if one.external_attr & _FOLDER and one.file_size:  # torch.load would bring none of it
            raise zipfile.BadZipFile(f"{one.filename} is marked as a folder")
        stored = one.compress_type == zipfile.ZIP_STORED
        most = one.compress_size if stored else _RATIO * one.compress_size + _CHUNK
        if one.file_size > most:
            raise zipfile.BadZipFile(f"{one.filename} claims to grow to {one.file_size} bytes")


def check(path: Path, what: str, names: Iterable[str] | None = None) -> None:
    """Read members once and compare their checksums: 0.3 s a GB stored, 2 s a GB compressed.

    All of them, or those of some names.

    Raises:
        ValueError: when one differs, or the archive is damaged otherwise.
        OSError: when it cannot be read.
    """
    with open_zip(path, what) as archive, reading(path, what, AGAIN):
        for name in archive.namelist() if names is None else names:
            with archive.open(name) as member:
                while member.read(_CHUNK):
                    pass


def read_arrays(path: Path, what: str) -> dict[str, np.ndarray]:
    """Read all arrays of a small .npz file; of plain values, and exactly as long as they say.

    Raises:
        ValueError: when one is damaged or holds objects, or all are larger than 1 GiB.
        OSError: when it cannot be read.
    """
    arrays = {}
    with open_zip(path, what) as archive, reading(path, what, AGAIN):
        if sum(one.file_size for one in archive.infolist()) > _MOST:
            raise zipfile.BadZipFile("its arrays are larger than any results")
        for name in archive.namelist():
            content = io.BytesIO(archive.read(name))
            shape, by_column, dtype = read_header(content)
            rest = content.getbuffer()[content.tell() :]
            # Before memory is taken for what the header claims.
            if dtype.kind not in "fiubSU" or math.prod(shape) * dtype.itemsize != len(rest):
                raise ValueError(f"{len(rest)} bytes of {name} follow a header of {dtype} {shape}")
            array = np.frombuffer(rest, dtype).reshape(shape, order="F" if by_column else "C")
            arrays[name.removesuffix(".npy")] = array.copy()
    return arrays


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read a .npy header: the shape, whether the array lies column by column, and its type."""
    npy = np.lib.format
    first = npy.read_magic(stream) == (1, 0)
    return (npy.read_array_header_1_0 if first else npy.read_array_header_2_0)(stream)
