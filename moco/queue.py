"""A ring of keys: the negatives of one level of the contrast."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moco.kernels.precision import dots_with_all

NO_CLIP = -1
"""In place of the number of a clip: the key is one of those that the queue started with."""


class KeyQueue(nn.Module):
    """The latest keys of past batches, in buffers that go into the checkpoint.

    Starts as random unit vectors. The pointer stays on the device: enqueueing never waits for it.

    Attributes:
        keys: (capacity, D) unit vectors.
        pointer: (1,) where the next batch is written, integer.
        clips: (capacity,) which clip each key is of, integer; only where `of_clips` asks for it.
    """

    def __init__(
        self, dim: int, capacity: int, wrap: int | None = None, of_clips: bool = False
    ) -> None:
        """Fill the ring with random unit vectors.

        Args:
            dim: D, size of a key.
            capacity: keys held.
            wrap: where the pointer returns to 0; None is capacity. The published clip and part
                queues return after K of their G·K keys, so the rest are never refreshed.
            of_clips: keep the clips of the keys beside them, which `nearest` needs.

        Raises:
            ValueError: a size below 1 or a wrap beyond the capacity.
        """
        super().__init__()
        self.wrap = capacity if wrap is None else wrap
        if min(dim, capacity, self.wrap) < 1 or self.wrap > capacity:
            raise ValueError(f"no queue of {capacity} keys of size {dim} wraps at {self.wrap}")
        self.register_buffer("keys", F.normalize(torch.randn(capacity, dim), dim=1))
        self.register_buffer("pointer", torch.zeros(1, dtype=torch.long))
        if of_clips:
            self.register_buffer("clips", torch.full((capacity,), NO_CLIP))

    @torch.no_grad()
    def enqueue(self, keys: Tensor, clips: Tensor | None = None) -> None:
        """Write a batch of keys over the oldest ones, in place.

        Args:
            keys: (B, D) unit vectors, B <= capacity.
            clips: (B,) which clips they are of, integer; not read by a queue without `clips`.

        Raises:
            ValueError: more keys than the queue holds.
        """
        capacity = self.keys.shape[0]
        if len(keys) > capacity:
            raise ValueError(f"{len(keys)} keys do not fit a queue of {capacity}")
        steps = torch.arange(len(keys), device=keys.device)
        positions = (self.pointer + steps) % capacity
        self.keys.index_copy_(0, positions, keys.to(self.keys.dtype))
        if hasattr(self, "clips"):
            self.clips.index_copy_(0, positions, clips)
        self.pointer.add_(len(keys)).remainder_(self.wrap)

    @torch.no_grad()
    def nearest(self, keys: Tensor, clips: Tensor) -> Tensor:
        """Find the queued key that is nearest to each of some keys, among those of other clips.

        Args:
            keys: (B, D) unit vectors.
            clips: (B,) which clips they are of, integer.

        Returns:
            (B, capacity) boolean, True at the nearest one; a row without any where no key of
            another clip was enqueued yet.
        """
        others = (self.clips != NO_CLIP) & (self.clips != clips[:, None])  # (B, capacity)
        similar = dots_with_all(keys, self.keys).masked_fill(~others, -torch.inf)
        best = similar.argmax(dim=1, keepdim=True)  # (B, 1)
        return torch.zeros_like(others).scatter(1, best, True) & others
