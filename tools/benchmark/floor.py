"""The least time a work can take: operations and bytes it cannot avoid, over the machine's rates.

Axes: B batch, T tokens of a level, d hidden size, G granularities, D projection size, K queue size.
Counted are matrix products and traffic that no cleverness saves. Element-wise work, dropout draws
and stored activations are left out, so the floor is a bound and not a goal in itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from dataset.skeleton import NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from moco.config import ContrastConfig, EncoderConfig
from tools.benchmark.timing import Side
from tools.runtime import set_precision
from tools.training.step import SPACE_TOKENS, TIME_TOKENS

FLOAT = 4
"""Bytes of a float32."""
TRAFFIC = 11
"""Passes over each parameter in a step: it is read for the query pass, for backward and for the
update and written once (4); its gradient (2) and its velocity (2) are written and read; the key
network's copy is read, written, and read for the key pass (3)."""


@dataclass(frozen=True)
class Work:
    """What cannot be avoided."""

    operations: float  # floating-point, a multiply-add counting two
    traffic: float  # bytes read plus bytes written


class Machine:
    """The rates of the machine itself, measured among the works by the same clock."""

    def __init__(self, device: torch.device, precision: str = "fp32") -> None:
        """Allocate the operands: the step's commonest product, and a copy larger than caches."""
        tokens, d = (64 * TIME_TOKENS, 512) if device.type == "cpu" else (16384, 2048)
        self._device, self._precision = device, precision
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._left = torch.randn(tokens, d, device=device, dtype=dtype)
        self._right = torch.randn(d, 3 * d, device=device, dtype=dtype)
        # Written, so that its pages exist: untouched zeros would read faster than memory does.
        self._from = torch.ones(2**24 if device.type == "cpu" else 2**28, device=device)
        self._to = torch.ones_like(self._from)
        self._multiply()  # the first product also sets the library up

    def sides(self) -> dict[str, Side]:
        """What to time beside the works: "product" and "copy"."""
        return {"product": self._multiply, "copy": lambda: self._to.copy_(self._from)}

    def _multiply(self) -> torch.Tensor:
        set_precision(self._precision, self._device)
        return self._left @ self._right

    def rates(self, times: Mapping[str, float]) -> tuple[float, float]:
        """Operations a second and bytes a second, of the seconds that `sides` took."""
        operations = 2 * self._left.numel() * self._right.shape[1]
        traffic = 2 * FLOAT * self._from.numel()
        return operations / times["product"], traffic / times["copy"]

    def floor(self, work: Work, times: Mapping[str, float]) -> float:
        """Seconds: products and copies may overlap, so the longer of the two."""
        product_rate, copy_rate = self.rates(times)
        return max(work.operations / product_rate, work.traffic / copy_rate)


def sequence_operations(config: EncoderConfig, tokens: int) -> int:
    """Matrix products of the sequence encoder on one level of one clip, forward."""
    d = config.hidden_size
    if config.kind == "Transformer":
        token = 2 * (4 * d * d + 2 * d * d)  # projections of attention; feed-forward
        attention = 2 * 2 * tokens * tokens * d  # scores; weighted values
        return config.num_layers * (tokens * token + attention)
    gates = {"GRU": 3, "LSTM": 4}[config.kind]
    token = 2 * 2 * gates * (d // 2) * (d + d // 2)  # two directions; input and recurrence
    return config.num_layers * tokens * token


def encoder_operations(config: EncoderConfig) -> int:
    """Products of the hierarchical encoder for one clip, forward."""
    d, G = config.hidden_size, config.granularity
    total = 0
    branches = ((TIME_TOKENS, config.time_features), (SPACE_TOKENS, config.space_features))
    for tokens, features in branches:
        levels = [tokens >> level for level in range(G)]
        total += 2 * tokens * (features * d + d * d)  # embedding
        total += 2 * 5 * d * sum(levels[:-1])  # depthwise convolution, kernel 5
        total += sum(sequence_operations(config, count) for count in levels)
    return total


def head_operations(config: EncoderConfig, projection_size: int, levels: int) -> int:
    """Products of the five heads for one clip; clip and part project so many levels."""
    d, G, D = config.hidden_size, config.granularity, projection_size
    single = levels * 2 * (d * d + d * D)
    domain = 2 * (G * d * d + d * D)
    instance = 2 * (2 * G * d * d + d * D)
    return 2 * single + 2 * domain + instance


def step_work(config: EncoderConfig, contrast: ContrastConfig, batch: int, parameters: int) -> Work:
    """One training step: query forward, twice that backward, key forward, update, momentum.

    At full size and B = 64 about 200 GFLOP (Transformer, LSTM) or 153 (GRU). `parameters` are those
    of one network, encoder and heads.
    """
    encoder, D = encoder_operations(config), contrast.projection_size
    query = encoder + head_operations(config, D, levels=1)
    key = encoder + head_operations(config, D, levels=config.granularity)
    queued = (2 * config.granularity + 3) * contrast.queue_size * D  # numbers in the five queues
    # Queues have no gradient, so contrast costs as much backward as forward.
    operations = batch * (3 * query + key + 2 * 2 * queued)
    inputs = 2 * batch * view_floats(config)
    return Work(operations, FLOAT * (TRAFFIC * parameters + 2 * queued + inputs))


def view_floats(config: EncoderConfig) -> int:
    """Numbers in both layouts of one view of one clip."""
    return TIME_TOKENS * config.time_features + SPACE_TOKENS * config.space_features


def load_work(num_frames: np.ndarray, rows: int) -> Work:
    """Load a mean clip: read its recorded frames, both bodies to see which is there; write rows.

    Args:
        num_frames: (N,) recorded frames.
        rows: of the packed table.
    """
    read = NUM_BODIES * int(num_frames.sum())
    return Work(0, FLOAT * NUM_JOINTS * NUM_COORDINATES * (read + rows) / len(num_frames))


def knn_work(train: int, test: int, features: int) -> Work:
    """Compare every test clip with every training clip, reading the features once."""
    return Work(2 * train * test * features, FLOAT * (train + test) * features)


def probe_work(config: EncoderConfig, clips: tuple[int, int], classes: int, epochs: int) -> Work:
    """Features of training and test clips once, then so many epochs of a linear layer.

    Counted are the layer's forward and weight gradient for training clips, forward for test clips.
    """
    train, test = clips
    layer = 2 * config.feature_size * classes
    operations = (train + test) * encoder_operations(config) + epochs * layer * (2 * train + test)
    return Work(operations, epochs * FLOAT * config.feature_size * (2 * train + test))
