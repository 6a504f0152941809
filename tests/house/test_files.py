"""Files appear whole, or what was there stays; a full disk and a dead process are no exception."""

import errno
import fcntl
import io
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.support.paths import ROOT
from tools import files
from tools.checkpoint import save_whole
from tools.files import held, open_locked, remove_abandoned, write_whole


def content(file):
    file.write(b"new")


def test_a_file_has_the_mode_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", content)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_temporary_name_is_new_each_time_and_no_link_is_followed(tmp_path, monkeypatch):
    seen = []

    def look(file):
        seen.extend(path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp"))

    for _ in range(2):
        write_whole(tmp_path / "file", look)
    assert len(set(seen)) == 2
    assert all(re.fullmatch(r"\.file\.[0-9a-f]{16}\.tmp", name) for name in seen)

    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "guessed")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".file.guessed.tmp").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "file", content)
    assert victim.read_text() == "precious"


def test_the_folder_is_on_the_disk_after_the_name(tmp_path, monkeypatch):
    synced, replaced = [], []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor):
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), len(replaced)))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda *names: (replaced.append(names), replace(*names)))
    write_whole(tmp_path / "file", content)
    assert synced[-1] == (str(tmp_path), 1)
    assert synced[0][1] == 0


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    program = (
        "import os, pathlib, sys\n"
        "from tools.files import write_whole\n"
        "def die(file):\n"
        "    file.write(b'half')\n"
        "    os.kill(os.getpid(), 9)\n"
        "write_whole(pathlib.Path(sys.argv[1]) / 'file', die)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT)
    (left,) = tmp_path.iterdir()
    (tmp_path / ".notes.of.mine").write_text("foreign")

    def beside(file):
        remove_abandoned(tmp_path)  # as another process that begins meanwhile
        file.write(b"mine")

    write_whole(tmp_path / "other", beside)
    assert not left.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.of.mine", "other"]


WRITERS = {
    "bytes": lambda path: write_whole(path, lambda file: file.write(bytes(150_000))),
    "checkpoint": lambda path: save_whole({"x": torch.zeros(150_000)}, path),
    "npz": lambda path: write_whole(path, lambda file: np.savez(file, x=np.zeros(150_000))),
}


@pytest.mark.parametrize("room", [0, 1, 5_000, 100_000])
@pytest.mark.parametrize("what", WRITERS)
def test_a_full_disk_is_one_error_with_file_and_space_and_old_files_stay(
    what, room, tmp_path, monkeypatch
):
    path = tmp_path / "file"
    path.write_text("old")
    left = [room]

    class Disk(io.FileIO):
        def write(self, data):
            left[0] -= len(data)
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    class Raw(files._Raw, Disk):
        """Ours, above that disk."""

    monkeypatch.setattr(files, "_Raw", Raw)
    with pytest.raises(OSError, match=re.escape(f"{path}: the disk is full; it needs ")) as error:
        WRITERS[what](path)
    assert re.search(
        r"needs (150\.0 kB|60\d\.\d kB|1\.2 MB), .* free: free some or choose", str(error.value)
    )
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True)
    except OSError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip("mounting is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("filled", [0, 500, 900, 1000, 1010, 1016, 1020])
def test_a_disk_that_is_full_indeed(filled, small_disk):
    path = small_disk / "file"
    path.write_text("old")
    (small_disk / "filling").write_bytes(bytes(filled * 1024))
    with pytest.raises(OSError, match=re.escape(f"{path}: the disk is full; it needs 2.0 MB")):
        save_whole({"x": torch.zeros(500_000)}, path)
    assert path.read_text() == "old"
    assert len(list(small_disk.iterdir())) == 2


def test_a_target_that_cannot_be_replaced_is_named(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match=re.escape(str(tmp_path / "file")) + "'$"):
        write_whole(tmp_path / "file", content)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_an_error_of_the_writer_itself_comes_out_as_it_is(tmp_path):
    def fail(file):
        raise KeyError("bug")

    with pytest.raises(KeyError, match="bug"):
        write_whole(tmp_path / "file", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_follows_no_link(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".lock").symlink_to(victim)
    with pytest.raises(OSError), held(tmp_path):  # noqa: PT011
        pass
    assert victim.read_text() == "precious"


def test_a_lock_is_on_the_file_that_others_may_lock_too(tmp_path):
    with held(tmp_path), (tmp_path / ".lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("again", [False, True])
def test_a_lock_is_on_the_file_that_is_there_and_not_on_one_removed_before(
    again, tmp_path, monkeypatch
):
    path, lock, locked = tmp_path / ".lock", files._lock, []

    def late(descriptor):
        if not locked:  # the one that held it removes it first, and another may make it anew
            path.unlink()
            if again:
                path.touch()
        locked.append(descriptor)
        return lock(descriptor)

    monkeypatch.setattr(files, "_lock", late)
    with open_locked(path) as file:
        assert os.path.samestat(path.stat(), os.fstat(file.fileno()))
