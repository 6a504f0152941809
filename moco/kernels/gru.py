"""A bidirectional GRU layer for CPUs: both directions in one product, weights' gradients in one.

PyTorch's own takes one direction after the other, and in backward adds to the gradient of the
weights once for each token. The sums are the same.

Axes: N sequences, T tokens, F input features, H hidden units of a direction, 2 directions. The
gates lie in PyTorch's order: reset r, update z, new n.

Source: Cho et al. 2014 (arXiv:1406.1078), in the form of torch.nn.GRU.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Look = Callable[[Tensor], Tensor]
"""From a buffer (2, T, N, K) to what the two directions see of it at one step: a (2, N, K) view."""

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


class GRUWeights(NamedTuple):
    """Parameters of one layer, the two directions stacked.

    Attributes:
        inputs: (2, 3·H, F).
        hidden: (2, 3·H, H).
        input_bias: (2, 3·H).
        hidden_bias: (2, 3·H).
    """

    inputs: Tensor
    hidden: Tensor
    input_bias: Tensor
    hidden_bias: Tensor

    @classmethod
    def of(cls, rnn: nn.GRU, layer: int) -> "GRUWeights":
        """Stack what a bidirectional torch.nn.GRU holds for a layer."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ends = (f"_l{layer}", f"_l{layer}_reverse")
        return cls(*(torch.stack([getattr(rnn, name + end) for end in ends]) for name in names))


def gru_layer(tokens: Tensor, weights: GRUWeights) -> Tensor:
    """Run one layer from zero states; under autocast its products take the lower precision.

    Args:
        tokens: (T, N, F).
        weights: of the layer, float32.

    Returns:
        (2, T, N, H) states, float32, each at the token that its direction has just read.
    """
    lower = torch.is_autocast_enabled("cpu")
    precision = torch.get_autocast_dtype("cpu") if lower else weights.hidden.dtype
    return _Layer.apply(tokens.to(precision), *weights)


class _Layer(torch.autograd.Function):
    """h' = n + z·(h - n) with r, z = σ(W x + b + U h + c) and n = tanh(Wₙ x + bₙ + r·(Uₙ h + cₙ)).

    Products are computed in the precision of the tokens, all else in that of the weights.
    """

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, *parameters: Tensor) -> Tensor:
        """Walk through the tokens, each direction from its own end."""
        weights = GRUWeights(*parameters)
        T, N, _ = tokens.shape
        H = weights.hidden.shape[2]
        precision = weights.hidden.dtype
        gates = torch.bmm(_twice(tokens), weights.inputs.mT.to(tokens.dtype)).to(precision)
        gates = gates.view(2, T, N, 3 * H)  # W x; becomes r, z and n in place
        recalls, states = (gates.new_empty(2, T, N, H) for _ in range(2))  # Uₙ h + cₙ; h'
        recurrence = weights.hidden.mT.to(tokens.dtype).contiguous()  # (2, H, 3·H)
        bias, new_bias = _biases(weights)
        bias = bias.to(tokens.dtype)
        recalled = bias.repeat(1, N, 1)  # U h + c, and b of r and z; first h = 0
        state = gates.new_zeros(2, N, H)
        for now, before in _steps(T):
            if before is not None:
                state = before(states)
                torch.baddbmm(bias, state.to(tokens.dtype), recurrence, out=recalled)
            switches, new = now(gates).split([2 * H, H], dim=-1)
            reset, update = switches.add_(recalled[..., : 2 * H]).sigmoid_().chunk(2, dim=-1)
            recall = now(recalls).copy_(recalled[..., 2 * H :])
            new.add_(new_bias).addcmul_(reset, recall).tanh_()
            torch.lerp(new, state, update, out=now(states))
        ctx.save_for_backward(tokens, gates, recalls, states, *parameters)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        """Walk back; only what goes from state to state is computed on the way."""
        tokens, gates, recalls, states, *parameters = ctx.saved_tensors
        weights = GRUWeights(*parameters)
        grad = grad.contiguous()
        recurrence = weights.hidden.to(tokens.dtype)
        to_gates = torch.empty_like(gates, dtype=tokens.dtype)  # gradient of U h + c
        to_new = torch.empty_like(states, dtype=tokens.dtype)  # gradient of Wₙ x + bₙ
        kept, other = torch.empty_like(grad[:, 0]), torch.empty_like(grad[:, 0])
        first = torch.zeros_like(other)
        carry: Tensor | None = None
        for now, before in _steps(len(tokens), backwards=True):
            to_state = now(grad) if carry is None else carry.add_(now(grad))
            state = first if before is None else before(states)
            reset, update, new = now(gates).chunk(3, dim=-1)
            to_reset, to_update, to_recall = now(to_gates).chunk(3, dim=-1)
            torch.mul(to_state, update, out=kept)
            changed = torch.sub(to_state, kept, out=other)
            inside = _tanh_backward(changed, new, grad_input=now(to_new))
            torch.mul(inside, reset, out=to_recall)
            switched = torch.mul(inside, now(recalls), out=other)
            _sigmoid_backward(switched, reset, grad_input=to_reset)
            switched = torch.sub(state, new, out=other).mul_(to_state)
            _sigmoid_backward(switched, update, grad_input=to_update)
            if before is not None:
                carry = kept + torch.bmm(now(to_gates), recurrence)
        return _gradients(tokens, weights, states, to_gates, to_new)


def _twice(tokens: Tensor) -> Tensor:
    """(T, N, F) to (2, T·N, F), the same for both directions."""
    return tokens.flatten(0, 1).expand(2, -1, -1)


def _biases(weights: GRUWeights) -> tuple[Tensor, Tensor]:
    """What is added to U h, which for r and z is both biases, and what is added to Wₙ x."""
    H = weights.hidden.shape[2]
    bias = weights.hidden_bias.clone()
    bias[:, : 2 * H] += weights.input_bias[:, : 2 * H]
    return bias[:, None], weights.input_bias[:, None, 2 * H :]


def _gradients(
    tokens: Tensor, weights: GRUWeights, states: Tensor, to_gates: Tensor, to_new: Tensor
) -> tuple[Tensor, ...]:
    """From the gradients of the gates to those of tokens and weights; overwrites `to_gates`."""
    precision, H = states.dtype, states.shape[3]
    read = [(to_gates[0, 1:], states[0, :-1]), (to_gates[1, :-1], states[1, 1:])]
    hidden = [to.flatten(0, 1).T @ state.flatten(0, 1).to(to.dtype) for to, state in read]
    hidden_bias = to_gates.sum(dim=(1, 2), dtype=precision)
    input_bias = hidden_bias.clone()
    input_bias[:, 2 * H :] = to_new.sum(dim=(1, 2), dtype=precision)
    to_gates[..., 2 * H :] = to_new  # from here on the gradient of W x + b
    flat = to_gates.flatten(1, 2)  # (2, T·N, 3·H)
    inputs = torch.bmm(flat.mT, _twice(tokens)).to(precision)
    forward, backward = weights.inputs.to(tokens.dtype)
    to_tokens = torch.addmm(flat[0] @ forward, flat[1], backward).view_as(tokens)
    return to_tokens, inputs, torch.stack(hidden).to(precision), input_bias, hidden_bias


def _steps(T: int, backwards: bool = False) -> Iterator[tuple[Look, Look | None]]:
    """Yield how to look at each step and, but for the first, at the one before."""
    for step in reversed(range(T)) if backwards else range(T):
        yield _look(step, T - 1 - step), _look(step - 1, T - step) if step else None


def _look(forward: int, backward: int) -> Look:
    """One token for each direction. As one strided view, so that one product serves both."""

    def _view(buffer: Tensor) -> Tensor:
        _, T, N, K = buffer.shape
        apart = (T + backward - forward) * N * K
        begin = buffer.storage_offset() + forward * N * K
        return buffer.as_strided((2, N, K), (apart, K, 1), begin)

    return _view
