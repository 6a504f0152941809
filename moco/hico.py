"""HiCo: a query and a key network, five queues, and the contrast between them.

One training step, in the published order:
`update_momentum`, `forward`, `enqueue`, `losses.total.backward()`, optimiser step.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from moco.config import ContrastConfig, EncoderConfig
from moco.encoders.hierarchical import Features, HierarchicalEncoder, Views
from moco.heads import LEVELS, Heads, Levels, pack, unpack, xavier_matrices
from moco.loss import Losses, compare, hierarchical_contrast
from moco.momentum import frozen_copy, move_towards
from moco.queue import KeyQueue


class Network(nn.Module):
    """Encoder and heads: all that the query and the key network each have."""

    def __init__(self, config: EncoderConfig, projection_size: int) -> None:
        super().__init__()
        self.encoder = HierarchicalEncoder(config)
        self.heads = Heads(config, projection_size)
        xavier_matrices(self)

    def forward(self, views: Views, granularities: int | None = None) -> Levels[Tensor]:
        """Views to unit projections; see `Heads.forward`."""
        return self.heads(self.encoder(views), granularities)


class HiCo(nn.Module):
    """The model that is pre-trained; `features` is what remains of it afterwards.

    Attributes:
        query: the network that learns.
        key: its momentum copy, without gradient.
        queues: five KeyQueue, by level.
        gather: brings the rows of all processes together, (B / N, …) to (B, …), where N train
            one model; None where one does.
    """

    gather: Callable[[Tensor], Tensor] | None = None

    def __init__(
        self,
        config: EncoderConfig,
        contrast: ContrastConfig = ContrastConfig(),  # noqa: B008
    ) -> None:
        """Draw the query network from torch's global generator, copy it, fill the queues.

        Args:
            config: kind and sizes of the encoder.
            contrast: projections, queues, momentum and temperature. The clip and part queues hold
                G·K keys; with queue_wrap "published" their pointers go back to 0 after K keys, so
                that (G - 1)·K stay as they were drawn; with "full" after G·K.
        """
        super().__init__()
        self.config, self.contrast = config, contrast
        self.query = Network(config, contrast.projection_size)
        self.key = frozen_copy(self.query)
        K = contrast.queue_size
        wide = config.granularity * K  # clip and part have G keys a clip
        wrap = K if contrast.queue_wrap == "published" else wide
        sizes = Levels(*[(wide, wrap)] * 2, *[(K, K)] * 3)
        self.queues = nn.ModuleDict(
            {
                level: KeyQueue(contrast.projection_size, *size)
                for level, size in sizes._asdict().items()
            }
        )

    def update_momentum(self) -> None:
        """Move the key network towards the query network, in place: first thing in a step."""
        move_towards(self.key, self.query, self.contrast.momentum)

    def forward(self, query: Views, key: Views) -> tuple[Losses, Levels[Tensor]]:
        """Contrast two views of a batch; changes nothing.

        Args:
            query: the first view, time (B, 64, 150) and space (B, 50, 192).
            key: the second view of the same clips.

        Returns:
            Losses (scalars) and the key projections to enqueue: clip and part (B, G, D),
            temporal, spatial and instance (B, D).
        """
        anchors = self.query(query, granularities=1)
        with torch.no_grad():
            keys = self.key(key)
            # A copy: backward reads the negatives, and enqueue may come before it. 11 MB a step.
            queues = Levels(*(self.queues[level].keys.clone() for level in LEVELS))
        with torch.autocast(anchors.instance.device.type, enabled=False):
            logits = compare(anchors, keys, queues, self.contrast.temperature)
            return hierarchical_contrast(logits), keys

    def enqueue(self, keys: Levels[Tensor]) -> None:
        """Put the keys of a batch into the five queues, in place.

        Args:
            keys: as `forward` returns them; clip and part go in clip by clip, level within clip.
        """
        if self.gather is not None:
            keys = unpack(self.gather(pack(keys)))
        for level, projections in keys._asdict().items():
            self.queues[level].enqueue(projections.flatten(0, -2))

    def encode(self, views: Views) -> Features:
        """Features of the query encoder at each granularity: clip and part (N, G, d)."""
        return self.query.encoder(views)

    def features(self, views: Views) -> Tensor:
        """What probe and retrieval use: (N, 2·G·d) of the query encoder, before the heads."""
        return self.encode(views).instance
