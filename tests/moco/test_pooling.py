"""The maximum over tokens: its values, and how its gradient is shared."""

import pytest
import torch

from moco.kernels.pooling import maximum


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_value_and_gradient_are_those_of_amax(dim):
    torch.manual_seed(0)
    tokens = torch.randint(4, (5, 6, 7)).float()  # many ties
    ours, plain = tokens.clone().requires_grad_(), tokens.clone().requires_grad_()
    one, other = maximum(ours, dim), plain.amax(dim=dim)
    assert torch.equal(one, other)
    weights = torch.randn_like(one)
    (one * weights).sum().backward()
    (other * weights).sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad)


def test_tied_tokens_share_the_gradient():
    tokens = torch.ones(1, 4, 8, requires_grad=True)
    maximum(tokens, dim=1).sum().backward()
    assert (tokens.grad == 0.25).all()


def test_it_keeps_the_precision_of_its_tokens():
    tokens = torch.randn(2, 3, 4).bfloat16().requires_grad_()
    most = maximum(tokens, dim=1)
    most.sum().backward()
    assert most.dtype == tokens.grad.dtype == torch.bfloat16
