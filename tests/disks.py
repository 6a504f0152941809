"""Let the disk be full for whatever writes, at many sizes: `python -m tests.disks [what …]`.

A trial runs one of the commands of `tests.kills` over what an earlier run of it left, on a file
system with so much room, and again where the disk is full no longer. The first run ends by itself,
or with status 2 and one line that names the file and the room; what was there before is there still
or is replaced by what is whole; the second one ends as one that always had room. It ends with
status 1 where anything else was seen. Mounting takes root; a few trials stand in the test suite.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests import kills
from tests.prepare.kills import write_custom, write_frame50
from tools.files import TEMPORARY
from tools.zips import check

KIB, MIB = 1024, 1024**2
ROOMS = (*(KIB * n for n in (0, 4, 8, 16, 32, 64, 128, 256, 512)), *(MIB * n for n in range(1, 8)))
ROOMS += tuple(MIB * n for n in range(8, 65, 4))
"""Bytes that are free on a disk."""
LARGER = {"--hidden-size": "64", "--hico-dim": "64", "--hico-k": "8192"}
"""Of pre-trainings, so that their checkpoints take megabytes."""
LARGEST = "size=1g"
ATOMIC = ("retrieval", "features", "report", "prepare", "frame50", "custom")
"""Commands that leave all of the old or all of the new."""
LINE = re.compile(r"error: (?:--out )?(\S+): (the disk is full; .* free|.* needed and .* free)")


@contextlib.contextmanager
def disk() -> Iterator[Path]:
    """A file system of its own; skips the test where none can be mounted."""
    with tempfile.TemporaryDirectory(prefix="hico-disk-") as place:
        mount = ["mount", "-t", "tmpfs", "-o", LARGEST, "tmpfs", place]
        try:
            done = subprocess.run(mount, capture_output=True, check=False)
        except OSError:
            pytest.skip("there is no mount here")
        if done.returncode:
            pytest.skip("mounting is not permitted here")
        try:
            Path(place, "something").write_bytes(b"1")  # a size of 0 would be without end
            yield Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


@contextlib.contextmanager
def filled(place: Path, room: int) -> Iterator[None]:
    """Leave a disk so many bytes of room, meanwhile."""
    now = os.statvfs(place)
    size = (now.f_blocks - now.f_bfree) * now.f_frsize + room
    remount = ["mount", str(place), "-o"]
    subprocess.run([*remount, f"remount,size={size}"], check=True)
    yield
    subprocess.run([*remount, f"remount,{LARGEST}"], check=True)


def older(name: str, inputs: Path, folder: Path) -> None:
    """Leave what an earlier run leaves: half of it, or of other recordings."""
    if name == "pretraining":
        kills.pretraining.main(
            [*("--data-path", str(inputs), "--checkpoint-path", str(folder))]
            + [*kills.PRETRAINING, "--epochs", "3"]
        )
    elif name in ("prepare", "frame50", "custom"):
        kills.WORKS[name][0](inputs / "older", folder)
    elif name == "reproduce":
        (folder / "table.json").parent.mkdir()
    else:
        kills.WORKS[name][0](inputs, folder)


def write_inputs(folder: Path, actions: int) -> None:
    """Write what the commands read, and for some of them what was read before."""
    kills.write_inputs(folder, actions)
    write_frame50(folder / "older" / "frame50", seed=10)
    write_custom(folder / "older" / "own", seed=10)
    kills.write_raw(folder / "older" / "raw", actions, seed=1)


class Case:
    """One command: what it leaves, and what it finds."""

    def __init__(self, name: str, inputs: Path, place: Path) -> None:
        self.name, self.inputs, self.work, self.look = name, inputs, *kills.WORKS[name]
        self.place = place
        self.old = place / f"{name}-old"
        run_silently(lambda: older(name, inputs, self.old), place / f"{name}.log")
        self.folder, self.log = Path(), place / f"{name}-trial.log"
        self.before = self._looked(self.old) if name in ATOMIC else None
        whole = place / f"{name}-whole"
        shutil.copytree(self.old, whole)
        assert kills.run(self._again, inputs, whole) == 0, Path(f"{whole}.log").read_text()
        self.whole = self.look(whole)

    def _again(self, inputs: Path, folder: Path) -> None:
        """The command as one gives it over what is there."""
        if self.name == "prepare":
            where = ["--raw", str(inputs / "raw"), "--out", str(folder), "-j", "1", "--overwrite"]
            kills.prepare.main(["ntu", "--dataset", "ntu60", *where])
        else:
            self.work(inputs, folder)

    def _looked(self, folder: Path) -> dict:
        return self.look(folder)

    def trial(self, room: int, disk: Path) -> tuple[str, list[str]]:
        """Run it with so much room, and again with more; what became of it, and what is wrong."""
        self.folder = disk / self.name
        shutil.copytree(self.old, self.folder)
        before = contents(self.folder)
        self.log.unlink(missing_ok=True)
        with filled(disk, room):
            status = kills.run(self._again, self.inputs, self.folder, self.log)
            faults = list(self._faults(status, before))
        if status and kills.run(self._again, self.inputs, self.folder, self.log):
            faults.append(f"the run after it failed: {self.log.read_text()[-500:]}")
        elif self.look(self.folder) != self.whole:
            faults.append("other than with room enough")
        shutil.rmtree(self.folder)
        return "full" if status else "fits", [f"{self.name}, {room:,} bytes: {x}" for x in faults]

    def _faults(self, status: int, before: dict[str, bytes]) -> Iterator[str]:
        said = self.log.read_text()
        if status == 0:
            return
        lines = [line for line in said.splitlines() if "error: " in line or "failed: " in line]
        named = LINE.search(lines[-1].replace("failed: ", "error: ")) if lines else None
        expected = 1 if lines and "failed: " in lines[-1] else 2
        if status != expected or "Traceback" in said or not named:
            yield f"status {status}: {said[-1500:]}"
        elif str(self.folder) not in named[1]:
            yield f"names no file of its own: {lines[-1]}"
        elif said.count("error: ") > 1 and self.name != "reproduce":
            yield f"more than one line: {said[-1500:]}"
        yield from self._lost(before)

    def _lost(self, before: dict[str, bytes]) -> Iterator[str]:
        """What is not as it was, nor whole."""
        now = contents(self.folder)
        for path, content in before.items():
            if path not in now:
                yield f"{path} is gone"
            elif now[path] != content and not is_whole(self.folder / path, content):
                yield f"{path} is broken"
        left = [path for path in now if TEMPORARY.fullmatch(Path(path).name)]
        if left:
            yield f"left behind: {left}"
        if self.before is not None and self.look(self.folder) not in (self.before, self.whole):
            yield "neither old nor new"


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def is_whole(path: Path, before: bytes) -> bool:
    """Whether a file that was replaced, or added to, can be used."""
    if path.suffix in (".jsonl", ".log") or path.name.startswith("events."):
        return path.read_bytes().startswith(before)
    if path.suffix in (".tar", ".npz"):
        check(path, "a whole file")
    return path.stat().st_size > 0


def run_silently(work: Callable[[], object], log: Path) -> None:
    """Do some work in a process of its own, as what is tried is done."""
    status = kills.run(lambda *_: work(), log, log.with_suffix(""), log)
    assert status == 0, log.read_text()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [name for name in kills.WORKS if name != "prepare-2"]
    parser.add_argument("works", nargs="*", help=f"any of {', '.join(names)} (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and unmount
    given = dict(zip(kills.PRETRAINING[::2], kills.PRETRAINING[1::2], strict=True)) | LARGER
    kills.PRETRAINING = tuple(word for pair in given.items() for word in pair)
    with tempfile.TemporaryDirectory(prefix="hico-disks-") as place, disk() as small:
        inputs = Path(place, "inputs")
        write_inputs(inputs, actions=8)
        wrong = 0
        for name in options.works or names:
            case, ends = Case(name, inputs, Path(place)), {"full": 0, "fits": 0}
            for room in ROOMS:
                end, faults = case.trial(room, small)
                ends[end] += 1
                wrong += len(faults)
                print("".join(f"{fault}\n" for fault in faults), end="", flush=True)
            print(f"{name}: {ends['full']} full, {ends['fits']} with room enough", flush=True)
    print(f"{wrong} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
