"""A full disk is one line, whatever writes; what was there stays, and the run after it is whole."""

import errno

import pytest
import torch

from dataset.arrays import SplitWriter
from tests import disks


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    torch.set_num_threads(1)  # a forked process has no other thread
    path = tmp_path_factory.mktemp("inputs")
    disks.write_inputs(path, actions=2)
    return path


@pytest.mark.parametrize(
    ("name", "rooms"),
    [
        ("pretraining", (40_000,)),
        ("classification", (0,)),
        ("retrieval", (0,)),
        ("frame50", (0, 300_000)),
        ("custom", (0, 2_400_000)),
    ],
)
def test_a_command_with_so_much_room_ends_in_one_line_or_as_it_should(
    name, rooms, inputs, tmp_path
):
    case = disks.Case(name, inputs, tmp_path)
    with disks.disk() as disk:
        tried = [case.trial(room, disk) for room in rooms]
    assert [faults for _, faults in tried] == [[]] * len(rooms)
    assert tried[0][0] == "full"


@pytest.mark.parametrize(("room", "stopped"), [(0, "labels"), (600_000, "num_frames")])
def test_a_full_disk_under_names_or_frame_counts_names_their_file(room, stopped):
    clips = 100_000  # names that are one and the same take 4 bytes a clip, frame counts 8
    with disks.disk() as disk:
        writer = SplitWriter(disk / "xview", "train", clips)
        writer.unfinished.mkdir(parents=True)
        with disks.filled(disk, room), pytest.raises(OSError, match="No space left") as raised:
            writer.describe(["a"] * clips, [0] * clips, [1] * clips)
        assert raised.value.errno == errno.ENOSPC
        assert raised.value.filename == str(writer.place(getattr(writer.files, stopped)))
