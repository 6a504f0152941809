"""Depthwise convolution over tokens. Axes: N clips, T tokens, d channels."""

import torch.nn.functional as F
from torch import Tensor, nn


def depthwise(tokens: Tensor, conv: nn.Conv1d) -> Tensor:
    """`conv` over the tokens, each channel apart: (N, T, d) to (N, T, d)."""
    channels = tokens.transpose(1, 2)  # (N, d, T)
    if tokens.device.type != "cpu":
        # Channels-last, a grouped convolution may meet a slow path of cuDNN.
        return conv(channels.contiguous()).transpose(1, 2)
    # As an image of height 1 the tokens already lie channels-last: nothing is transposed.
    image, weight = channels.unsqueeze(2), conv.weight.unsqueeze(2)
    mixed = F.conv2d(image, weight, conv.bias, padding=(0, *conv.padding), groups=conv.groups)
    return mixed.squeeze(2).transpose(1, 2)
