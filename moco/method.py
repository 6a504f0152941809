"""What a method of pre-training is to whoever trains it, logs it and keeps it in checkpoints.

They know nothing else of a method. A new one is one file with a subclass, and one row in `METHODS`
of moco/config.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from moco.encoders.hierarchical import HierarchicalEncoder, Views


class NamedLosses(Protocol):
    """What a step returns: a NamedTuple of scalars, which are logged under their names."""

    _fields: tuple[str, ...]

    def __iter__(self) -> Iterator[Tensor]: ...

    @property
    def total(self) -> Tensor:
        """The scalar that is minimised."""


class Method(nn.Module, ABC):
    """A model that is pre-trained. Its state_dict is what a checkpoint keeps.

    Attributes:
        name: its row in `METHODS`.
        losses: the NamedTuple that `step` returns.
        watched: the fields of `losses` that are shares in [0, 1] and are shown beside the loss.
        gather: where N processes train one model, brings the rows of all of them together,
            (B / N, …) to (B, …); None where one process does.
    """

    name: ClassVar[str]
    losses: ClassVar[type[NamedLosses]]
    watched: ClassVar[tuple[str, ...]] = ()
    gather: Callable[[Tensor], Tensor] | None = None

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Method":
        """Build a model as `settings` describes it; further entries are ignored."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, dict[str, Any]]:
        """Plain values to build such a model from; "config" is its encoder's."""

    @property
    @abstractmethod
    def encoder(self) -> HierarchicalEncoder:
        """What is evaluated and fine-tuned."""

    def start_epoch(self, epoch: int) -> None:
        """Hear which epoch begins, counted from 0; what a step reads of it lies on the device."""

    @abstractmethod
    def step(self, query: Views, key: Views, clips: Tensor) -> NamedLosses:
        """Do what comes before backward; waits for nothing on the host.

        Args:
            query: one view of a batch, time (B, 64, 150) and space (B, 50, 192).
            key: another view of the same clips.
            clips: (B,) which clips of the training part they are, int64.

        Returns:
            The losses of the batch; only their total has to have a gradient.
        """

    def similarities(self, query: Views, key: Views) -> dict[str, Tensor]:
        """Cosine similarities that tell how training fares, by name; scalars, nothing changes."""
        return {}

    def remarks(self, clips: int, batch_size: int) -> list[str]:
        """Say what somebody who watches a training on so many clips ought to know beforehand."""
        return []

    def learned(self) -> dict[str, nn.Parameter]:
        """The parameters that the optimiser moves, by name."""
        return {name: each for name, each in self.named_parameters() if each.requires_grad}
