"""TensorBoard's events on a full disk."""

import errno
import os
import re
import threading

import pytest
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import scalar

from tools.board import EVENTS, Board


@pytest.fixture
def printed(monkeypatch):
    """What threads print of the errors that end them."""
    found = []
    monkeypatch.setattr(threading, "excepthook", found.append)
    return found


def test_a_full_disk_is_one_error_with_the_file_and_no_thread_prints_its_own(
    tmp_path, monkeypatch, printed
):
    def full(writer, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    others = threading.enumerate()
    board = Board(tmp_path)
    (thread,) = set(threading.enumerate()) - set(others)
    monkeypatch.setattr(RecordWriter, "write", full)
    named = re.escape(f"{tmp_path / EVENTS}: the disk is full; ")
    with pytest.raises(OSError, match=named):
        board.summaries([scalar("loss/total", 1.0)] * 1000)
    thread.join()
    for method in (lambda: board.scalar("loss/total", 1.0, 2), board.flush, board.close):
        with pytest.raises(OSError, match=named):
            method()
    threading.excepthook("of a thread that ends late")
    assert printed == []


def test_a_board_that_is_closed_leaves_other_threads_their_errors(tmp_path, printed):
    Board(tmp_path).close()
    threading.excepthook("an error")
    assert printed == ["an error"]
