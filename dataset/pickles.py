"""Pickles of others: plain values and NumPy arrays, built by us, and no code run.

Nothing of NumPy's own unpickling is called. A dtype is taken by its name, an array or a scalar is
made of the bytes that a pickle holds for it, once their number fits. Memory stays in proportion to
the file: no length is believed before that many bytes are there, and the memo is a dict.
"""

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dataset.reading import reading

_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|[SU][1-9]\d{0,5}", re.ASCII)
_LAST = 2**32  # LONG_BINPUT cannot number more


def load_plain(path: Path, what: str = "a readable pickle") -> Any:
    """Read a pickle of plain values, NumPy arrays and scalars; scalars become plain values.

    Args:
        path: the file.
        what: it should be, for messages.

    Raises:
        ValueError: when it is damaged, or asks for anything else.
        OSError: when it cannot be read.
    """
    with reading(path, what), path.open("rb") as file:
        return _PlainUnpickler(_Bounded(file, path.stat().st_size)).load()


class _Bounded:
    """A file that never makes room for more bytes than are left in it."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size = file, size

    def read(self, count: int) -> bytes:
        """Read exactly so many bytes."""
        if count > self.size - self._file.tell():
            raise pickle.UnpicklingError("it is cut short")
        return self._file.read(count)

    def readline(self) -> bytes:
        """Read to the end of a line."""
        return self._file.readline()


class _Array:
    """Stands for an array until its state is read, and forwards to it then."""

    made: np.ndarray | None = None

    def build(self, state: tuple) -> np.ndarray:
        """Make the array of its state: version, shape, dtype, order, bytes."""
        version, shape, dtype, by_column, content = state
        if version != 1:
            raise pickle.UnpicklingError("it has an array of an unknown version")
        self.made = _frombuffer(content, dtype, shape, "F" if by_column else "C")
        return self.made


class _Dtype:
    """A dtype by its name; of a state it takes the order of bytes and nothing else."""

    def __init__(self, name: str, align: object = False, copy: object = True) -> None:
        flags = type(align) in (bool, int) and type(copy) in (bool, int)
        if not flags or type(name) is not str or not _DTYPE.fullmatch(name):
            raise pickle.UnpicklingError("it has a dtype that is no plain number or text")
        self.made = np.dtype(name)

    def build(self, state: tuple) -> "_Dtype":
        """Take a state that is what NumPy writes of this dtype."""
        made = self.made.newbyteorder(state[1]) if state[1] in ("<", ">") else self.made
        if state != made.__reduce__()[2]:
            raise pickle.UnpicklingError("it has a dtype that is not plain")
        self.made = made
        return self


def _reconstruct(kind: object, shape: object, letter: object) -> _Array:
    """Stand for numpy's function of this name; the array's state follows."""
    if kind is not _ndarray or shape != (0,) or letter not in (b"b", "b"):
        raise pickle.UnpicklingError("it begins an array as none is begun")
    return _Array()


def _frombuffer(
    content: bytes | bytearray,
    dtype: _Dtype,
    shape: tuple[int, ...],
    order: str,
    axes: tuple[int, ...] | None = None,
) -> np.ndarray:
    """Make an array of exactly these bytes, without a copy."""
    whole = type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape)
    if not whole or type(dtype) is not _Dtype or type(content) not in (bytes, bytearray):
        raise pickle.UnpicklingError("it has an array without shape, dtype or bytes")
    if math.prod(shape) * dtype.made.itemsize != len(content):
        raise pickle.UnpicklingError(f"it has an array whose {len(content)} bytes do not fit it")
    array = np.ndarray(shape, dtype.made, content, order="C" if order == "K" else order)
    return array.transpose(axes) if order == "K" and axes is not None else array


def _scalar(dtype: _Dtype, content: bytes) -> Any:
    """Make a plain value of a NumPy scalar."""
    return _frombuffer(content, dtype, (), "C").item()


def _ndarray(*given: object) -> None:
    """Stand for the class, which pickles only pass on."""
    raise pickle.UnpicklingError("it makes an array in a way in which none is pickled")


def _no_bytes() -> bytes:
    """Stand for bytes(), by which pickles before version 3 hold empty ones."""
    return b""


class _Memo(dict):
    """What the pickle may refer to again; once an array is made, the array."""

    def __getitem__(self, key: int) -> Any:
        value = super().__getitem__(key)
        return value.made if type(value) is _Array and value.made is not None else value

    def __setitem__(self, key: int, value: object) -> None:
        if key >= _LAST:
            raise pickle.UnpicklingError("it numbers more than any pickle holds")
        super().__setitem__(key, value)


class _PlainUnpickler(pickle._Unpickler):
    """Python's unpickler in Python, whose steps can be replaced one by one.

    The one in C makes room for a memo as large as an index says.
    """

    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: _Bounded) -> None:
        super().__init__(file)
        self.memo = _Memo()
        self._left = file.size  # bytes that functions may still make: no more than the file has
        self._admitted: dict[tuple[str, str], Callable] = {
            ("numpy", "ndarray"): _ndarray,
            ("numpy", "dtype"): _Dtype,
            ("_codecs", "encode"): self._encode,
            ("builtins", "bytearray"): self._bytearray,
            ("__builtin__", "bytes"): _no_bytes,
        }
        for core in ("numpy.core", "numpy._core"):  # the name before and since NumPy 2
            self._admitted |= {
                (f"{core}.multiarray", "_reconstruct"): _reconstruct,
                (f"{core}.multiarray", "scalar"): _scalar,
                (f"{core}.numeric", "_frombuffer"): _frombuffer,
            }

    def find_class(self, module: str, name: str) -> Callable:
        """Return what stands for an admitted function, or refuse it."""
        if (module, name) not in self._admitted:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}; only plain values and NumPy arrays are admitted"
            )
        return self._admitted[module, name]

    def _encode(self, text: str, encoding: str) -> bytes:
        """Stand for codecs.encode, by which pickles before version 3 hold bytes."""
        if encoding != "latin1":
            raise pickle.UnpicklingError(
                f"it holds bytes as {encoding}; only plain values and NumPy arrays are admitted"
            )
        return self._counted(text.encode("latin1"))

    def _bytearray(self, content: bytes = b"") -> bytearray:
        """Stand for bytearray, which would also make room for any number of bytes."""
        if type(content) is not bytes:
            raise pickle.UnpicklingError("it has a bytearray that is not made of bytes")
        return bytearray(self._counted(content))

    def _counted(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise pickle.UnpicklingError("it makes more bytes than it holds")
        return content

    def _build(self) -> None:
        """Give an array or a dtype its state; nothing else has one."""
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) not in (_Array, _Dtype) or type(state) is not tuple:
            raise pickle.UnpicklingError("it sets the state of what is neither array nor dtype")
        self.stack[-1] = target.build(state)

    def _bytearray8(self) -> None:
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    dispatch[pickle.BUILD[0]] = _build
    dispatch[pickle.BYTEARRAY8[0]] = _bytearray8


def _checked(
    load: Callable[[_PlainUnpickler], None], keys: slice
) -> Callable[[_PlainUnpickler], None]:
    """Refuse keys that are neither text nor a number: hashing nested tuples may never end."""

    def load_checked(unpickler: _PlainUnpickler) -> None:
        """Look at the keys on the stack first."""
        if any(type(key) not in (str, int) for key in unpickler.stack[keys]):
            raise pickle.UnpicklingError("it has a key that is neither text nor a number")
        load(unpickler)

    return load_checked


for _code, _load, _keys in (
    (pickle.SETITEM, pickle._Unpickler.load_setitem, slice(-2, -1)),
    (pickle.SETITEMS, pickle._Unpickler.load_setitems, slice(0, None, 2)),
    (pickle.DICT, pickle._Unpickler.load_dict, slice(0, None, 2)),
    (pickle.ADDITEMS, pickle._Unpickler.load_additems, slice(0, None)),
    (pickle.FROZENSET, pickle._Unpickler.load_frozenset, slice(0, None)),
):
    _PlainUnpickler.dispatch[_code[0]] = _checked(_load, _keys)
