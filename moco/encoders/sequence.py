"""What a kind of encoder is: the part of a branch that looks at the tokens of each level.

Axes: N clips, T tokens of a level, d hidden size, G granularities.
"""

from torch import Tensor, nn


class SequenceEncoder(nn.Module):
    """Base of all kinds; one of its own is a subclass, its config, and a row in `ENCODERS`.

    It is built from its config alone. Each of the two branches has one, for all levels.

    Attributes:
        same_start: whether the spatial branch starts as a copy of the temporal one, in what is no
            matrix; matrices are drawn anew anyway.
    """

    same_start = False

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Make one feature of each level: G times (N, T, d), T falling, to (N, G, d)."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def layer_of(self, name: str) -> int:
        """Which of its `config.num_layers` layers one of its parameters belongs to, from 0.

        Fine-tuning may give each layer a rate of its own.
        """
        return 0
