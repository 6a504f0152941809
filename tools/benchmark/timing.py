"""Fair clocks: sides take turns, medians count, devices finish before the clock stops."""

import ctypes
import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

Side = Callable[[], object]
SHORT_S = 1.0
"""Works that take less than this in all their turns get more turns, up to MOST_TURNS."""
MOST_TURNS = 100


def seconds(side: Side, device: torch.device) -> float:
    """Time one call, waiting for the device at both ends."""
    wait(device)
    begin = time.perf_counter()
    side()
    wait(device)
    return time.perf_counter() - begin


def interleave(
    sides: Mapping[str, Side], device: torch.device, repetitions: int
) -> dict[str, float]:
    """Time several sides in turns, every second round backwards.

    Args:
        sides: what to time, by name; each was called before.
        device: to wait for.
        repetitions: least number of rounds.

    Returns:
        Median seconds of a call, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    names, rounds, begin = list(sides), 0, time.perf_counter()
    while rounds < repetitions or (rounds < MOST_TURNS and time.perf_counter() - begin < SHORT_S):
        for name in names:
            times[name].append(seconds(sides[name], device))
        names.reverse()
        rounds += 1
    return {name: statistics.median(values) for name, values in times.items()}


def peak_memory(side: Side, device: torch.device) -> float:
    """Call once and return the most memory held meanwhile, in MiB.

    On a CUDA device: what its tensors take. Else: what is resident of the whole process, where the
    system can start counting anew (Linux); on others the most since the process began.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        side()
        wait(device)
        return torch.cuda.max_memory_allocated(device) / 2**20
    gc.collect()
    _give_back_freed()
    _forget_peak()
    side()
    return _peak_resident() / 2**20


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Let PyTorch use one CPU core where the CPU computes, to compare with per-clip work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if device.type == "cuda" else 1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def wait(device: torch.device) -> None:
    """Let a device finish what it was given; a CPU has finished already."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _give_back_freed() -> None:
    """Hand what earlier works freed back to the system; else it would count as this one's."""
    with suppress(AttributeError, OSError):  # glibc's own; elsewhere it stays
        ctypes.CDLL(None).malloc_trim(0)


def _forget_peak() -> None:
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")  # proc(5): reset the peak resident set size


def _peak_resident() -> int:
    """Bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
