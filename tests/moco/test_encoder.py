"""The encoder: levels, ties, initial values and refusals (its numbers: test_published_model.py)."""

import pytest
import torch

from moco import ContrastConfig, HiCo, Views, encoder_config
from moco.encoders.hierarchical import Downsample, HierarchicalEncoder

KINDS = ["GRU", "LSTM", "Transformer"]


def views(count=3):
    return Views(torch.randn(count, 64, 150), torch.randn(count, 50, 192))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("granularity", [1, 4, 6])
def test_features_have_one_row_a_granularity(kind, granularity):
    config = encoder_config(kind=kind, hidden_size=8, granularity=granularity)
    features = HierarchicalEncoder(config)(views())
    assert features.clip.shape == features.part.shape == (3, granularity, 8)
    assert features.instance.shape == (3, config.feature_size)


@pytest.mark.parametrize(("tokens", "kept"), [(64, 32), (25, 12), (2, 1), (3, 1)])
def test_downsampling_halves_and_drops_an_odd_last_token(tokens, kept):
    module = Downsample(8)
    x = torch.randn(2, tokens, 8)
    normed = module.norm(module.conv(x.transpose(1, 2)).transpose(1, 2)).relu()
    expected = torch.nn.functional.max_pool1d(normed.transpose(1, 2), 2).transpose(1, 2)
    assert module(x).shape == (2, kept, 8)
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_levels_do_not_see_each_other(kind):
    """Every level reads embedded tokens only, so more levels leave the finer ones alone."""
    torch.manual_seed(0)
    fine = HierarchicalEncoder(encoder_config(kind=kind, hidden_size=8, granularity=2)).eval()
    coarse = HierarchicalEncoder(encoder_config(kind=kind, hidden_size=8, granularity=4)).eval()
    coarse.load_state_dict(fine.state_dict())
    batch = views()
    torch.testing.assert_close(fine(batch).clip, coarse(batch).clip[:, :2])
    torch.testing.assert_close(fine(batch).part, coarse(batch).part[:, :2])


def test_a_transformer_does_not_see_the_order_of_its_tokens():
    encoder = HierarchicalEncoder(encoder_config(hidden_size=8, granularity=1)).eval()
    batch = views()
    turned = Views(batch.time.flip(1), batch.space.flip(1))
    torch.testing.assert_close(encoder(batch).clip, encoder(turned).clip)


@pytest.mark.parametrize("kind", KINDS)
def test_every_matrix_is_xavier_uniform_and_the_key_is_a_copy(kind):
    torch.manual_seed(0)
    model = HiCo(
        encoder_config(kind=kind, hidden_size=64, num_layers=2), ContrastConfig(queue_size=64)
    )
    for name, parameter in model.query.named_parameters():
        if parameter.dim() == 2:
            bound = (6 / sum(parameter.shape)) ** 0.5
            assert parameter.abs().max() <= bound, name
            assert parameter.abs().max() > 0.98 * bound, name
    for one, other in zip(model.query.parameters(), model.key.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.data_ptr() != other.data_ptr()
        assert not other.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_matrix_starts_as_pytorch_starts_it(kind):
    """Xavier would take the depthwise convolution to (6 / (5 + 5 d)) ** 0.5."""
    torch.manual_seed(0)
    query = HiCo(encoder_config(kind=kind, hidden_size=64), ContrastConfig(queue_size=64)).query
    modules = dict(query.named_modules())
    for name, parameter in query.named_parameters():
        if parameter.dim() == 2:
            continue
        module = modules[name.rpartition(".")[0]]
        if isinstance(module, torch.nn.LayerNorm):
            assert (parameter == float(name.endswith("weight"))).all(), name
        elif isinstance(module, torch.nn.Conv1d):  # 1 / fan-in of 5, weight and bias
            assert 0.9 * 5**-0.5 < parameter.abs().max() <= 5**-0.5, name
    (conv, *_) = (m for m in modules.values() if isinstance(m, torch.nn.Conv1d))
    assert conv.weight.dim() == 3


def test_both_transformers_and_all_their_layers_start_from_the_same_vectors():
    torch.manual_seed(0)
    encoder = HiCo(
        encoder_config(hidden_size=16, num_layers=2), ContrastConfig(queue_size=8)
    ).query.encoder
    layers = [*encoder.time.sequence.layers, *encoder.space.sequence.layers]
    first = dict(layers[0].named_parameters())
    for layer in layers[1:]:
        for name, parameter in layer.named_parameters():
            assert torch.equal(parameter, first[name]) == (parameter.dim() == 1), name


def test_dropout_works_in_training_only():
    model = HiCo(encoder_config(hidden_size=16), ContrastConfig(projection_size=8, queue_size=8))
    batch = views()
    assert not torch.equal(model.encoder(batch).instance, model.encoder(batch).instance)
    model.eval()
    assert torch.equal(model.encoder(batch).instance, model.encoder(batch).instance)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "TCN"}, "kind TCN: known are GRU, LSTM, Transformer"),
        ({"granularity": 7}, "granularity 7: needs a number 1 or more and at most 6"),
        ({"hidden_size": 10}, "hidden_size 10: must be a multiple of --num-heads 4"),
        (
            {"kind": "GRU", "hidden_size": 9},
            "hidden_size 9: must be even for GRU, half for each direction",
        ),
        ({"num_layers": 0}, "num_layers 0: needs a number 1 or more"),
    ],
)
def test_sizes_that_no_encoder_can_have_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        encoder_config(**options)


def test_levels_taken_together_or_apart_encode_the_same():
    sequence = HierarchicalEncoder(encoder_config(hidden_size=8, num_layers=2)).eval().time.sequence
    levels = [torch.randn(3, tokens, 8) for tokens in (64, 32, 16, 8)]
    together = sequence.encode(levels)
    for level, encoded in zip(levels, together, strict=True):
        torch.testing.assert_close(encoded, sequence.encode([level])[0])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("GRU", "sequence.rnn.bias_hh_l{}_reverse"),
        ("LSTM", "sequence.rnn.weight_ih_l{}"),
        ("Transformer", "sequence.layers.{}.self_attn.out_proj.weight"),
    ],
)
def test_each_parameter_knows_its_layer_from_the_input_up(kind, name):
    encoder = HierarchicalEncoder(encoder_config(kind, hidden_size=8, num_layers=3))
    depths = {name: encoder.depth_of(name) for name, _ in encoder.named_parameters()}
    assert encoder.depth == 5
    for branch in ("time", "space"):
        assert depths[f"{branch}.embedding.3.bias"] == 0
        assert depths[f"{branch}.downsample.conv.weight"] == 1
        assert [depths[f"{branch}.{name.format(layer)}"] for layer in range(3)] == [2, 3, 4]
    counts = [list(depths.values()).count(depth) for depth in range(5)]
    assert counts[2] == counts[3] == counts[4] == (len(depths) - counts[0] - counts[1]) / 3
