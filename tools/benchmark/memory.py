"""The most memory that a piece of work holds."""

import ctypes
import gc
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

from tools.benchmark.timing import Side, wait


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
    with suppress(AttributeError, OSError):  # glibc's own; elsewhere what was freed may count
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): reset the peak resident set size
    side()
    return _peak_resident() / 2**20


def _peak_resident() -> int:
    """Bytes."""
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
