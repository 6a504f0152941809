"""A ring of keys: the negatives of one level of the contrast."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """The latest keys of past batches, in buffers that go into the checkpoint.

    Starts as random unit vectors. The pointer stays on the device: enqueueing never waits for it.

    Attributes:
        keys: (capacity, D) unit vectors.
        pointer: (1,) where the next batch is written, integer.
    """

    def __init__(self, dim: int, capacity: int, wrap: int | None = None) -> None:
        """Fill the ring with random unit vectors.

        Args:
            dim: D, size of a key.
            capacity: keys held.
            wrap: where the pointer returns to 0; None is capacity. The published clip and part
                queues return after K of their G·K keys, so the rest are never refreshed.

        Raises:
            ValueError: a size below 1 or a wrap beyond the capacity.
        """
        super().__init__()
        self.wrap = capacity if wrap is None else wrap
        if min(dim, capacity, self.wrap) < 1 or self.wrap > capacity:
            raise ValueError(f"no queue of {capacity} keys of size {dim} wraps at {self.wrap}")
        self.register_buffer("keys", F.normalize(torch.randn(capacity, dim), dim=1))
        self.register_buffer("pointer", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Write a batch of keys over the oldest ones, in place.

        Args:
            keys: (B, D) unit vectors, B <= capacity.

        Raises:
            ValueError: more keys than the queue holds.
        """
        capacity = self.keys.shape[0]
        if len(keys) > capacity:
            raise ValueError(f"{len(keys)} keys do not fit a queue of {capacity}")
        steps = torch.arange(len(keys), device=keys.device)
        positions = (self.pointer + steps) % capacity
        self.keys.index_copy_(0, positions, keys.to(self.keys.dtype))
        self.pointer.add_(len(keys)).remainder_(self.wrap)
