"""A child process: its lines go to a file, signals reach it once, and it can be watched."""

import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType


@dataclass
class Children:
    """Runs one child at a time and passes signals on."""

    report: Callable[[str], None]  # told the newest line of a child from time to time
    every: float = 60.0  # seconds between two such lines
    keep: tuple[int, ...] = ()  # open file descriptors that children inherit, such as a lock's
    stopped_by: int | None = None  # number of the signal that ended the work
    _process: subprocess.Popen | None = None

    def run(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
        """Run a command, its lines added to a file; its exit status, -n after signal n."""
        with log.open("ab") as lines:
            # A session of its own: Ctrl-C in a terminal would reach the child a second time, which
            # tells it to drop everything.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                pass_fds=self.keep,
            )
        if self.stopped_by is not None:  # it came while the child was being started
            self._process.send_signal(self.stopped_by)
        shown = ""
        while True:
            try:
                return self._process.wait(timeout=self.every)
            except subprocess.TimeoutExpired:
                before, shown = shown, last_line(log)
            if shown != before:
                self.report(f"    {shown}")

    @contextmanager
    def passing_signals(self) -> Iterator[None]:
        """Hand SIGINT and SIGTERM to the child in hand; the work stops when it has ended."""

        def _pass_on(number: int, _frame: FrameType | None) -> None:
            self.stopped_by = number
            if self._process is not None:
                self._process.send_signal(number)  # does nothing once it has ended

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, _pass_on) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def last_line(log: Path, start: int = 0) -> str:
    """The last line of a file, from a byte on, that says something; "" where there is none."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - 4096))  # enough for a line
        said = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(said) if line.strip()), "")
