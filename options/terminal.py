"""What is printed reaches the terminal as text: names in files of others cannot steer it."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO


def printable(text: str, kept: str = "\n\t", encoding: str = "utf-8") -> str:
    r"""Escape what a terminal obeys or cannot show: \x1b, a carriage return, a lone surrogate.

    Args:
        text: to be printed.
        kept: control characters that stay.
        encoding: of the terminal.
    """
    plain = "".join(
        one if one.isprintable() or one in kept else one.encode("unicode_escape").decode()
        for one in text
    )
    return plain.encode(encoding, "backslashreplace").decode(encoding)


class _Escaped:
    """A text stream that shows control characters instead of obeying them."""

    def __init__(self, stream: TextIO, kept: str) -> None:
        self._stream, self._kept = stream, kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, escaped; the stream's own errors pass."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._stream.write(printable(text, self._kept, encoding))
        return len(text)


@contextmanager
def escaped_output() -> Iterator[None]:
    """Escape what is printed meanwhile; on stderr a bar may still return to its line's start.

    What is printed to a stream that was closed goes nowhere.
    """
    before = sys.stdout, sys.stderr
    _occupy_closed()
    with ExitStack() as stack:
        sys.stdout, sys.stderr = (
            _Escaped(stream or stack.enter_context(open(os.devnull, "w")), kept)
            for stream, kept in zip(before, ("\n\t", "\n\t\r"), strict=True)
        )
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def _occupy_closed() -> None:
    """Open closed standard streams: the next file would take their place and get what is printed.

    By libraries, that is, and by child processes.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest that is free


def drop_unwritable() -> None:
    """Forget what a full disk or a closed pipe did not take; the interpreter would complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
