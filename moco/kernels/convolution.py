"""Depthwise convolution over tokens. Axes: N clips, T tokens, d channels."""

import torch.nn.functional as F
from torch import Tensor, nn


def depthwise(tokens: Tensor, conv: nn.Conv1d) -> Tensor:
    """`conv` over the tokens, each channel apart: (N, T, d) to (N, T, d)."""
    # Channels-last, a grouped convolution may meet a slow path of cuDNN.
    form = channels_last if tokens.device.type == "cpu" else conv1d
    return form(tokens, conv)


def channels_last(tokens: Tensor, conv: nn.Conv1d) -> Tensor:
    """As an image of height 1, whose tokens already lie channels-last: nothing is transposed."""
    image, weight = tokens.transpose(1, 2).unsqueeze(2), conv.weight.unsqueeze(2)  # (N, d, 1, T)
    mixed = F.conv2d(image, weight, conv.bias, padding=(0, *conv.padding), groups=conv.groups)
    return mixed.squeeze(2).transpose(1, 2)


def conv1d(tokens: Tensor, conv: nn.Conv1d) -> Tensor:
    """On contiguous channels."""
    return conv(tokens.transpose(1, 2).contiguous()).transpose(1, 2)
