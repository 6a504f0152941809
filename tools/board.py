"""TensorBoard's events of one folder; where the disk is full, that is an error with a name."""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tools.files import naming

EVENTS = "events.out.tfevents.*"
"""What the files are called."""


class Board:
    """Scalars over steps, and whatever summaries are made elsewhere."""

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        """Open a new file of events.

        Args:
            folder: made if need be.
            purge_step: TensorBoard drops earlier points from this step on, the step itself too.
        """
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self._path = folder / EVENTS
        # Its thread raises its errors in this one, too, where they are reported in one line.
        self._hook, threading.excepthook = threading.excepthook, lambda given: None
        with naming(self._path):
            self._writer = SummaryWriter(str(folder), purge_step=purge_step)

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Write one point."""
        with naming(self._path):
            self._writer.add_scalar(tag, value, step)

    def summaries(self, summaries: Iterable[Any]) -> None:
        """Write summaries that TensorBoard has made."""
        with naming(self._path):
            for summary in summaries:
                self._writer.file_writer.add_summary(summary)

    def flush(self) -> None:
        """Put all points on disk."""
        with naming(self._path):
            self._writer.flush()

    def close(self) -> None:
        """Put all points on disk, and write no more."""
        with naming(self._path):
            self._writer.close()
        threading.excepthook = self._hook  # not after a fault: the thread may be about to raise it
