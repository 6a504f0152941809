"""What a candidate is, and what both it and the product compute on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from moco import HiCo, Views
from options.pretraining import PretrainingOptions
from tools.training.step import random_views

Compute = Callable[[], tuple[Tensor, ...]]


class Candidate(NamedTuple):
    """The product's way and another, which end in the same tensors."""

    name: str
    product: Compute
    candidate: Compute
    every_kind: bool = False  # whether it depends on the kind of encoder


@dataclass(frozen=True)
class Case:
    """The run whose parts are computed."""

    run: PretrainingOptions
    device: torch.device
    training: bool = True  # with dropout, whose draws differ from way to way
    compiler: str | None = None  # torch.compile's backend, where that is a candidate

    def model(self) -> HiCo:
        """The same weights and queues at each call."""
        torch.manual_seed(0)
        model = HiCo(self.run.encoder, self.run.contrast).to(self.device)
        return model.train(self.training)

    def views(self) -> tuple[Views, Views]:
        """Query and key view, the same at each call."""
        torch.manual_seed(1)
        encoder, clips = self.run.encoder, self.run.training.batch_size
        query, key = (random_views(encoder, clips, self.device) for _ in range(2))
        return query, key

    def tokens(self, count: int) -> Tensor:
        """(N, count, d) tokens of one level, with gradient; the same at each call."""
        torch.manual_seed(2)
        shape = (self.run.training.batch_size, count, self.run.encoder.hidden_size)
        return torch.randn(shape).to(self.device).requires_grad_()

    def differentiated(self, compute: Compute, inputs: Sequence[Tensor]) -> Compute:
        """The outputs of a computation in the run's precision, then the gradients of its inputs.

        The gradient is that of a fixed random combination of the outputs that have any.
        """
        lower = self.run.speed.precision == "bf16"
        weights: list[Tensor] = []

        def _both() -> tuple[Tensor, ...]:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=lower):
                outputs = compute()
            learned = [output for output in outputs if output.requires_grad]
            if not weights:  # made once, in the first call, which is never recorded
                torch.manual_seed(3)
                weights.extend(torch.randn(each.shape).to(each) for each in learned)
            return *outputs, *torch.autograd.grad(learned, inputs, weights)

        return _both

    def computed(self, compute: Compute) -> Compute:
        """The outputs of a computation in the run's precision, without gradient."""
        lower = self.run.speed.precision == "bf16"

        def _outputs() -> tuple[Tensor, ...]:
            with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=lower):
                return compute()

        return _outputs
