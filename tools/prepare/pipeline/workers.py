"""Work shared out among processes, with results in the order in which they come.

Unlike the pools of the standard library, a killed worker is an error instead of a standstill, and
workers leave by themselves when whoever started them was killed.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int
) -> Iterator[Result]:
    """Yield the result of each task, from this process alone or from several.

    Args:
        work: picklable; what it raises is raised here.
        tasks: picklable; every process gets an equal share from the start.
        workers: number of processes; with 1 the work is done in this one.

    Raises:
        ChildProcessError: when a process dies.
    """
    if workers == 1:
        yield from map(work, tasks)
        return
    context = multiprocessing.get_context("spawn")
    processes, open_ends = [], []
    try:
        with _signals_held():  # an interrupt waits until all have started, and is not for them
            for first in range(workers):
                ours, theirs = context.Pipe(duplex=False)
                share = tasks[first::workers]
                process = context.Process(target=_serve, args=(work, share, theirs), daemon=True)
                process.start()
                theirs.close()
                processes.append(process)
                open_ends.append(ours)
        yield from _receive(open_ends)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _serve(work: Callable[[Task], Result], tasks: Sequence[Task], results: Connection) -> None:
    """Do a share of the work; runs in a process of its own."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        for task in tasks:
            results.send((work(task), None))
    except BrokenPipeError:
        return  # nobody waits any more
    except Exception as error:
        results.send((None, error))
    else:
        results.send(None)


def _receive(open_ends: list[Connection]) -> Iterator[Result]:
    while open_ends:
        for end in wait(open_ends):
            try:
                message = end.recv()
            except EOFError:
                raise ChildProcessError(
                    "a worker process died, perhaps for want of memory; try again with a lower -j"
                ) from None
            if message is None:
                open_ends.remove(end)
                continue
            result, error = message
            if error is not None:
                raise error
            yield result


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait; processes started meanwhile never see SIGINT."""
    resource_tracker.ensure_running()  # by itself it would let them through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
