"""Attention of all levels of a branch in one call.

Axes: N clips, S tokens of all levels, H heads, D features of a head, G levels.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moco.encoders.transformer import SelfAttention
from tools.benchmark.candidates.case import Candidate, Case
from tools.training.step import TIME_TOKENS

Call = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""From query, key and value, each (N, S, H, D), and the share that drops, to (N, S, H, D)."""


def block_mask(lengths: list[int], clips: int, device: torch.device) -> Call:
    """One sequence of S tokens, with a mask that lets no level see another."""
    level = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    mask = (level[:, None] == level).to(device)  # (S, S)

    def _attend(query: Tensor, key: Tensor, value: Tensor, drop: float) -> Tensor:
        parts = (part.transpose(1, 2) for part in (query, key, value))  # (N, H, S, D)
        mixed = F.scaled_dot_product_attention(*parts, attn_mask=mask, dropout_p=drop)
        return mixed.transpose(1, 2)

    return _attend


def jagged(lengths: list[int], clips: int, device: torch.device) -> Call:
    """A nested tensor of N·G sequences, each of its own length."""
    starts = torch.tensor([0, *lengths[:-1]]).cumsum(0)
    S = sum(lengths)
    offsets = (torch.arange(clips)[:, None] * S + starts).flatten()
    offsets = torch.cat([offsets, torch.tensor([clips * S])]).to(device)

    def _nested(part: Tensor) -> Tensor:
        values = part.flatten(0, 1).contiguous()
        bounds = {"min_seqlen": min(lengths), "max_seqlen": max(lengths)}
        nested = torch.nested.nested_tensor_from_jagged(values, offsets, **bounds)
        return nested.transpose(1, 2)

    def _attend(query: Tensor, key: Tensor, value: Tensor, drop: float) -> Tensor:
        nested = (_nested(part) for part in (query, key, value))
        mixed = F.scaled_dot_product_attention(*nested, dropout_p=drop)
        return mixed.transpose(1, 2).values().unflatten(0, query.shape[:2])

    return _attend


def padded(lengths: list[int], clips: int, device: torch.device) -> Call:
    """N·G sequences as long as the longest, with a mask that hides what is beyond their end."""
    S, T = sum(lengths), max(lengths)
    length, steps = torch.tensor(lengths)[:, None], torch.arange(T)
    there = steps < length  # (G, T)
    first = length.cumsum(0) - length
    places = (first + steps).clamp(max=S - 1).flatten().to(device)  # of G·T tokens among S
    back = there.flatten().nonzero()[:, 0].to(device)  # of S tokens among G·T
    mask = there[:, None, None].repeat(clips, 1, 1, 1).to(device)  # (N·G, 1, 1, T)

    def _attend(query: Tensor, key: Tensor, value: Tensor, drop: float) -> Tensor:
        parts = (
            part.index_select(1, places).unflatten(1, (-1, T)).flatten(0, 1).transpose(1, 2)
            for part in (query, key, value)
        )  # (N·G, H, T, D)
        mixed = F.scaled_dot_product_attention(*parts, attn_mask=mask, dropout_p=drop)
        return mixed.transpose(1, 2).unflatten(0, (clips, -1)).flatten(1, 2).index_select(1, back)

    return _attend


def attend(layer: SelfAttention, tokens: Tensor, call: Call) -> Tensor:
    """The product's layer with another call: (N, S, d) to (N, S, d)."""
    N, S, d = tokens.shape
    stacked = F.linear(tokens, layer.in_proj_weight, layer.in_proj_bias)
    query, key, value = stacked.view(N, S, 3, layer.num_heads, -1).unbind(2)
    mixed = call(query, key, value, layer.dropout if layer.training else 0.0)
    return layer.out_proj(mixed.reshape(N, S, d))


def together(case: Case) -> Iterator[Candidate]:
    """The attention of the time branch; a Transformer's only."""
    if case.run.encoder.kind != "Transformer":
        return
    layer: nn.Module = case.model().query.encoder.time.sequence.layers[0].self_attn
    lengths = [TIME_TOKENS >> level for level in range(case.run.encoder.granularity)]
    tokens = case.tokens(sum(lengths))
    inputs = [tokens, *layer.parameters()]
    product = case.differentiated(lambda: (layer(tokens, lengths),), inputs)
    for form in (block_mask, jagged, padded):
        call = form(lengths, len(tokens), case.device)
        other = case.differentiated(lambda call=call: (attend(layer, tokens, call),), inputs)
        yield Candidate(f"attention: {form.__name__}", product, other)
