"""What is done for each recording, in any process: read, check, normalise, write.

Axes: C=3 coordinates (metres), F frames, V=25 joints, M=2 bodies.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dataset.arrays import SplitWriter
from dataset.reading import brief
from dataset.skeleton import MAX_FRAMES, NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from tools.prepare.pipeline.recordings import EmptyClipError, Noted, Recording


class Task(NamedTuple):
    """A recording, its index in the collection, and its rows: (number of the writer, row)."""

    index: int
    recording: Recording
    rows: list[tuple[int, int]]


class Outcome(NamedTuple):
    """What became of a task: recorded frames, or what is wrong with the file, or nothing.

    `note` is a key of the collection's notes, or "".
    """

    index: int
    num_frames: int = 0
    fault: str = ""
    note: str = ""


@dataclass(frozen=True)
class Work:
    """Turns a task into its outcome; picklable when `read` is.

    Attributes:
        read: the collection's way to read a recording.
        normalise: the collection's way to normalise it.
        rotate_z: whether the first frame's spine is turned onto +z.
        writers: what writes the rows.
    """

    read: Callable[[Recording], np.ndarray | Noted]
    normalise: Callable[[np.ndarray, bool], np.ndarray]
    rotate_z: bool
    writers: list[SplitWriter]

    def __call__(self, task: Task) -> Outcome:
        """Prepare one recording.

        Raises:
            OSError: when it cannot be written; that it cannot be read is an outcome.
        """
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # `check` names what is not finite
                found = self.read(task.recording)
            parsed, note = found if isinstance(found, Noted) else (found, "")
            check(parsed)
        except EmptyClipError as error:
            return Outcome(task.index, note=str(error))
        except (ValueError, OSError) as error:
            return Outcome(task.index, fault=" ".join(str(error).split()))
        except Exception as error:  # a damaged file may make a reader raise nearly anything
            return Outcome(task.index, fault=f"it cannot be read ({brief(error)})")
        clip = self.normalise(parsed, self.rotate_z)
        for number, row in task.rows:
            self.writers[number].write(row, clip)
        return Outcome(task.index, parsed.shape[1], note=note)


def check(parsed: np.ndarray) -> None:
    """Check what a format has read: (3, F, 25, 2), 1 to 300 frames, all values finite.

    Raises:
        ValueError: when it is not like that.
    """
    num_frames = parsed.shape[1]
    expected = (NUM_COORDINATES, num_frames, NUM_JOINTS, NUM_BODIES)
    if parsed.shape != expected:
        raise ValueError(f"its coordinates have shape {parsed.shape}, not {expected}")
    if not 1 <= num_frames <= MAX_FRAMES:
        raise ValueError(f"it has {num_frames} frames, not 1 to {MAX_FRAMES}")
    finite = np.isfinite(parsed).all(axis=(0, 2, 3))
    if not finite.all():
        raise ValueError(f"it has a coordinate that is not finite in frame {finite.argmin()}")
