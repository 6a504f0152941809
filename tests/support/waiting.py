"""How tests wait for another process and stop it; none of it reads a clock."""

import sys
import threading
from collections.abc import Callable, Sequence
from subprocess import Popen

HANGS = 600
"""Seconds after which a wait gives up: it only ends a test that hangs, on a busy machine too."""
_PAUSE = 0.01


def wait_until(condition: Callable[[], bool], process: Popen | None = None) -> None:
    """Wait for a condition that another thread or process will make true.

    Args:
        condition: looked at again and again.
        process: who makes it true; the wait fails when it ends before.
    """
    for _ in range(int(HANGS / _PAUSE)):
        ended = process is not None and process.poll() is not None
        if condition():
            return
        assert not ended, f"it ended with status {process.returncode} before what was waited for"
        threading.Event().wait(_PAUSE)
    raise AssertionError("what was waited for did not come")


def heeding_interrupts(command: Sequence[str]) -> list[str]:
    """The command, run so that SIGINT reaches it.

    A script that starts the tests in the background lets them ignore SIGINT, and children inherit
    that.
    """
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    return [sys.executable, "-c", program, *command]
