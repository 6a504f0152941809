"""A recurrent network over the levels of a branch, in the way that suits the device.

Axes: N clips, T tokens of a level, d hidden size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from moco.kernels.device import float32_only
from moco.kernels.gru import GRUWeights, gru_layer
from moco.kernels.pooling import maximum


def maxima_of_levels(rnn: nn.GRU | nn.LSTM, levels: list[Tensor]) -> list[Tensor]:
    """Encode each level from zero states and keep its maximum over tokens.

    Args:
        rnn: bidirectional and batch-first, d / 2 units each way.
        levels: (N, T, d) each.

    Returns:
        (N, d) for each level: `rnn(level)[0].amax(dim=1)`.
    """
    if levels[0].device.type != "cpu":
        return [maximum(by_cudnn(rnn, tokens), dim=1) for tokens in levels]
    if isinstance(rnn, nn.GRU):
        layers = [GRUWeights.of(rnn, layer) for layer in range(rnn.num_layers)]
        return [_gru_maximum(tokens, layers) for tokens in levels]
    return [maximum(rnn(tokens)[0], dim=1) for tokens in levels]


def by_cudnn(rnn: nn.GRU | nn.LSTM, tokens: Tensor) -> Tensor:
    """Encode the tokens of one level on a GPU: (N, T, d) to (N, T, d).

    Levels are not packed into one call: cuDNN reads the lengths of a packed sequence from host
    memory, which is gone when a recorded step is replayed.
    """
    mode = rnn.training
    # cuDNN keeps what backward needs in training mode only. There is no dropout in here, so the
    # mode changes nothing else.
    rnn.train(torch.is_grad_enabled())
    try:
        # CUDA's autocast would run this in float16, where small gradients vanish, not in bfloat16.
        with float32_only(tokens):
            return rnn(tokens.float())[0]
    finally:
        rnn.train(mode)


def _gru_maximum(tokens: Tensor, layers: Sequence[GRUWeights]) -> Tensor:
    """Our GRU, and the maximum over tokens: (N, T, d) to (N, d)."""
    tokens = tokens.transpose(0, 1).contiguous()
    for weights in layers[:-1]:
        tokens = gru_layer(tokens, weights).permute(1, 2, 0, 3).flatten(2)  # (T, N, d)
    return maximum(gru_layer(tokens, layers[-1]), dim=1).transpose(0, 1).flatten(1)
