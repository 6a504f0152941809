"""Products in float32 proper, whatever rounding the networks are allowed.

`tf32` is a switch of the process, read when a product is launched, in backward again.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@contextmanager
def full_float32() -> Iterator[None]:
    """Multiply float32 matrices without rounding them; all switches are given back."""
    old = None
    with suppress(RuntimeError):  # the newer switches were used alone, so that the old has no value
        old = torch.get_float32_matmul_precision()
    newer = [module for module in _matmul_switches() if hasattr(module, "fp32_precision")]
    before = [module.fp32_precision for module in newer]
    torch.set_float32_matmul_precision("highest")  # sets the newer switches too
    try:
        yield
    finally:
        if old is not None:
            torch.set_float32_matmul_precision(old)
        for module, precision in zip(newer, before, strict=True):
            module.fp32_precision = precision


def dots_with_own(query: Tensor, others: Tensor) -> Tensor:
    """Products of (N, D) vectors with P others each, (N, P, D): (N, P) in full float32."""
    if query.device.type == "cpu":  # which knows no tf32
        return torch.einsum("nd,npd->np", query, others)
    return FullProduct.apply(others, query[:, :, None])[..., 0]


def dots_with_all(query: Tensor, others: Tensor) -> Tensor:
    """Products of (N, D) vectors with the same (K, D) others: (N, K) in full float32."""
    if query.device.type == "cpu":
        return query @ others.T
    return FullProduct.apply(query, others.T)


class FullProduct(torch.autograd.Function):
    """left @ right, (M, K) and (K, L) or (N, M, K) and (N, K, L), in full float32 both ways."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        """Keep both."""
        ctx.save_for_backward(left, right)
        with full_float32():
            return left @ right

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Multiply the gradient with the other side."""
        left, right = ctx.saved_tensors
        with full_float32():
            to_left = grad @ right.mT if ctx.needs_input_grad[0] else None
            to_right = left.mT @ grad if ctx.needs_input_grad[1] else None
        return to_left, to_right


def _matmul_switches() -> list[Any]:
    """Where torch 2.9 and later have a switch of their own for products."""
    return [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
