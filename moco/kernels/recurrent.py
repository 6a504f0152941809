"""A recurrent network over all levels of a branch, in the way that suits the device.

Axes: N clips, T tokens of a level, R tokens of all levels and clips, d hidden size.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from moco.kernels.device import float32_only, takes_levels_together
from moco.kernels.gru import GRUWeights, gru_layer
from moco.kernels.pooling import maximum


def maxima_of_levels(rnn: nn.GRU | nn.LSTM, levels: list[Tensor]) -> list[Tensor]:
    """Encode each level from zero states and keep its maximum over tokens.

    Args:
        rnn: bidirectional and batch-first, d / 2 units each way.
        levels: (N, T, d) each, T falling.

    Returns:
        (N, d) for each level: `rnn(level)[0].amax(dim=1)`.
    """
    if takes_levels_together(levels):
        return maxima_together(rnn, levels)
    if isinstance(rnn, nn.GRU):
        layers = [GRUWeights.of(rnn, layer) for layer in range(rnn.num_layers)]
        return [_gru_maximum(tokens, layers) for tokens in levels]
    return [maximum(rnn(tokens)[0], dim=1) for tokens in levels]


def maxima_together(rnn: nn.GRU | nn.LSTM, levels: list[Tensor]) -> list[Tensor]:
    """As `maxima_of_levels`, with as many steps as the longest level has tokens."""
    # CUDA's autocast would run this in float16, where small gradients vanish, not in bfloat16.
    with float32_only(levels[0]):
        packed, shapes = pack([level.float() for level in levels])
        encoded = rnn(packed)[0].data
    return [maximum(tokens, dim=0) for tokens in unpack(encoded, shapes)]


def _gru_maximum(tokens: Tensor, layers: Sequence[GRUWeights]) -> Tensor:
    """Our GRU, and the maximum over tokens: (N, T, d) to (N, d)."""
    tokens = tokens.transpose(0, 1).contiguous()
    for weights in layers[:-1]:
        tokens = gru_layer(tokens, weights).permute(1, 2, 0, 3).flatten(2)  # (T, N, d)
    return maximum(gru_layer(tokens, layers[-1]), dim=1).transpose(0, 1).flatten(1)


def pack(levels: Sequence[Tensor]) -> tuple[PackedSequence, list[tuple[int, int, int]]]:
    """Put levels side by side, so that step t takes the t-th token of all that have one.

    Args:
        levels: (N, T, d) each, T falling.

    Returns:
        The sequence, and for `unpack` the (steps, levels, N) of its blocks: steps in a row that
        take the same number of levels.
    """
    blocks, begin = [], 0
    for count in range(len(levels), 0, -1):
        end = levels[count - 1].shape[1]
        block = torch.stack(
            [level[:, begin:end] for level in levels[:count]]
        )  # (count, N, steps, d)
        blocks.append(block.permute(2, 0, 1, 3))
        begin = end
    shapes = [tuple(block.shape[:3]) for block in blocks]
    data = torch.cat([block.flatten(0, 2) for block in blocks])  # (R, d)
    return PackedSequence(data, _step_sizes(*shapes)), shapes


@cache  # else the host would make it anew in every step, and it lies there
def _step_sizes(*shapes: tuple[int, int, int]) -> Tensor:
    return torch.tensor([count * N for steps, count, N in shapes for _ in range(steps)])


def unpack(data: Tensor, shapes: Sequence[tuple[int, int, int]]) -> list[Tensor]:
    """Take what `pack` made apart again.

    Args:
        data: (R, d) of the encoded sequence.
        shapes: from `pack`.

    Returns:
        The levels, finest first, (T, N, d) each.
    """
    parts = data.split([steps * count * N for steps, count, N in shapes])
    blocks = [part.unflatten(0, shape) for part, shape in zip(parts, shapes, strict=True)]
    levels = range(shapes[0][1])
    return [torch.cat([b[:, level] for b in blocks if level < b.shape[1]]) for level in levels]
