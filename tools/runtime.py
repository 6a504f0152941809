"""What every script needs around its work: a device, a precision and a seed."""

import os
import platform
import re
import secrets
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy
import torch
from torch import Tensor

DATA_SALT = 0x48694336
"""Keeps the data's draws apart from the weights'; within the 32 bits of a seed that torch uses."""
_DRIVER = Path("/proc/driver/nvidia/version")
"""Where a loaded NVIDIA driver says its version, on Linux."""


def set_precision(precision: str, device: torch.device) -> None:
    """Allow or forbid the rounding of float32 matrix products on CUDA.

    PyTorch lets cuDNN round to tf32 by itself; the published numbers are float32.

    Args:
        precision: "fp32" forbids it; "tf32" allows it; "bf16" (whose autocast is the step's) allows
            it where autocast does not reach, in recurrent layers.
        device: where the products run.

    Raises:
        ValueError: tf32 on a device that has none.
    """
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(f"--precision tf32: {device.type} has none; choose fp32 or bf16")
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def pick_device(name: str) -> torch.device:
    """Choose where to compute, in exact float32 until `set_precision` says otherwise.

    Args:
        name: "auto" (CUDA if there is any), "cpu", "cuda" or "cuda:N".

    Returns:
        The device. Where "auto" finds a GPU that it cannot use, a line on stderr says why.

    Raises:
        ValueError: a device that is not there, or that cannot be used.
    """
    set_precision("fp32", torch.device("cpu"))
    torch.backends.cuda.enable_cudnn_sdp(False)  # has faults with dropout and at lengths like ours
    if name == "auto":
        fault = _cuda_fault()
        if fault and _DRIVER.exists() and not _gpus_hidden():
            print(f"on the CPU: {fault}", file=sys.stderr)
        return torch.device("cpu" if fault else "cuda")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device {name}: choose auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        if fault := _cuda_fault():
            raise ValueError(f"--device {name}: {fault}")
        if (device.index or 0) >= (count := torch.cuda.device_count()):
            raise ValueError(f"--device {name}: {count} CUDA devices here; choose auto or cpu")
    return device


def _cuda_fault() -> str:
    """Why CUDA cannot be used and what to do, or "" where it can."""
    with warnings.catch_warnings(record=True):  # torch's own words name no wheel
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return ""
    if not _DRIVER.exists() or _gpus_hidden():
        return "0 CUDA devices here; choose auto or cpu"
    found = re.search(r"\d+\.[\d.]+", _DRIVER.read_text())
    driver, wheel = found[0] if found else "unknown", torch.version.cuda
    if wheel is None:
        have = f"torch {torch.__version__} is built for the CPU; the driver is {driver}"
    else:
        have = f"driver {driver} does not run this torch, built for CUDA {wheel}"
    return (
        f"{have}; update the driver or install a wheel that it runs from "
        "https://pytorch.org/get-started: CUDA 13 needs driver 580, CUDA 12 driver 525"
    )


def _gpus_hidden() -> bool:
    """Whether the user wants none to be seen."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")


def machine(device: torch.device) -> dict[str, str]:
    """What the figures were computed with."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": str(device),
        "device_name": name,
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


def seed_everything(seed: int | None) -> int:
    """Seed torch's global generators: initial weights, queues and dropout.

    Returns:
        The seed that was used; for None the operating system draws one.
    """
    seed = secrets.randbelow(2**31) if seed is None else seed
    torch.manual_seed(seed)
    return seed


def data_generator(seed: int) -> torch.Generator:
    """A generator for order, crops and augmentations, apart from the one that draws weights.

    It is of the CPU, so that what it draws does not depend on the device.
    """
    return torch.Generator().manual_seed(seed ^ DATA_SALT)


def to_host(values: Tensor) -> tuple[Tensor, Callable[[], None]]:
    """Begin to copy a tensor to the host, behind what its device has still to do.

    Returns:
        The copy, and what waits until it is there.
    """
    if values.device.type != "cuda":
        return values.cpu(), lambda: None
    copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    copy.copy_(values, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record(torch.cuda.current_stream(values.device))
    return copy, arrived.synchronize


def random_states(device: torch.device) -> dict[str, Any]:
    """States of torch's global generators, which dropout draws from: "torch" and "cuda"."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"torch": torch.get_rng_state(), "cuda": cuda}


def restore_random(states: Mapping[str, Any], device: torch.device) -> None:
    """Put torch's global generators back to what `random_states` has seen."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


@contextmanager
def until_signal(stop: Callable[[int], None], every: bool = False) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the work at a good place; a second one ends it at once.

    Args:
        stop: told the number of the signal.
        every: tell it of a second one too, instead.
    """

    def _caught(number: int, _frame: FrameType | None) -> None:
        stop(number)
        if not every:
            signal.signal(number, before[number])

    main = threading.current_thread() is threading.main_thread()  # no other one gets signals
    numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {number: signal.getsignal(number) for number in numbers}
    for number in before:
        signal.signal(number, _caught)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
