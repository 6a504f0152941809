"""A child process: its lines go to a file, signals reach it once, and it can be watched."""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet  # of Python 3.10, another than the built-in
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class Ended(NamedTuple):
    """How a child ended."""

    status: int  # -n after signal n
    processor_seconds: float  # of itself and its own children, in the system too


@dataclass
class Children:
    """Runs children, each in the thread that asks for it, and passes signals on to all."""

    report: Callable[[str], None]  # told the newest line of a child from time to time
    every: float = 60.0  # seconds between two such lines
    keep: tuple[int, ...] = ()  # open file descriptors that children inherit, such as a lock's
    stopped_by: int | None = None  # number of the signal that ended the work
    _running: set[int] = field(default_factory=set)  # process numbers
    # One that a signal handler of the thread that holds it may take again.
    _lock: Any = field(default_factory=threading.RLock)

    def run(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Ended:
        """Run a command, its lines added to a file, and wait for its end."""
        with log.open("ab") as lines:
            # A session of its own: Ctrl-C in a terminal would reach the child a second time, which
            # tells it to drop everything.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                pass_fds=self.keep,
            )
        with self._lock:
            self._running.add(process.pid)
            if self.stopped_by is not None:  # it came while the child was being started
                _send(process.pid, self.stopped_by)
        try:
            ended = self._wait(process, log)
        finally:
            with self._lock:
                self._running.remove(process.pid)
        process.returncode = ended.status  # Popen did not wait itself
        return ended

    def _wait(self, process: subprocess.Popen, log: Path) -> Ended:
        """Wait for the end of a child and tell its newest line from time to time."""
        shown = ""
        with ThreadPoolExecutor(max_workers=1) as waiting:
            # Popen.wait would not say what the child took of the processor.
            end = waiting.submit(os.wait4, process.pid, 0)
            while True:
                try:
                    _, status, usage = end.result(timeout=self.every)
                    spent = usage.ru_utime + usage.ru_stime
                    return Ended(os.waitstatus_to_exitcode(status), spent)
                except NotYet:
                    before, shown = shown, last_line(log)
                if shown != before:
                    several = f"{log.parent.name}: " if len(self._running) > 1 else ""
                    self.report(f"    {several}{shown}")

    def stop(self, number: int) -> None:
        """Send a signal to every child; no further one goes on with its work."""
        with self._lock:
            self.stopped_by = number
            for process in self._running:
                _send(process, number)


def _send(process: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(process, number)


def last_line(log: Path, start: int = 0) -> str:
    """The last line of a file, from a byte on, that says something; "" where there is none."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - 4096))  # enough for a line
        said = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(said) if line.strip()), "")
