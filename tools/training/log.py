"""What a run says of itself: TensorBoard, metrics.jsonl, and lines or a bar for who watches."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic as clock
from time import strftime
from typing import Any, TextIO

from tqdm import tqdm

from options.parser import flat
from tools.board import Board
from tools.files import naming, write_whole

Row = dict[str, Any]
METRICS = "metrics.jsonl"
PLACE = ("epoch", "batch", "step")
"""Where in the run a row stands: epoch and batch within it, and steps done."""
TAGS = {
    "loss": "loss/total",
    "learning_rate": "train/learning_rate",
    "clips_per_second": "speed/clips_per_second",
}
"""What TensorBoard calls a value, where its group and name do not say it."""
ASIDE = ("checkpoints.", "watch.")
"""Options that change no number: TensorBoard's table, which shows few, goes without them."""

BAR = "{desc} {percentage:.0f}%|{bar}|{remaining} left{postfix}"
"""Short, so that 80 columns hold loss, score, the best one and chance."""


class RunLog:
    """Scalars of one run, in its checkpoint folder.

    TensorBoard events and one JSON object a line hold the same numbers. A terminal shows one bar
    for the whole run; elsewhere a line of text says how far it is, now and then.

    Attributes:
        earlier: the rows of the run that this one goes on from.
    """

    def __init__(
        self,
        folder: Path,
        steps: int,
        epochs: int,
        first_step: int = 0,
        watched: Sequence[str] = (),
        seconds: float = 30.0,
    ) -> None:
        """Open the logs, dropping what an interrupted run wrote beyond the step it resumes from.

        Args:
            folder: made if need be.
            steps: batches an epoch.
            epochs: of the whole run.
            first_step: first step, counted from 0 over all epochs, that will be logged.
            watched: names of shares in [0, 1] that a line shows beside the loss.
            seconds: between two lines, at least.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.steps, self.epochs, self.watched, self.seconds = steps, epochs, watched, seconds
        self.path = folder / METRICS
        self.earlier = _keep_rows_before(self.path, first_step)
        self._file = self.path.open("a", encoding="utf-8")
        self._board = Board(folder, purge_step=first_step + 1)
        self._began, self._first, self._done = clock(), first_step, first_step
        self._said, self._line, self._score = -float("inf"), "", ""
        self._bar: tqdm | None = None
        if _shows_bars(sys.stderr):
            total = steps * epochs
            self._bar = tqdm(total=total, initial=first_step, bar_format=BAR, dynamic_ncols=True)

    def describe(self, settings: Mapping[str, Any]) -> None:
        """Write down the options of the run as TensorBoard's hyper-parameters, in nested groups."""
        from torch.utils.tensorboard.summary import hparams

        plain = {
            name.replace(".", "/"): value if isinstance(value, int | float) else str(value)
            for name, value in flat(settings).items()
            if not name.startswith(ASIDE)
        }
        # As add_hparams, which would put them in a folder, and so a run, of their own.
        self._board.summaries(hparams(plain, {"loss/total": 0.0, "eval/knn1": 0.0}))

    def start_epoch(self, epoch: int) -> None:
        """Begin to show an epoch, counted from 0."""
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {epoch}/{self.epochs - 1}")

    def advance(self) -> None:
        """One more batch is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()

    def end_epoch(self) -> None:
        """Put the epoch's rows on disk, in both files."""
        with naming(self.path):
            self._file.flush()
        self._board.flush()

    def write(self, row: Row) -> None:
        """Record one row of losses: PLACE beside plain numbers."""
        self.record(row)
        shares = [f"{name.replace('_', ' ')} {row[name]:.1%}  " for name in self.watched]
        self._line = (
            f"epoch {row['epoch']:3d}  batch {row['batch']:4d}/{self.steps}  "
            f"loss {row['loss']:.4f}  {''.join(shares)}"
            f"lr {row['learning_rate']:.2g}  {row['clips_per_second']:.0f} clips/s"
        )
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {row['loss']:.3g} {self._score}".rstrip())
        elif clock() - self._said >= self.seconds:
            self._say_line()

    def record(self, row: Row, on_disk: bool = True) -> None:
        """Record numbers without a line of text.

        Args:
            row: PLACE beside plain numbers; a name without a group is of a loss.
            on_disk: whether metrics.jsonl has them too.
        """
        if on_disk:
            with naming(self.path):
                self._file.write(json.dumps(row) + "\n")
        for name, value in row.items():
            if name not in PLACE:
                self._board.scalar(self._tag(name), value, row["step"])

    def _tag(self, name: str) -> str:
        """What TensorBoard calls a value: "group/name"."""
        group = "train" if name in self.watched else "loss"
        return TAGS.get(name, name if "/" in name else f"{group}/{name}")

    def score(self, text: str) -> None:
        """Show an evaluation of the run beside its loss, from now on."""
        self._score = text
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        if sys.stdout is not None:  # it may be closed
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def close(self) -> None:
        """Finish both files, and leave the last row behind."""
        if self._line:
            self._say_line()
        if self._bar is not None:
            self._bar.close()
        with naming(self.path):
            self._file.close()
        self._board.close()

    def _say_line(self) -> None:
        """Print the last row, the time of day and how long it will go on."""
        done, gone = self._done - self._first, clock() - self._began
        left = gone / max(done, 1) * (self.steps * self.epochs - self._done)
        times = f"{strftime('%H:%M:%S')}, {tqdm.format_interval(left)} left"
        self.say("  ".join(part for part in (self._line, self._score, times) if part))
        self._said, self._line = clock(), ""


class Silence:
    """In place of a RunLog where another process writes it: its methods do nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def _shows_bars(stream: TextIO) -> bool:
    """Whether a bar can be seen there; on a terminal of unknown width tqdm draws none."""
    with suppress(OSError):  # it says no size
        return stream.isatty() and os.get_terminal_size(stream.fileno()).columns > 0
    return True


def read_rows(path: Path) -> list[Row]:
    """The rows of a metrics file, without those that an interruption cut or damage broke."""
    rows = []
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        with suppress(ValueError, RecursionError):  # no JSON
            row = json.loads(line)
            if isinstance(row, dict) and all(type(x) in (int, float) for x in row.values()):
                rows.append(row)
    return rows


def _keep_rows_before(path: Path, first_step: int) -> list[Row]:
    """Drop the rows after a step, and broken ones; return those that are kept."""
    if not path.is_file():
        return []
    # A run from the start has none before it.
    kept = [row for row in read_rows(path) if 0 < first_step >= row.get("step", 0)]
    text = "".join(f"{json.dumps(row)}\n" for row in kept)
    write_whole(path, lambda file: file.write(text.encode()))
    return kept
