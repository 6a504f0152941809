"""Work shared out among processes, with results in the order in which they come.

The pool is the standard library's. Three things are added that it does not do: an interrupt stops a
worker in the middle of its task (the pool would wait for it), Ctrl-C at a terminal reaches this
process only, and workers leave when this process was killed.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_CHUNK = 8  # tasks sent at a time, at most; more would fill the pipe, fewer would keep it busy
_work: Callable[[Any], Any]  # of a worker process


def in_processes(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int
) -> Iterator[Result]:
    """Yield the result of each task, from this process alone or from several.

    Args:
        work: picklable; what it raises is raised here.
        tasks: picklable; neighbours mostly go to the same process.
        workers: number of processes; with 1 the work is done in this one.

    Raises:
        ChildProcessError: when a process dies.
    """
    if workers == 1 or not tasks:
        yield from map(work, tasks)
        return
    size = max(1, min(_CHUNK, len(tasks) // (4 * workers)))
    chunks = (tasks[begin : begin + size] for begin in range(0, len(tasks), size))
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(work,)
    )
    try:
        with _signals_held():  # processes start as tasks come in
            waiting = as_completed([pool.submit(_do, chunk) for chunk in chunks])
        for future in waiting:
            yield from future.result()
    except BrokenProcessPool:
        raise ChildProcessError(
            "a worker process died, perhaps for want of memory; try again with a lower -j"
        ) from None
    finally:
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        pool.shutdown()


def _begin(work: Callable[[Any], Any]) -> None:
    """Make a process a worker."""
    global _work
    _work = work
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _do(chunk: Sequence[Any]) -> list[Any]:
    return [_work(task) for task in chunk]


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait; processes started meanwhile never see SIGINT."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
