"""Which recording fills which row of which part of which protocol."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from dataset.arrays import SplitWriter
from dataset.protocols import PARTS, DataSet
from tools.prepare.pipeline.recordings import Recording
from tools.prepare.pipeline.work import Task


class Splits:
    """The parts of all protocols of a data set, on their way to disk.

    Attributes:
        writers: of the parts.
    """

    def __init__(
        self,
        dataset: DataSet,
        recordings: Sequence[Recording],
        out: Path,
        root: Path | None = None,
    ) -> None:
        """Deal the recordings out, in their order; nothing is written yet.

        Args:
            dataset: what they make up.
            recordings: all of them.
            out: the folder of all data sets.
            root: of all protocols, where they are put in place together.

        Raises:
            ValueError: when a part would be empty.
        """
        self._recordings, self.writers = recordings, list[SplitWriter]()
        self._rows: dict[tuple[str, str], list[int]] = {
            (protocol, part): [] for protocol in dataset.folders for part in PARTS
        }
        for index, recording in enumerate(recordings):
            for place in recording.parts.items():
                self._rows[place].append(index)
        for (protocol, part), indices in self._rows.items():
            if not indices:
                raise ValueError(
                    f"none of the {len(recordings)} recordings is in the {part} part of "
                    f"{protocol}; give --raw a folder with recordings for every part"
                )
            folder = out / dataset.folders[protocol]
            self.writers.append(SplitWriter(folder, part, len(indices), root=root))

    def tasks(self, done: Container[int]) -> list[Task]:
        """Return what is to be done for the recordings whose indices are not among those done."""
        rows: list[list[tuple[int, int]]] = [[] for _ in self._recordings]
        for writer, indices in enumerate(self._rows.values()):
            for row, index in enumerate(indices):
                rows[index].append((writer, row))
        every = map(Task, range(len(rows)), self._recordings, rows)
        return [task for task in every if task.index not in done]

    def describe(self, frames: Mapping[int, int]) -> None:
        """Leave out the rows that were never filled, and write what belongs to the others.

        Args:
            frames: recorded frames of the recordings that were prepared, by index.

        Raises:
            ValueError: when a part would be empty.
        """
        for writer, (place, indices) in zip(self.writers, self._rows.items(), strict=True):
            filled = [index for index in indices if index in frames]
            if len(filled) < len(indices):
                writer.drop(row for row, index in enumerate(indices) if index not in frames)
            self._rows[place] = filled
            writer.describe(
                names=[self._recordings[index].name for index in filled],
                labels=[self._recordings[index].label for index in filled],
                num_frames=[frames[index] for index in filled],
            )

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many clips each part of each protocol has."""
        counts: dict[str, dict[str, int]] = {}
        for (protocol, part), indices in self._rows.items():
            counts.setdefault(protocol, {})[part] = len(indices)
        return counts
