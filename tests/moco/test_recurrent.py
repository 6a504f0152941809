"""The recurrent encoder: our GRU against PyTorch's, a GPU's way against a CPU's."""

import pytest
import torch
from torch import nn

from moco import encoder_config
from moco.encoders.recurrent import RecurrentEncoder
from moco.kernels.gru import GRUWeights, gru_layer
from moco.kernels.recurrent import by_cudnn

NEAR = {"rtol": 1e-5, "atol": 1e-6}


def recurrent(kind, layers=1):
    torch.manual_seed(0)
    return RecurrentEncoder(encoder_config(kind=kind, hidden_size=12, num_layers=layers))


def levels_of(*lengths, size=12):
    return [torch.randn(3, tokens, size, requires_grad=True) for tokens in lengths]


def gradients(answer, *inputs):
    weights = torch.linspace(-1, 1, answer.numel(), dtype=answer.dtype).view_as(answer)
    return torch.autograd.grad((answer * weights).sum(), inputs, retain_graph=True)


@pytest.mark.parametrize("tokens", [1, 2, 7])
def test_states_and_all_gradients_are_those_of_pytorchs_gru(tokens):
    torch.manual_seed(0)
    rnn = nn.GRU(5, 4, bidirectional=True)
    x = torch.randn(tokens, 3, 5, requires_grad=True)
    plain = rnn(x)[0]
    states = gru_layer(x, GRUWeights.of(rnn, 0))
    ours = states.permute(1, 2, 0, 3).flatten(2)
    torch.testing.assert_close(ours, plain, **NEAR)
    for one, other in zip(
        gradients(ours, x, *rnn.parameters()), gradients(plain, x, *rnn.parameters()), strict=True
    ):
        torch.testing.assert_close(one, other, **NEAR)


def test_the_gradient_is_the_slope():
    torch.manual_seed(0)
    rnn = nn.GRU(3, 2, bidirectional=True, dtype=torch.float64)
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    weights = [weight.detach().requires_grad_() for weight in GRUWeights.of(rnn, 0)]
    assert torch.autograd.gradcheck(lambda x, *w: gru_layer(x, GRUWeights(*w)), (x, *weights))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_each_level_gets_the_maximum_of_pytorchs_layers(kind, layers):
    encoder, levels = recurrent(kind, layers), levels_of(9, 4, 2, 1)
    plain = torch.stack([encoder.rnn(level)[0].amax(dim=1) for level in levels], dim=1)
    ours = encoder(levels)
    torch.testing.assert_close(ours, plain, **NEAR)
    inputs = [*levels, *encoder.parameters()]
    for one, other in zip(gradients(ours, *inputs), gradients(plain, *inputs), strict=True):
        torch.testing.assert_close(one, other, **NEAR)


@pytest.mark.parametrize("mode", [True, False])
def test_cudnn_may_go_backward_in_either_mode_which_stays(mode):
    rnn = recurrent("GRU").rnn.train(mode)
    seen, tokens = [], levels_of(4)[0]
    rnn.register_forward_hook(lambda module, *_: seen.append(module.training))
    by_cudnn(rnn, tokens)
    with torch.no_grad():
        by_cudnn(rnn, tokens)
    assert seen == [True, False]
    assert rnn.training == mode


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_the_way_of_a_gpu_and_that_of_a_cpu_encode_the_same(kind):
    encoder, levels = recurrent(kind), levels_of(9, 4, 2, 1)
    there = torch.stack([by_cudnn(encoder.rnn, level).amax(dim=1) for level in levels], dim=1)
    here, inputs = encoder(levels), [*levels, *encoder.parameters()]
    torch.testing.assert_close(there, here, **NEAR)
    for one, other in zip(gradients(there, *inputs), gradients(here, *inputs), strict=True):
        torch.testing.assert_close(one, other, **NEAR)


def test_under_autocast_only_the_products_are_rounded():
    torch.manual_seed(0)
    rnn = nn.GRU(8, 6, bidirectional=True)
    x = torch.randn(12, 3, 8, requires_grad=True)
    exact = gru_layer(x, GRUWeights.of(rnn, 0))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = gru_layer(x, GRUWeights.of(rnn, 0))
    assert rounded.dtype == torch.float32
    assert 1e-5 < (rounded - exact).abs().max() < 0.02
    for one, other in zip(
        gradients(rounded, x, *rnn.parameters()),
        gradients(exact, x, *rnn.parameters()),
        strict=True,
    ):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.02 * other.norm()
    of_products = gradients(rounded, rnn.weight_ih_l0, rnn.weight_hh_l0_reverse)
    assert all(torch.equal(grad, grad.bfloat16().float()) for grad in of_products)


def test_under_autocast_the_gradients_of_the_biases_are_summed_in_float32():
    """Of what is rounded to bfloat16, so that only the sums tell it from a sum in bfloat16."""
    torch.manual_seed(0)
    rnn = nn.GRU(8, 6, bidirectional=True)
    x = torch.randn(12, 3, 8)
    with torch.autocast("cpu", torch.bfloat16):
        states = gru_layer(x, GRUWeights.of(rnn, 0))
    biases = {name: bias for name, bias in rnn.named_parameters() if "bias" in name}
    for name, grad in zip(biases, gradients(states, *biases.values()), strict=True):
        for gate, part in zip("rzn", grad.chunk(3), strict=True):
            assert (part != part.bfloat16().float()).sum() >= 4, (name, gate)  # of six
