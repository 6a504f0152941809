"""Which recording fills which row of which part of which protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset.arrays import SplitWriter
from dataset.protocols import PARTS, DataSet
from tools.prepare.pipeline.recordings import Recording


@dataclass
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
        self.indices = [index for index in self.indices if index in frames]
        filled = [recordings[index] for index in self.indices]
        self.writer.describe(
            names=[recording.name for recording in filled],
            labels=[recording.label for recording in filled],
            num_frames=[frames[index] for index in self.indices],
        )


def plan(dataset: DataSet, recordings: Sequence[Recording], out: Path) -> list[Split]:
    """Deal the recordings out, in their order, to the parts of all protocols.

    Raises:
        ValueError: when a part would be empty.
    """
    dealt: dict[tuple[str, str], list[int]] = {
        (protocol, part): [] for protocol in dataset.folders for part in PARTS
    }
    for index, recording in enumerate(recordings):
        for place in recording.parts.items():
            dealt[place].append(index)
    for (protocol, part), indices in dealt.items():
        if not indices:
            raise ValueError(
                f"none of the {len(recordings)} recordings is in the {part} part of {protocol}; "
                "give --raw a folder with recordings for every part"
            )
    return [
        Split(
            protocol,
            part,
            indices,
            SplitWriter(out / dataset.folders[protocol], part, len(indices)),
        )
        for (protocol, part), indices in dealt.items()
    ]
