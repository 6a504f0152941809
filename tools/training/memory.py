"""What would fit a device that was too small for a batch, as an estimate."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from moco import EncoderConfig
from moco.encoders.hierarchical import HierarchicalEncoder
from tools.training.step import random_views

CLIPS = 4
"""Clips of the step that is counted, on the CPU, where they take no more than 64 MB."""
BESIDE = 1.5
"""How many times what is kept for backward a step takes: gradients, workspaces, rounding up."""


@contextmanager
def saying_what_fits(
    config: EncoderConfig,
    batch_size: int,
    precision: str | None,
    device: torch.device,
    processes: int = 1,
) -> Iterator[None]:
    """Let a device that is full be an error that says which settings would fit.

    Args:
        config: of the encoder that is trained within.
        batch_size: clips in a batch.
        precision: "fp32", "tf32" or "bf16"; None is float32 that cannot be chosen.
        device: which model and clips lie on already.
        processes: that share a batch, each with such a device.

    Raises:
        ValueError: in place of torch.OutOfMemoryError.
    """
    room = processes * _room(device)
    try:
        yield
    except torch.OutOfMemoryError:
        raise ValueError(what_fits(config, batch_size, precision, room)) from None


def what_fits(config: EncoderConfig, batch_size: int, precision: str | None, room: int) -> str:
    """Say how much a batch takes of `room` bytes, and what would take less."""
    a_clip = bytes_of_a_clip(config, precision)
    text = (
        f"the device is full: a step on {batch_size} clips of about {a_clip / 1e6:.3g} MB each "
        f"does not fit the {room / 1e9:.3g} GB beside model and clips"
    )
    fits = int(room / a_clip)
    ways = []
    if precision in ("fp32", "tf32") and batch_size * bytes_of_a_clip(config, "bf16") < room:
        ways.append("--precision bf16")
    if fits:
        smaller = min(2 ** (fits.bit_length() - 1), max(1, batch_size // 2))  # divides a queue
        ways.append(f"--batch-size {smaller}")
    return f"{text}; choose {' or '.join([*ways, 'a smaller --hidden-size'])}"


def bytes_of_a_clip(config: EncoderConfig, precision: str | None) -> float:
    """Estimate the bytes that a training step takes for a clip, by a small one on the CPU."""
    encoder = HierarchicalEncoder(config)
    kept: dict[int, Tensor] = {}

    def _note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(_note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"),
    ):
        encoder(random_views(config, CLIPS))
    for parameter in encoder.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    return BESIDE * sum(each.untyped_storage().nbytes() for each in kept.values()) / CLIPS


def _room(device: torch.device) -> int:
    """Bytes of a CUDA device that are free or held by torch for nothing; of others 0."""
    if device.type != "cuda":
        return 0
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused
