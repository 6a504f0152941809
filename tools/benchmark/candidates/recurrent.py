"""A GRU or LSTM over all levels in one call a direction, on tokens padded at their end.

Axes: N clips, T tokens of a level, d hidden size, G levels.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call

from moco.kernels.pooling import maximum
from moco.kernels.recurrent import maxima_of_levels
from tools.benchmark.candidates.case import Candidate, Case
from tools.training.step import TIME_TOKENS

ENDS = ("", "_reverse")


def pad(levels: list[Tensor], backwards: bool) -> Tensor:
    """G times (N, T, d) to (G·N, longest T, d), each turned round if it is read backwards."""
    most = max(level.shape[1] for level in levels)
    turned = [level.flip(1) if backwards else level for level in levels]
    return torch.cat([nn.functional.pad(x, (0, 0, 0, most - x.shape[1])) for x in turned])


def directions_apart(rnn: nn.RNNBase, levels: list[Tensor]) -> list[Tensor]:
    """Encode each level: G times (N, T, d) to the same, equal to `rnn(level)[0]`."""
    lengths = [level.shape[1] for level in levels]
    parameters = dict(rnn.named_parameters())
    one_way = type(rnn)(rnn.input_size, rnn.hidden_size, batch_first=True, device="meta")
    for layer in range(rnn.num_layers):
        found = []
        for backwards, end in enumerate(ENDS):
            names = [name for name in parameters if name.endswith(f"_l{layer}{end}")]
            weights = {name.replace(f"_l{layer}{end}", "_l0"): parameters[name] for name in names}
            states, _ = functional_call(one_way, weights, (pad(levels, bool(backwards)),))
            ways = [x[:, :T] for x, T in zip(states.chunk(len(levels)), lengths, strict=True)]
            found.append([x.flip(1) if backwards else x for x in ways])
        levels = [torch.cat(ways, dim=2) for ways in zip(*found, strict=True)]
    return levels


def padded(case: Case) -> Iterator[Candidate]:
    """The sequence encoder of the time branch; a GRU's or an LSTM's."""
    rnn = getattr(case.model().query.encoder.time.sequence, "rnn", None)
    if rnn is None:
        return
    levels = [case.tokens(TIME_TOKENS >> G) for G in range(case.run.encoder.granularity)]
    inputs = [*levels, *rnn.parameters()]

    def _maxima() -> tuple[Tensor, ...]:
        with torch.autocast(case.device.type, enabled=False):
            encoded = directions_apart(rnn, [level.float() for level in levels])
        return tuple(maximum(level, dim=1) for level in encoded)

    product = case.differentiated(lambda: tuple(maxima_of_levels(rnn, levels)), inputs)
    yield Candidate("levels: padded", product, case.differentiated(_maxima, inputs), True)
