"""The journal: it takes up exactly what was saved, for exactly the same recordings and options."""

import errno
import os
import re

import pytest

from dataset.arrays import SplitWriter
from tools.prepare.pipeline import journal as module
from tools.prepare.pipeline.journal import Journal


@pytest.fixture
def writer(tmp_path):
    return SplitWriter(tmp_path / "xsub", "train", 3)


@pytest.fixture
def reopen(tmp_path, writer):
    """Open the journal as the next process would, the one before being gone."""
    opened = []

    def open_it(key: str = "key") -> Journal:
        if opened:
            opened[-1].close()
        opened.append(Journal(tmp_path / "journal", key, [writer]))
        return opened[-1]

    yield open_it
    opened[-1].close()


def test_saved_clips_are_taken_up_and_unsaved_ones_are_not(reopen):
    journal = reopen()
    assert journal.is_empty()
    journal.begin()
    journal.add(2, 80, "not found")
    journal.add(0, 1)
    journal.save()
    journal.add(1, 300, "found")
    journal = reopen()
    assert journal.resume()
    assert journal.frames == {2: 80, 0: 1}
    assert journal.notes == {2: "not found"}


def test_clips_are_saved_every_few_seconds(reopen, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_SAVES", -1.0)
    journal = reopen()
    journal.begin()
    journal.add(1, 300)
    journal = reopen()
    assert journal.resume()
    assert journal.frames == {1: 300}


def test_coordinates_are_on_the_disk_before_the_journal_says_so(reopen, writer, monkeypatch):
    journal = reopen()
    journal.begin()
    size = journal.path.stat().st_size
    sizes = []
    monkeypatch.setattr(writer, "sync", lambda: sizes.append(journal.path.stat().st_size))
    journal.add(0, 5)
    journal.save()
    assert sizes == [size]


def test_a_last_line_that_was_cut_short_is_dropped_for_good(reopen):
    journal = reopen()
    journal.begin()
    journal.add(0, 17)
    journal.add(1, 23)
    journal.save()
    journal.path.write_bytes(journal.path.read_bytes()[:-2])
    journal = reopen()
    assert journal.resume()
    assert journal.frames == {0: 17}
    journal.add(2, 9)
    journal.save()
    journal = reopen()
    assert journal.resume()
    assert journal.frames == {0: 17, 2: 9}


def test_nothing_is_taken_up_for_another_key_or_without_the_coordinates(reopen, writer):
    journal = reopen()
    assert not journal.resume()
    journal.begin()
    assert not reopen("another key").resume()
    assert reopen().resume()
    writer.discard()
    assert not reopen().resume()


def test_what_a_journal_says_is_forgotten_when_it_begins_anew(reopen):
    for index in (0, 1):
        journal = reopen()
        journal.begin()
        journal.add(index, 17)
        journal.save()
    journal = reopen()
    assert journal.resume()
    assert journal.frames == {1: 17}


def test_a_forgotten_journal_is_not_taken_up_not_even_after_a_power_cut(reopen, monkeypatch):
    reopen().begin()
    journal, sizes = reopen(), []
    monkeypatch.setattr(os, "fsync", lambda file: sizes.append(os.fstat(file).st_size))
    journal.forget()
    assert sizes == [0]
    journal = reopen()
    assert journal.is_empty()
    assert not journal.resume()


def test_two_cannot_write_at_once(reopen, tmp_path, writer):
    reopen()
    with pytest.raises(ValueError, match="another preparation is writing here; wait for it"):
        Journal(tmp_path / "journal", "key", [writer])


def test_discarding_leaves_no_file(reopen, tmp_path):
    journal = reopen()
    journal.begin()
    journal.discard()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_disk_that_takes_a_part_leaves_no_half_line_that_is_gone_on_in(reopen, monkeypatch):
    journal = reopen()
    journal.begin()
    journal.add(0, 17)
    journal.save()
    file, room = journal._file, [3]

    class Small:
        """The journal's file on a disk with three bytes of room."""

        def write(self, content: bytes) -> int:
            if not room[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            taken, room[0] = content[: room[0]], 0
            return file.write(taken)

        def __getattr__(self, name: str) -> object:
            return getattr(file, name)

    journal.add(1, 23)
    journal._file = Small()
    with pytest.raises(OSError, match=re.escape(str(journal.path))):
        journal.save()
    room[0] = 1000  # somebody made room
    journal.save()
    journal._file = file
    journal = reopen()
    assert journal.resume()
    assert journal.frames == {0: 17, 1: 23}
