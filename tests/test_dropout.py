"""Dropout: its law, its scale, its gradient, and attention with and without it."""

import pytest
import torch

from moco.encoders.transformer import SelfAttention
from moco.kernels.dropout import STEPS, dropout, scaled_mask


def test_elements_fall_alone_and_with_the_given_chance():
    torch.manual_seed(0)
    mask = scaled_mask(torch.Size((401, 1000)), 0.1, torch.float32) == 0
    assert abs(mask.double().mean() - 0.1) < 4 * (0.09 / 401_000) ** 0.5
    beside, above, one_word_on = mask[:, 1:], mask[1:], mask[:, 4:]
    for neighbours in (beside & mask[:, :-1], above & mask[:-1], one_word_on & mask[:, :-4]):
        assert abs(neighbours.double().mean() - 0.01) < 4 * (0.01 * 0.99 / 400_000) ** 0.5


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_mean_stays(probability):
    torch.manual_seed(0)
    dropped = round(probability * STEPS) / STEPS
    mask = scaled_mask(torch.Size((500_000,)), probability, torch.float64)
    assert set(mask.unique().tolist()) == {0.0, 1 / (1 - dropped)}
    spread = (dropped / (1 - dropped) / 500_000) ** 0.5
    assert abs(mask.mean() - 1) < 4 * spread


def test_the_gradient_goes_where_the_value_went():
    x = torch.randn(7, 9, requires_grad=True)
    y = dropout(x, 0.5, training=True)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), y.detach())


def test_it_does_nothing_outside_training_or_at_chance_zero():
    x = torch.randn(3)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x


def test_it_is_drawn_from_the_global_generator():
    torch.manual_seed(1)
    one = dropout(torch.ones(99), 0.5, training=True)
    torch.manual_seed(1)
    assert torch.equal(one, dropout(torch.ones(99), 0.5, training=True))


def test_attention_averages_to_attention_without_dropout():
    torch.manual_seed(0)
    attention = SelfAttention(8, 2, 0.1)
    torch.nn.init.normal_(attention.in_proj_weight)
    tokens = torch.randn(1, 6, 8)
    with torch.no_grad():
        expected = attention.eval()(tokens, [4, 2])
        attention.train()
        many = attention(tokens.expand(20_000, -1, -1), [4, 2])
    error = (many.mean(dim=0) - expected[0]).abs() / (many.std(dim=0) / 20_000**0.5)
    assert error.max() < 5
    assert many.std(dim=0).min() > 0
