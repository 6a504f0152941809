"""The bidirectional GRU or LSTM of a branch, shared by its levels.

Axes: N clips, T tokens of a level, d hidden size, G granularities.
"""

import re

import torch
from torch import Tensor, nn

from moco.config import RecurrentConfig
from moco.encoders.sequence import SequenceEncoder
from moco.kernels.recurrent import maxima_of_levels


class RecurrentEncoder(SequenceEncoder):
    """Bidirectional GRU or LSTM, d/2 units each way, zero states, shared by the levels."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        kind = {"GRU": nn.GRU, "LSTM": nn.LSTM}[config.kind]
        self.rnn = kind(
            config.hidden_size,
            config.hidden_size // 2,
            config.num_layers,
            batch_first=True,
            bidirectional=True,
        )

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Encode each level and keep its maximum over tokens: G times (N, T, d) to (N, G, d)."""
        return torch.stack(maxima_of_levels(self.rnn, levels), dim=1)

    def layer_of(self, name: str) -> int:
        """PyTorch names the parameters of layer n weight_ih_ln, bias_hh_ln_reverse, …."""
        return int(re.search(r"_l(\d+)", name)[1])
