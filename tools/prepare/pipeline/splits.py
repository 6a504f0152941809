"""Which recording fills which row of which part of which protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset.arrays import SplitWriter
from dataset.protocols import PARTS, DataSet
from tools.prepare.pipeline.recordings import Recording


@dataclass(frozen=True)
class Split:
    """One part of one protocol.

    Attributes:
        protocol: name of the protocol.
        part: "train" or "val".
        indices: for each row, the index of the recording that fills it.
        writer: writes the rows.
    """

    protocol: str
    part: str
    indices: list[int]
    writer: SplitWriter

    def describe(self, recordings: Sequence[Recording], frames: Mapping[int, int]) -> None:
        """Leave out the rows that were never filled, and write what belongs to the others.

        Args:
            recordings: all recordings.
            frames: recorded frames of those that were prepared, by index.

        Raises:
            ValueError: when no row is left.
        """
        empty = [row for row, index in enumerate(self.indices) if index not in frames]
        if empty:
            self.writer.drop(empty)
        self.indices[:] = [index for index in self.indices if index in frames]
        self.writer.describe(
            [recordings[index].name for index in self.indices],
            [recordings[index].label for index in self.indices],
            [frames[index] for index in self.indices],
        )


def plan(dataset: DataSet, recordings: Sequence[Recording], out: Path) -> list[Split]:
    """Deal the recordings out, in their order, to the parts of all protocols.

    Raises:
        ValueError: when a part would be empty.
    """
    splits = []
    for protocol, folder in dataset.folders.items():
        for part in PARTS:
            indices = [
                index
                for index, recording in enumerate(recordings)
                if recording.parts.get(protocol) == part
            ]
            if not indices:
                raise ValueError(
                    f"none of the {len(recordings)} recordings is in the {part} part of "
                    f"{protocol}; give --raw a folder with recordings for every part"
                )
            writer = SplitWriter(out / folder, part, len(indices))
            splits.append(Split(protocol, part, indices, writer))
    return splits


def places(splits: Sequence[Split], count: int) -> list[list[tuple[int, int]]]:
    """Return, for each of `count` recordings, the splits that it is in and its rows in them."""
    rows: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for number, split in enumerate(splits):
        for row, index in enumerate(split.indices):
            rows[index].append((number, row))
    return rows
