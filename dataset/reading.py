"""Files of others: whatever a reader raises becomes one line, and their values are shown in short.

Imports nothing heavy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reading(path: Path | str, what: str, next_step: str = "") -> Iterator[None]:
    """Turn whatever damage makes a reader raise into a ValueError of one line.

    Only the call of the reader belongs inside; what we say of its content ourselves does not.

    Args:
        path: the file.
        what: it should be, as "a whole .npy file".
        next_step: what to do about it.

    Raises:
        ValueError: for every exception but those of the system, which name the file themselves.
        OSError: the system's own.
    """
    try:
        yield
    except Exception as error:  # readers raise nearly anything: IndexError, MemoryError, …
        if isinstance(error, OSError) and error.filename:
            raise
        then = f"; {next_step}" if next_step else ""
        raise ValueError(f"{path} is not {what} ({brief(error)}){then}") from None


def brief(error: BaseException) -> str:
    """Say an error in at most 160 letters of one line; its type where it has no text."""
    return " ".join(str(error).split())[:160] or type(error).__name__


def shown(value: object) -> str:
    """Show a value of a file in a message: a number or a short text itself, else its type."""
    if isinstance(value, int | float | str | None) and len(text := str(value)[:60]) < 60:
        return text
    return f"a {type(value).__name__}"
