"""Errors a reader can act on: one line, no traceback. Imports nothing heavy."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

EXPECTED = (OSError, ValueError, FloatingPointError)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn an expected error into one line on stderr and exit status 2.

    Expected are OSError, ValueError, FloatingPointError and a full device: what a bad path, a bad
    file, a bad option, a diverged run or too large a batch raises. Set HICO_TRACEBACK=1 to see
    where it came from.

    Raises:
        SystemExit: status 2, in place of the expected error.
    """
    try:
        yield
    except Exception as error:
        # By name: whoever raises it has loaded torch, who only prepares data has no need of it.
        full = type(error).__name__ == "OutOfMemoryError"
        if os.environ.get("HICO_TRACEBACK") or not (full or isinstance(error, EXPECTED)):
            raise
        text = " ".join(str(error).split())
        if full:
            text = f"the device is full; choose a smaller --batch-size ({text})"
        print(f"error: {text}", file=sys.stderr)
        raise SystemExit(2) from None
