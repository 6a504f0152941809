"""What every script needs around its work: a device, a precision and a seed."""

import platform
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy
import torch

DATA_SALT = 0x48694336
"""Keeps the data's draws apart from the weights'; within the 32 bits of a seed that torch uses."""


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
        The device.

    Raises:
        ValueError: a device that is not there.
    """
    set_precision("fp32", torch.device("cpu"))
    count = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device {name}: choose auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device {name}: choose auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ValueError(f"--device {name}: {count} CUDA devices here; choose auto or cpu")
    return device


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

    Args:
        seed: None draws one from the operating system.

    Returns:
        The seed that was used.
    """
    seed = secrets.randbelow(2**31) if seed is None else seed
    torch.manual_seed(seed)
    return seed


def data_generator(seed: int) -> torch.Generator:
    """A generator for order, crops and augmentations, apart from the one that draws weights.

    Args:
        seed: of the run.

    Returns:
        A generator of the CPU, so that what it draws does not depend on the device.
    """
    return torch.Generator().manual_seed(seed ^ DATA_SALT)


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
def until_signal(stop: Callable[[int], None]) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the work at a good place; a second one ends it at once.

    Args:
        stop: told the number of the signal.
    """

    def _caught(number: int, _frame: FrameType | None) -> None:
        stop(number)
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
