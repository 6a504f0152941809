"""The published network, plainly: torch.nn modules, one pass for each level, branch and view.

Attribute names are the published checkpoint's, so that its state loads as it is. The forward pass
of `PlainHiCo` updates the key encoder and the queues on its way, as the published one does.
Axes: N clips, L tokens, d hidden size, G levels (granularity), D projection size, K queue size.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

View = tuple[Tensor, Tensor]  # time-major (N, 64, 150), space-major (N, 50, 192)
NAMES = ("clip", "part", "temporal", "spatial", "instance")
PREFIXES = ("c", "p", "t", "s", "i")


class _Convolution(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dw_conv = nn.Conv1d(channels, channels, kernel_size=5, padding=2, groups=channels)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.dw_conv(tokens.transpose(1, 2)).transpose(1, 2)


class PlainDownsample(nn.Module):
    """Unified downsampling of tokens: (N, L, d) -> (N, floor(L / 2), d)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _Convolution(channels)
        self.norm = nn.LayerNorm(channels)
        self.pool = nn.MaxPool1d(2)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = F.relu(self.norm(self.conv(tokens)))
        return self.pool(tokens.transpose(1, 2)).transpose(1, 2)


def _sequence_encoders(kind: str, d: int, heads: int, layers: int) -> tuple[nn.Module, nn.Module]:
    if kind == "Transformer":
        # Both branches copy one layer, so they start with the same biases.
        layer = nn.TransformerEncoderLayer(d, heads, d, dropout=0.1, batch_first=True)
        pair = [nn.TransformerEncoder(layer, layers, enable_nested_tensor=False) for _ in range(2)]
    else:
        recurrent = {"GRU": nn.GRU, "LSTM": nn.LSTM}[kind]
        pair = [
            recurrent(d, d // 2, layers, batch_first=True, bidirectional=True) for _ in range(2)
        ]
    return pair[0], pair[1]


def _embedding(features: int, d: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, d), nn.LayerNorm(d), nn.ReLU(), nn.Linear(d, d))


class PlainEncoder(nn.Module):
    """The hierarchical encoder: two branches, G levels, each level run apart."""

    def __init__(
        self, kind: str, d: int, heads: int, layers: int, G: int, time: int, space: int
    ) -> None:
        super().__init__()
        self.granularity = G
        self.t_embedding = _embedding(time, d)
        self.s_embedding = _embedding(space, d)
        self.t_downsample = PlainDownsample(d)
        self.s_downsample = PlainDownsample(d)
        self.t_encoder, self.s_encoder = _sequence_encoders(kind, d, heads, layers)

    def _branch(
        self, tokens: Tensor, embedding: nn.Module, downsample: nn.Module, encoder: nn.Module
    ) -> Tensor:
        tokens, levels = embedding(tokens), []
        for level in range(self.granularity):
            if level > 0:
                tokens = downsample(tokens)
            encoded = encoder(tokens)
            if isinstance(encoded, tuple):
                encoded = encoded[0]
            levels.append(encoded.amax(dim=1))  # amax shares the gradient among ties
        return torch.stack(levels, dim=1)  # (N, G, d)

    def forward(self, view: View) -> tuple[Tensor, Tensor]:
        time, space = view
        clip = self._branch(time, self.t_embedding, self.t_downsample, self.t_encoder)
        part = self._branch(space, self.s_embedding, self.s_downsample, self.s_encoder)
        return clip, part


def _head(inputs: int, d: int, D: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, d), nn.ReLU(), nn.Linear(d, D))


class PlainNetwork(nn.Module):
    """Hierarchical encoder and the five projection heads."""

    def __init__(self, encoder: PlainEncoder, d: int, D: int) -> None:
        super().__init__()
        G = encoder.granularity
        self.hi_encoder = encoder
        self.clip_proj = _head(d, d, D)
        self.part_proj = _head(d, d, D)
        self.td_proj = _head(G * d, d, D)
        self.sd_proj = _head(G * d, d, D)
        self.instance_proj = _head(2 * G * d, d, D)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter)

    def features(self, view: View) -> Tensor:
        """What probe and retrieval use: (N, 2 G d)."""
        clip, part = self.hi_encoder(view)
        return torch.cat([clip.flatten(1), part.flatten(1)], dim=1)

    def forward(self, view: View) -> dict[str, Tensor]:
        """Projections before normalisation: clip and part (N, G, D), the others (N, D)."""
        clip, part = self.hi_encoder(view)
        temporal, spatial = clip.flatten(1), part.flatten(1)
        return {
            "clip": self.clip_proj(clip),
            "part": self.part_proj(part),
            "temporal": self.td_proj(temporal),
            "spatial": self.sd_proj(spatial),
            "instance": self.instance_proj(torch.cat([temporal, spatial], dim=1)),
        }


class PlainHiCo(nn.Module):
    """Query and key networks and five queues, under the published names."""

    def __init__(
        self,
        kind: str,
        hidden_size: int = 512,
        num_heads: int = 4,
        num_layers: int = 1,
        granularity: int = 4,
        time_features: int = 150,
        space_features: int = 192,
        projection_size: int = 128,
        queue_size: int = 2048,
        momentum: float = 0.999,
        temperature: float = 0.2,
    ) -> None:
        super().__init__()
        self.granularity, self.queue_size = granularity, queue_size
        self.momentum, self.temperature = momentum, temperature
        encoder = PlainEncoder(
            kind, hidden_size, num_heads, num_layers, granularity, time_features, space_features
        )
        self.encoder_q = PlainNetwork(encoder, hidden_size, projection_size)
        self.encoder_k = copy.deepcopy(self.encoder_q)
        for parameter in self.encoder_k.parameters():
            parameter.requires_grad = False
        for prefix in PREFIXES:
            columns = queue_size * (granularity if prefix in "cp" else 1)
            queue = F.normalize(torch.randn(projection_size, columns), dim=0)
            self.register_buffer(f"{prefix}_queue", queue)
            self.register_buffer(f"{prefix}_queue_ptr", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def update_key_encoder(self) -> None:
        """Move the key network: key <- m key + (1 - m) query, one parameter after the other."""
        pairs = zip(self.encoder_q.parameters(), self.encoder_k.parameters(), strict=True)
        for query, key in pairs:
            key.data = key.data * self.momentum + query.data * (1.0 - self.momentum)

    @torch.no_grad()
    def enqueue(self, prefix: str, keys: Tensor) -> None:
        """Write keys (n, D) as columns from the pointer on, which wraps at K as published."""
        queue, pointer = getattr(self, f"{prefix}_queue"), getattr(self, f"{prefix}_queue_ptr")
        start, count = int(pointer), keys.shape[0]
        queue[:, start : start + count] = keys.T
        pointer[0] = (start + count) % self.queue_size

    def logits(self, query: dict[str, Tensor], key: dict[str, Tensor]) -> dict[str, Tensor]:
        """Positives first, then a copy of the queue as it is, divided by the temperature."""
        result = {}
        for name, positive, queue in (
            ("clip", key["clip"], self.c_queue),
            ("part", key["part"], self.p_queue),
            ("temporal", key["spatial"], self.s_queue),
            ("spatial", key["temporal"], self.t_queue),
            ("instance", key["instance"], self.i_queue),
        ):
            anchor = query[name][:, 0] if name in ("clip", "part") else query[name]
            positive = positive if positive.dim() == 3 else positive[:, None]  # (N, P, D)
            near = torch.einsum("nd,npd->np", anchor, positive)
            far = torch.einsum("nd,dk->nk", anchor, queue.clone().detach())
            result[name] = torch.cat([near, far], dim=1) / self.temperature
        return result

    def forward(self, query_view: View, key_view: View) -> dict[str, Tensor]:
        """Logits of the five terms; moves the key encoder and fills the queues on the way."""
        query = {n: F.normalize(p, dim=-1) for n, p in self.encoder_q(query_view).items()}
        with torch.no_grad():
            self.update_key_encoder()
            key = {n: F.normalize(p, dim=-1) for n, p in self.encoder_k(key_view).items()}
        logits = self.logits(query, key)
        for name, prefix in zip(NAMES, PREFIXES, strict=True):
            self.enqueue(prefix, key[name].reshape(-1, key[name].shape[-1]))
        return logits


def any_positive(logits: Tensor, positives: int) -> Tensor:
    """-log(sum of positives / sum of everything), batch mean, by a mask made on the host."""
    mask = torch.zeros(logits.shape)
    mask[:, :positives] = 1
    mask = mask.to(logits.device)
    scores = torch.exp(logits)
    return -torch.log((scores * mask).sum(dim=1) / scores.sum(dim=1)).mean()


def plain_losses(logits: dict[str, Tensor], granularity: int) -> dict[str, Tensor]:
    """The five losses by name, in nats, and their plain sum as "total"."""
    losses = {}
    for name in NAMES:
        if name in ("clip", "part"):
            losses[name] = any_positive(logits[name], granularity)
        else:
            labels = torch.zeros(logits[name].shape[0], dtype=torch.long).to(logits[name].device)
            losses[name] = F.cross_entropy(logits[name], labels)
    losses["total"] = sum(losses[name] for name in NAMES)
    return losses
