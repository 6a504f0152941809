"""Errors a reader can act on: one line, no traceback. Imports nothing heavy."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from options.terminal import drop_unwritable, escaped_output
from tools.files import FULL, no_room

EXPECTED = (OSError, ValueError, FloatingPointError)
ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn an expected error into one line on stderr and exit status 2.

    Expected are OSError, ValueError, FloatingPointError, a full device and a package that is not
    installed: what a bad path, a bad file, a bad option, a diverged run, too large a batch or
    another interpreter raises. Set HICO_TRACEBACK=1 to see where it came from.

    Raises:
        SystemExit: status 2, in place of the expected error.
    """
    with escaped_output():
        try:
            yield
            sys.stdout.flush()  # when the interpreter ends it is too late for a line of ours
        except Exception as error:
            text = _one_line(error)
            if os.environ.get("HICO_TRACEBACK") or text is None:
                raise
            with suppress(OSError):  # where stderr itself takes no more
                print(f"error: {text}", file=sys.stderr)
            drop_unwritable()
            raise SystemExit(2) from None


def _one_line(error: Exception) -> str | None:
    """Say what is wrong and what to do, or return None for what nobody expects."""
    if isinstance(error, OSError) and error.errno in (errno.EPIPE, *FULL):
        if error.filename is None:  # files have a name; the standard streams have none
            return f"what is printed finds no place: {error.strerror}; send it elsewhere"
        error = no_room(Path(os.fsdecode(error.filename)), error)
    text = " ".join(str(error).split())
    # By name: whoever raises it has loaded torch, who only prepares data has no need of it.
    if type(error).__name__ == "OutOfMemoryError":
        return f"the device is full; choose a smaller --batch-size ({text})"
    if isinstance(error, ModuleNotFoundError) and _is_of_others(error.name):
        return (
            f"the package {error.name.partition('.')[0]} is missing in {sys.executable}; use the "
            "project's .venv/bin/python, or run pip install -r requirements.txt"
        )
    return text if isinstance(error, EXPECTED) else None


def _is_of_others(module: str | None) -> bool:
    """Whether a module comes neither with the project nor with Python."""
    if not module:
        return False
    package = module.partition(".")[0]
    ours = (ROOT / package).is_dir() or (ROOT / f"{package}.py").is_file()
    return not ours and package not in sys.stdlib_module_names
