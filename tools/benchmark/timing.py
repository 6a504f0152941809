"""Fair clocks: sides take turns, medians count, devices finish before the clock stops."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

Side = Callable[[], object]
Clock = Callable[[], float]
"""Says the time in seconds."""
SHORT_S = 1.0
"""Works that take less than this in all their turns get more turns, up to MOST_TURNS."""
MOST_TURNS = 100


def interleave(
    sides: Mapping[str, Side],
    device: torch.device,
    repetitions: int,
    clock: Clock = time.perf_counter,
) -> dict[str, float]:
    """Time several sides in turns, every second round backwards, `repetitions` rounds at least.

    Returns:
        Median seconds of a call, by name. Each was called before, to warm up.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    names, rounds, began = list(sides), 0, clock()
    while rounds < repetitions or (rounds < MOST_TURNS and clock() - began < SHORT_S):
        for name in names:
            wait(device)
            begin = clock()
            sides[name]()
            wait(device)
            times[name].append(clock() - begin)
        names.reverse()
        rounds += 1
    return {name: statistics.median(values) for name, values in times.items()}


def wait(device: torch.device) -> None:
    """Let a device finish what it was given; a CPU has finished already."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Let PyTorch use one CPU core where the CPU computes, to compare with per-clip work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if device.type == "cuda" else 1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
