"""HiCo: a query and a key network, five queues, and the contrast between them.

One training step, in the published order:
`update_momentum`, `forward`, `enqueue`, `losses.total.backward()`, optimiser step.
"""

import torch
from torch import Tensor, nn

from moco.config import EncoderConfig
from moco.encoder import Features, HierarchicalEncoder, Views
from moco.heads import LEVELS, Heads, Levels, xavier_matrices
from moco.loss import Losses, compare, hierarchical_contrast
from moco.momentum import frozen_copy, move_towards
from moco.queue import KeyQueue

QUEUE_WRAPS = ("published", "full")


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
    """

    def __init__(
        self,
        config: EncoderConfig,
        projection_size: int = 128,
        queue_size: int = 2048,
        momentum: float = 0.999,
        temperature: float = 0.2,
        queue_wrap: str = "published",
    ) -> None:
        """Draw the query network from torch's global generator, copy it, fill the queues.

        Args:
            config: kind and sizes of the encoder.
            projection_size: D.
            queue_size: K; the clip and part queues hold G·K keys.
            momentum: m of the key network, in [0, 1].
            temperature: t > 0, divides the cosine similarities.
            queue_wrap: "published" takes the clip and part pointers back to 0 after K keys, so
                that (G - 1)·K stay as they were drawn; "full" after G·K.

        Raises:
            ValueError: a value outside these bounds.
        """
        super().__init__()
        if queue_wrap not in QUEUE_WRAPS:
            raise ValueError(f"queue wrap {queue_wrap}: choose one of {', '.join(QUEUE_WRAPS)}")
        if not (0 <= momentum <= 1 and temperature > 0):
            raise ValueError(
                f"momentum {momentum} must be in [0, 1], temperature {temperature} > 0"
            )
        self.config, self.queue_wrap = config, queue_wrap
        self.momentum, self.temperature = momentum, temperature
        self.query = Network(config, projection_size)
        self.key = frozen_copy(self.query)
        wide = config.granularity * queue_size  # clip and part have G keys a clip
        wrap = queue_size if queue_wrap == "published" else wide
        sizes = Levels(*[(wide, wrap)] * 2, *[(queue_size, queue_size)] * 3)
        self.queues = nn.ModuleDict(
            {level: KeyQueue(projection_size, *size) for level, size in sizes._asdict().items()}
        )

    @property
    def projection_size(self) -> int:
        """D."""
        return self.queues["instance"].keys.shape[1]

    @property
    def queue_size(self) -> int:
        """K."""
        return self.queues["instance"].keys.shape[0]

    def update_momentum(self) -> None:
        """Move the key network towards the query network, in place: first thing in a step."""
        move_towards(self.key, self.query, self.momentum)

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
            logits = compare(anchors, keys, queues, self.temperature)
            return hierarchical_contrast(logits), keys

    def enqueue(self, keys: Levels[Tensor]) -> None:
        """Put the keys of a batch into the five queues, in place.

        Args:
            keys: as `forward` returns them; clip and part go in clip by clip, level within clip.
        """
        for level, projections in keys._asdict().items():
            self.queues[level].enqueue(projections.flatten(0, -2))

    def encode(self, views: Views) -> Features:
        """Features of the query encoder at each granularity: clip and part (N, G, d)."""
        return self.query.encoder(views)

    def features(self, views: Views) -> Tensor:
        """What probe and retrieval use: (N, 2·G·d) of the query encoder, before the heads."""
        return self.encode(views).instance
