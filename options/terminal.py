"""What is printed reaches the terminal as text: names in files of others cannot steer it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    """Escape what is printed meanwhile; on stderr a bar may still return to its line's start."""
    before = sys.stdout, sys.stderr
    # None is a stream that was closed, or of a process that is to print nothing: it stays so.
    sys.stdout, sys.stderr = (
        stream and _Escaped(stream, kept)
        for stream, kept in zip(before, ("\n\t", "\n\t\r"), strict=True)
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
