"""SIGINT and SIGTERM end a command in one line, from its first line on. Imports nothing heavy.

A command asks for it before it imports anything else, and only where it is the program:

    if __name__ == "__main__":
        from tools.signals import answer_signals

        answer_signals()
"""

import os
import signal
import sys
from types import FrameType


def answer_signals() -> None:
    """Let SIGINT and SIGTERM end this process at once, wherever it is.

    One line on stderr and exit status 128 + n for signal n: 130 or 143. Who has work to save
    replaces this by `tools.runtime.until_signal`. A signal that is ignored, as SIGINT is in a shell
    script's background, stays ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _leave)


def _leave(number: int, _frame: FrameType | None) -> None:
    """End without an exception: one that is raised amid an import may be printed or swallowed."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    os.write(2, f"stopped by {signal.Signals(number).name}\n".encode())
    _tidy()
    os._exit(128 + number)


def _tidy() -> None:
    """End the worker processes and remove the half-written files of this process."""
    from contextlib import suppress  # only needed now

    loaded = sys.modules.get("multiprocessing")
    if loaded is not None and hasattr(loaded, "active_children"):  # it may be half imported
        for process in loaded.active_children():
            process.kill()
    files = sys.modules.get("tools.files")
    for path in tuple(getattr(files, "UNFINISHED", ())):
        with suppress(OSError):
            os.unlink(path)
