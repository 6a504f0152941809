"""Pickles of other projects, read without running any code that they may carry."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np


def load_plain(path: Path) -> object:
    """Read a pickle of plain values and NumPy arrays.

    Raises:
        ValueError: when it is damaged, or asks for anything else.
        OSError: when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file).load()
    except OSError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ValueError(f"{path} is not a readable pickle ({reason})") from None


def _bytes(text: str, encoding: str) -> bytes:
    """Stand for codecs.encode, by which pickles before version 3 hold bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(
            f"it holds bytes as {encoding}; only plain values and NumPy arrays are admitted"
        )
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Stand for `bytes` of Python 2, by which a pickle of protocol 2 makes an empty array."""
    return b""


_ADMITTED: dict[tuple[str, str], Callable] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _bytes,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("builtins", "bytearray"): bytearray,
    ("__builtin__", "bytes"): _no_bytes,
} | {
    (f"{core}.{module}", name): function
    for core in ("numpy.core", "numpy._core")  # the name before and since NumPy 2
    for module, name, function in (
        ("multiarray", "_reconstruct", np.empty(0).__reduce__()[0]),
        ("multiarray", "scalar", np.float64(0).__reduce__()[0]),
        ("numeric", "_frombuffer", np.zeros(1).__reduce_ex__(5)[0]),
    )
}


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that admits what NumPy arrays are made with, and no other class or function."""

    def find_class(self, module: str, name: str) -> Callable:
        """Return an admitted function, or refuse it."""
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}; only plain values and NumPy arrays are admitted"
            )
        return _ADMITTED[module, name]
