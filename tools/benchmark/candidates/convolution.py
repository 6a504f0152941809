"""Forms of the depthwise convolution over tokens, kernel 5.

Axes: N clips, T tokens, d channels.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moco.encoders.hierarchical import Downsample
from moco.kernels.convolution import channels_last, conv1d
from moco.kernels.pooling import maximum
from tools.benchmark.candidates.case import Candidate, Case
from tools.training.step import TIME_TOKENS

Form = Callable[[Tensor, nn.Conv1d], Tensor]


def shifted(tokens: Tensor, conv: nn.Conv1d) -> Tensor:
    """Five multiply-adds of shifted tokens."""
    T = tokens.shape[1]
    padded = F.pad(tokens, (0, 0, 2, 2))
    mixed = conv.bias.expand_as(tokens)
    for tap in range(conv.kernel_size[0]):
        mixed = torch.addcmul(mixed, padded[:, tap : tap + T], conv.weight[:, 0, tap])
    return mixed


def downsample(tokens: Tensor, layer: Downsample, form: Form) -> Tensor:
    """The product's layer with another form of its convolution: (N, T, d) to (N, T // 2, d)."""
    mixed = F.relu(layer.norm(form(tokens, layer.conv)))
    half = tokens.shape[1] // 2
    return maximum(mixed[:, : 2 * half].unflatten(1, (half, 2)), dim=2)


def forms(case: Case) -> Iterator[Candidate]:
    """All levels of the time branch."""
    layer = case.model().query.encoder.time.downsample
    tokens = case.tokens(TIME_TOKENS)
    inputs = [tokens, *layer.parameters()]

    def _levels(halve: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
        levels = [tokens]
        for _ in range(case.run.encoder.granularity - 1):
            levels.append(halve(levels[-1]))
        return tuple(levels[1:])

    product = case.differentiated(lambda: _levels(layer), inputs)
    for form in (conv1d, channels_last, shifted):
        other = case.differentiated(
            lambda form=form: _levels(lambda level: downsample(level, layer, form)), inputs
        )
        yield Candidate(f"convolution: {form.__name__}", product, other)
