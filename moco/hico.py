"""HiCo: a query and a key network, five queues, and the contrast between them.

Source: HiCo (arXiv 2212.02082), section 3; He et al. 2020 (MoCo, arXiv:1911.05722).
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from moco.config import NEIGHBOUR_LEVELS, ContrastConfig, EncoderConfig, read_encoder_config
from moco.encoders.hierarchical import HierarchicalEncoder, Views
from moco.heads import LEVELS, Heads, Levels, pack, unpack, xavier_matrices
from moco.kernels.device import float32_only
from moco.loss import Logits, Losses, compare, hierarchical_contrast, sought, with_neighbours
from moco.method import Method
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


class HiCo(Method):
    """The model that is pre-trained; its query encoder is what remains of it afterwards.

    Attributes:
        config: kind and sizes of the encoder.
        contrast: projections, queues, momentum and temperature.
        query: the network that learns.
        key: its momentum copy, without gradient.
        queues: five KeyQueue, by level.
        has_neighbours: whether neighbours may be positives; the queues then keep whose keys they
            hold, and a step needs the numbers of its clips.
    """

    name = "HiCo"
    losses = Losses
    watched = ("instance_accuracy",)

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
        D, K = contrast.projection_size, contrast.queue_size
        wide = config.granularity * K  # clip and part have G keys a clip
        wrap = K if contrast.queue_wrap == "published" else wide
        self.has_neighbours = contrast.positives == "neighbours"
        queue = partial(KeyQueue, D, of_clips=self.has_neighbours)
        queues = Levels(
            clip=queue(wide, wrap),
            part=queue(wide, wrap),
            temporal=queue(K),
            spatial=queue(K),
            instance=queue(K),
        )
        self.queues = nn.ModuleDict(queues.items())
        if self.has_neighbours:  # on the device, so that a recorded step reads it
            self.register_buffer("neighbours_wanted", torch.ones(1).bool(), persistent=False)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "HiCo":
        """See Method; `settings` holds "config" and "contrast"."""
        config = read_encoder_config(settings["config"])
        return cls(config, ContrastConfig(**settings["contrast"]))

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """See Method."""
        return {"config": asdict(self.config), "contrast": asdict(self.contrast)}

    @property
    def encoder(self) -> HierarchicalEncoder:
        """The query network's, without its heads."""
        return self.query.encoder

    def start_epoch(self, epoch: int) -> None:
        """See Method: neighbours are positives from one epoch on."""
        if self.has_neighbours:
            self.neighbours_wanted.fill_(epoch >= self.contrast.neighbours_from)

    def step(self, query: Views, key: Views, clips: Tensor | None = None) -> Losses:
        """One step up to backward, in the published order; moves the key network and the queues."""
        self.update_momentum()
        losses, keys = self(query, key, clips)
        self.enqueue(keys, clips)
        return losses

    @torch.no_grad()
    def similarities(self, query: Views, key: Views) -> dict[str, Tensor]:
        """See Method: mean cosine of the instance to its own key, and to those of the queue."""
        ours, theirs = self.query(query).instance, self.key(key).instance  # (B, D)
        queue = self.queues["instance"].keys  # (K, D)
        return {"positives": (ours * theirs).sum(dim=1).mean(), "queue": (ours @ queue.T).mean()}

    def remarks(self, clips: int, batch_size: int) -> list[str]:
        """See Method."""
        keys, steps = self.contrast.queue_size, max(clips // batch_size, 1)
        full = -(-keys // batch_size)
        found = [
            f"note: the loss rises until the queue is full of real keys, at step {full} "
            f"(epoch {full // steps}); that is no divergence"
        ]
        if keys > clips:
            fits = max(clips // 2 // batch_size, 1) * batch_size
            found.append(
                f"warning: the queue holds {keys} keys but there are only {clips} clips, so that "
                f"a clip is contrasted with itself; try --hico-k {fits}"
            )
        return found

    def update_momentum(self) -> None:
        """Move the key network towards the query network, in place."""
        move_towards(self.key, self.query, self.contrast.momentum)

    def forward(
        self, query: Views, key: Views, clips: Tensor | None = None
    ) -> tuple[Losses, Levels[Tensor]]:
        """Contrast two views of a batch; changes nothing.

        Args:
            query: the first view, time (B, 64, 150) and space (B, 50, 192).
            key: the second view of the same clips.
            clips: (B,) which clips they are, integer; needed where there are neighbours.

        Returns:
            Losses (scalars) and the key projections to enqueue: clip and part (B, G, D),
            temporal, spatial and instance (B, D).
        """
        anchors = self.query(query, granularities=1)
        with torch.no_grad():
            keys = self.key(key)
            # A copy: backward reads the negatives, and enqueue comes before it. 11 MB a step.
            negatives = Levels(*(self.queues[level].keys.clone() for level in LEVELS))
        with float32_only(anchors.instance):
            logits = compare(anchors, keys, negatives, self.contrast.temperature)
            if self.has_neighbours:
                logits = self._with_neighbours(logits, keys, clips)
            return hierarchical_contrast(logits), keys

    def _with_neighbours(
        self, logits: Levels[Logits], keys: Levels[Tensor], clips: Tensor
    ) -> Levels[Logits]:
        """Make the queued key that is nearest to what a query looks for a positive of it too."""
        finest = replace(keys, clip=keys.clip[:, 0], part=keys.part[:, 0])  # (B, D) each
        own, queues = sought(finest), sought(Levels(**self.queues))
        changed = {}
        for level in NEIGHBOUR_LEVELS[self.contrast.neighbour_levels]:
            nearest = getattr(queues, level).nearest(getattr(own, level), clips)  # (B, K)
            nearest &= self.neighbours_wanted
            changed[level] = with_neighbours(getattr(logits, level), nearest)
        return replace(logits, **changed)

    def enqueue(self, keys: Levels[Tensor], clips: Tensor | None = None) -> None:
        """Put the keys of a batch into the five queues, in place.

        Args:
            keys: as `forward` returns them; clip and part go in clip by clip, level within clip.
            clips: (B,) which clips they are of, integer; needed where there are neighbours.
        """
        if self.gather is not None:
            keys = unpack(self.gather(pack(keys)))
            clips = self.gather(clips) if self.has_neighbours else None
        for level, projections in keys.items():
            rows = projections.flatten(0, -2)
            levels = len(rows) // len(projections)  # keys of one clip
            of_clips = clips.repeat_interleave(levels) if self.has_neighbours else None
            self.queues[level].enqueue(rows, of_clips)
