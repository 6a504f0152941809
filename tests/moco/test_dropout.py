"""Dropout: its law, its scale, its gradient, and attention with and without it."""

import pytest
import torch

from moco import Views
from moco.encoders.transformer import SelfAttention
from moco.kernels.dropout import STEPS, dropout, scaled_mask
from moco.published import from_published
from tests.oracles.model import PlainHiCo
from tests.support.elsewhere import AWAY, elsewhere


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


COPIES = 20_000
PLACES = ("self_attn", "dropout", "dropout1", "dropout2")
"""Where PyTorch's layer drops out: in attention, after linear1, after attention, after linear2."""


@pytest.fixture(scope="module")
def plain():
    """A plain model whose Transformers say much, so that dropout anywhere shows in the features."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_heads": 2, "granularity": 2}
    model = PlainHiCo("Transformer", **sizes, projection_size=4, queue_size=8)
    for branch in (model.encoder_q.hi_encoder.t_encoder, model.encoder_q.hi_encoder.s_encoder):
        for parameter in branch.parameters():
            parameter.data += 0.5 * torch.randn_like(parameter)
    return model


def spread(features_of, device="cpu"):
    """Mean and spread of each feature of one clip, (2 G d) each, over many draws of dropout."""
    torch.manual_seed(1)
    view = torch.randn(1, 4, 150), torch.randn(1, 3, 192)
    with torch.no_grad():
        many = [layout.to(device).expand(COPIES, -1, -1) for layout in view]
        found = features_of(many).cpu()
    return found.mean(dim=0), found.std(dim=0)


def furthest(one, other):
    """How far two means lie apart, in spreads of the second, and two spreads, as a share."""
    return ((one[0] - other[0]) / other[1]).abs().max(), (one[1] / other[1] - 1).abs().max()


@pytest.mark.parametrize("away", [False, True], ids=["cpu", "elsewhere"])
def test_the_default_model_drops_out_where_pytorchs_layer_does_and_as_much(plain, away):
    expected = spread(plain.encoder_q.features)
    model = from_published(plain.state_dict(), num_heads=2).train()

    def features_of(view):
        return model.encoder(Views(*view)).instance

    if away:
        with elsewhere():
            model.to(AWAY)
            found = spread(features_of, AWAY)
    else:
        found = spread(features_of)
    means, spreads = furthest(found, expected)
    assert means < 0.06  # by chance 0.035 or less
    assert spreads < 0.08  # by chance 0.05 or less; see below for what it must tell apart


@pytest.mark.parametrize("place", PLACES)
def test_dropout_missing_at_one_place_would_be_seen(plain, place, monkeypatch):
    expected = spread(plain.encoder_q.features)
    for branch in (plain.encoder_q.hi_encoder.t_encoder, plain.encoder_q.hi_encoder.s_encoder):
        module = getattr(branch.layers[0], place)
        monkeypatch.setattr(module, "dropout" if place == "self_attn" else "p", 0.0)
    assert furthest(spread(plain.encoder_q.features), expected)[1] > 0.16
