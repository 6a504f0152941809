"""What every script needs around its work: a device, a seed, and errors a reader can act on."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn an expected error into one line on stderr and exit status 2.

    Expected are OSError, ValueError and FloatingPointError: what a bad path, a bad file, a bad
    option or a diverged run raises. Set HICO_TRACEBACK=1 to see where it came from.

    Raises:
        SystemExit: status 2, in place of the expected error.
    """
    try:
        yield
    except (OSError, ValueError, FloatingPointError) as error:
        if os.environ.get("HICO_TRACEBACK"):
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
