"""What a run says of itself: TensorBoard, metrics.jsonl, and lines or a bar for who watches."""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tools.files import write_whole

Row = dict[str, Any]
METRICS = "metrics.jsonl"


class RunLog:
    """Scalars of one run, in its checkpoint folder.

    TensorBoard events and one JSON object a line hold the same numbers. On a terminal a bar shows
    the epoch and leaves one line behind; elsewhere each row is a line of text.
    """

    def __init__(
        self,
        folder: Path,
        steps: int,
        epochs: int,
        first_step: int = 0,
        watched: Sequence[str] = (),
    ) -> None:
        """Open the logs, dropping what an interrupted run wrote beyond the step it resumes from.

        Args:
            folder: made if need be.
            steps: batches an epoch.
            epochs: of the whole run.
            first_step: first step, counted from 0 over all epochs, that will be logged.
            watched: names of shares in [0, 1] that a line shows beside the loss.
        """
        from torch.utils.tensorboard import SummaryWriter  # slow to import, needed by no one else

        folder.mkdir(parents=True, exist_ok=True)
        self.steps, self.epochs, self.watched = steps, epochs, watched
        self.path = folder / METRICS
        _keep_rows_before(self.path, first_step)
        self._file = self.path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder), purge_step=first_step)
        self._on_terminal = sys.stderr.isatty()
        self._bar: tqdm | None = None
        self._line = ""

    def start_epoch(self, epoch: int, batch: int = 0) -> None:
        """Begin to show an epoch, counted from 0, at one of its batches."""
        if self._on_terminal:
            title = f"epoch {epoch}/{self.epochs - 1}"
            self._bar = tqdm(total=self.steps, initial=batch, desc=title, unit="batch", leave=False)

    def advance(self) -> None:
        """One more batch is done."""
        if self._bar is not None:
            self._bar.update()

    def end_epoch(self) -> None:
        """Put the bar away, its last row in its place, and the epoch's rows on disk."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            self.say(self._line)
        self._file.flush()

    def write(self, row: Row) -> None:
        """Record one row.

        Args:
            row: `epoch`, `batch` and `step` (steps done, from 1) beside plain numbers.
        """
        self._file.write(json.dumps(row) + "\n")
        for name, value in row.items():
            if name not in ("epoch", "batch", "step"):
                self._board.add_scalar(name, value, row["step"])
        shares = [f"{name.replace('_', ' ')} {row[name]:.1%}  " for name in self.watched]
        self._line = (
            f"epoch {row['epoch']:3d}  batch {row['batch']:4d}/{self.steps}  "
            f"loss {row['loss']:.4f}  {''.join(shares)}"
            f"lr {row['learning_rate']:.2g}  {row['clips_per_second']:.0f} clips/s"
        )
        if self._bar is None:
            self.say(self._line)
        else:
            self._bar.set_postfix_str(f"loss {row['loss']:.3f}")

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        """Finish both files."""
        self.end_epoch()
        self._file.close()
        self._board.close()


class Silence:
    """In place of a RunLog where another process writes it: its methods do nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def read_rows(path: Path) -> list[Row]:
    """The rows of a metrics file, without those that an interruption cut or damage broke."""
    rows = []
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        with suppress(ValueError, RecursionError):  # no JSON
            row = json.loads(line)
            if isinstance(row, dict) and all(type(x) in (int, float) for x in row.values()):
                rows.append(row)
    return rows


def _keep_rows_before(path: Path, first_step: int) -> None:
    """Drop the rows after a step, and broken ones; the file stays whole."""
    if path.is_file():
        kept = [row for row in read_rows(path) if row.get("step", 0) <= first_step]
        text = "".join(f"{json.dumps(row)}\n" for row in kept)
        write_whole(path, lambda file: file.write(text.encode()))
