"""Work shared out among processes: complete, bounded, and never a standstill."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.waiting import HANGS
from tools.prepare.pipeline.workers import in_processes


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise OSError("no space left")
    return number


def die_at_three(number: int) -> int:
    if number == 3:
        os._exit(1)
    return number


def process_id(number: int) -> int:
    time.sleep(0.001)
    return os.getpid()


def meet(folder: Path) -> int:
    """Wait until another process is here too."""
    (folder / str(os.getpid())).touch()
    for _ in range(10_000):
        if len(os.listdir(folder)) > 1:
            return os.getpid()
        time.sleep(0.001)
    raise ValueError("nobody else came")


@pytest.mark.parametrize("workers", [1, 3])
def test_every_task_has_one_result(workers):
    results = list(in_processes(square, range(100), workers))
    assert sorted(results) == [number * number for number in range(100)]


def test_one_worker_is_this_process_and_more_are_others(tmp_path):
    assert set(in_processes(process_id, range(4), 1)) == {os.getpid()}
    others = set(in_processes(meet, [tmp_path] * 4, 2))
    assert len(others) == 2
    assert os.getpid() not in others


def test_no_tasks_have_no_results():
    assert list(in_processes(square, [], 1)) == list(in_processes(square, [], 2)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_what_the_work_raises_is_raised_here(workers):
    with pytest.raises(OSError, match="no space left"):
        list(in_processes(fail_at_three, range(10), workers))


def test_a_worker_that_dies_is_an_error():
    with pytest.raises(ChildProcessError, match="died, perhaps for want of memory"):
        list(in_processes(die_at_three, range(10), 2))


def test_workers_stop_when_nobody_wants_more():
    results = in_processes(process_id, range(100_000), 2)
    workers = {next(results) for _ in range(20)}
    results.close()
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_workers_leave_when_their_parent_is_killed():
    command = (
        "from tests.prepare.test_workers import *\n"
        "if __name__ == '__main__':\n"
        "    for worker in in_processes(process_id, range(10**6), 2): print(worker, flush=True)\n"
    )
    root = Path(__file__).parents[2]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", command], cwd=root, stdout=pipe, stderr=pipe, text=True
    ) as run:
        run.stdout.readline()
        run.kill()
        # It ends when the last worker has closed its output.
        _, errors = run.communicate(timeout=HANGS)
    assert "Traceback" not in errors
