"""The contrast against a plain loop, and what a call may and may not change."""

import math

import pytest
import torch
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from moco import ContrastConfig, HiCo, Levels, Views, encoder_config
from moco.heads import LEVELS
from moco.loss import compare, hierarchical_contrast, info_nce, similarities
from moco.momentum import frozen_copy, move_towards
from tools.checkpoint import make_optimizer
from tools.training.trainer import training_step


def unit(*shape):
    return normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def plain_term(query, positives, negatives, temperature):
    """One anchor and one key at a time, in Python floats."""
    losses = []
    for q, own in zip(query, positives, strict=True):
        up = sum(math.exp(float(q @ p) / temperature) for p in own)
        down = sum(math.exp(float(q @ k) / temperature) for k in negatives)
        losses.append(-math.log(up / (up + down)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("positives", [1, 4])
def test_info_nce_equals_a_plain_loop(positives):
    torch.manual_seed(0)
    query, own, negatives = unit(5, 8), unit(5, positives, 8), unit(12, 8)
    got = info_nce(similarities(query, own, negatives, 0.2))
    assert math.isclose(float(got), plain_term(query, own, negatives, 0.2), abs_tol=1e-12)


def test_each_term_compares_what_the_paper_compares():
    torch.manual_seed(0)
    query = Levels(unit(3, 4, 8), unit(3, 4, 8), unit(3, 8), unit(3, 8), unit(3, 8))
    keys = Levels(unit(3, 4, 8), unit(3, 4, 8), unit(3, 8), unit(3, 8), unit(3, 8))
    queues = Levels(*(unit(10, 8) for _ in LEVELS))
    losses = hierarchical_contrast(compare(query, keys, queues, 0.5))
    expected = {
        "clip": plain_term(query.clip[:, 0], keys.clip, queues.clip, 0.5),
        "part": plain_term(query.part[:, 0], keys.part, queues.part, 0.5),
        "temporal": plain_term(query.temporal, keys.spatial[:, None], queues.spatial, 0.5),
        "spatial": plain_term(query.spatial, keys.temporal[:, None], queues.temporal, 0.5),
        "instance": plain_term(query.instance, keys.instance[:, None], queues.instance, 0.5),
    }
    for level, value in expected.items():
        assert math.isclose(float(getattr(losses, level)), value, abs_tol=1e-12), level
    assert math.isclose(float(losses.total), sum(expected.values()), abs_tol=1e-12)


def test_the_loss_stays_finite_where_every_positive_underflows():
    query = torch.tensor([[1.0, 0.0]])
    losses = info_nce(similarities(query, -query[:, None], query, 1e-3))
    assert float(losses) == pytest.approx(2000, rel=1e-6)


def test_instance_accuracy_counts_keys_nearer_than_the_whole_queue():
    query = torch.eye(4)[:2]
    keys = Levels(*[query[:, None]] * 2, *[torch.stack([query[0], -query[1]])] * 3)
    queues = Levels(*[torch.eye(4)[2:]] * 5)
    batch = Levels(query[:, None], query[:, None], query, query, query)
    assert hierarchical_contrast(compare(batch, keys, queues, 0.2)).instance_accuracy == 0.5


def test_the_own_key_must_be_nearer_than_the_nearest_negative_not_than_their_mean():
    axis, across = torch.eye(4)[:2]
    query = axis.expand(3, 4)
    near = [0.9, 0.5, -0.9]  # cosine between each query and its own key; of negatives 0.7 and -1
    own = torch.stack([cosine * axis + (1 - cosine**2) ** 0.5 * across for cosine in near])
    negatives = torch.stack([0.7 * axis + 0.51**0.5 * across, -axis])
    keys = Levels(*[own[:, None]] * 2, *[own] * 3)
    batch = Levels(*[query[:, None]] * 2, *[query] * 3)
    losses = hierarchical_contrast(compare(batch, keys, Levels(*[negatives] * 5), 0.2))
    assert losses.instance_accuracy.item() == pytest.approx(1 / 3)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return HiCo(encoder_config(hidden_size=8), ContrastConfig(projection_size=4, queue_size=16))


def views(count=4):
    return Views(torch.randn(count, 64, 150), torch.randn(count, 50, 192))


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_forward_changes_nothing(model):
    before = state(model)
    model(views(), views())
    assert all(torch.equal(before[name], x) for name, x in model.state_dict().items())


def test_only_the_query_network_gets_gradients(model):
    losses, keys = model(views(), views())
    losses.total.backward()
    assert all(parameter.grad is not None for parameter in model.query.parameters())
    assert all(parameter.grad is None for parameter in model.key.parameters())
    assert not any(key.requires_grad for key in keys)


def test_enqueueing_before_backward_leaves_the_gradients_alone(model):
    model.eval()
    query, key = views(), views()
    gradients = []
    for early in (False, True):
        losses, keys = model(query, key)
        if early:
            model.enqueue(keys)
        model.zero_grad()
        losses.total.backward()
        gradients.append([parameter.grad.clone() for parameter in model.query.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_clip_keys_enter_clip_by_clip_level_within_clip(model):
    _, keys = model(views(2), views(2))
    model.enqueue(keys)
    rows = model.queues["clip"].keys
    for clip in range(2):
        for level in range(4):
            assert torch.equal(rows[4 * clip + level], keys.clip[clip, level])
    assert model.queues["clip"].pointer.item() == 8
    assert model.queues["instance"].pointer.item() == 2


@pytest.mark.parametrize(("wrap", "refreshed"), [("published", 16), ("full", 64)])
def test_queue_wrap_decides_how_much_of_the_clip_queue_is_refreshed(wrap, refreshed):
    model = HiCo(
        encoder_config(hidden_size=8),
        ContrastConfig(projection_size=4, queue_size=16, queue_wrap=wrap),
    ).eval()
    before = model.queues["clip"].keys.clone()
    for _ in range(8):
        model.enqueue(model(views(4), views(4))[1])
    assert (model.queues["clip"].keys != before).any(dim=1).sum() == refreshed


def test_the_key_pass_drops_out_in_training(model):
    query, key = views(), views()
    one, other = (model(query, key)[1].instance for _ in range(2))
    assert not torch.equal(one, other)


def test_momentum_moves_the_key_by_its_share():
    torch.manual_seed(0)
    source = torch.nn.Linear(3, 2)
    target = frozen_copy(source)
    with torch.no_grad():
        source.weight.add_(1)
    expected = 0.9 * target.weight + 0.1 * source.weight
    move_towards(target, source, 0.9)
    torch.testing.assert_close(target.weight, expected.detach(), rtol=0, atol=1e-7)
    move_towards(target, source, 0.0)
    torch.testing.assert_close(target.weight, source.weight.detach(), rtol=0, atol=0)


def test_momentum_one_leaves_the_key_network_where_it_is(model):
    with torch.no_grad():
        for parameter in model.query.parameters():
            parameter.add_(1)
    before = [parameter.clone() for parameter in model.key.parameters()]
    move_towards(model.key, model.query, 1.0)
    assert all(map(torch.equal, before, model.key.parameters()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue_wrap": "half"}, "queue_wrap half: known are published, full"),
        ({"momentum": 1.5}, "momentum 1.5: needs a number 0 or more and below 1"),
        ({"temperature": 0.0}, "temperature 0.0: needs a number above 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        HiCo(encoder_config(hidden_size=8), ContrastConfig(**options))


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "Transformer"])
def test_projections_logits_and_losses_stay_in_float32_under_autocast(kind):
    torch.manual_seed(0)
    model = HiCo(
        encoder_config(kind=kind, hidden_size=8), ContrastConfig(projection_size=4, queue_size=16)
    )
    with torch.autocast("cpu", torch.bfloat16):
        losses, keys = model(views(), views())
    assert {key.dtype for key in keys} == {torch.float32}
    assert {loss.dtype for loss in losses} == {torch.float32}
    torch.testing.assert_close(keys.instance.norm(dim=1), torch.ones(4))
    losses.total.backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in model.query.parameters())


class NoHostReads(TorchDispatchMode):
    """Raises where the host would have to wait for a value of the device."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "unique_dim", "_unique2")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in self.WAITING, f"the host waits for {name}"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "Transformer"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nothing_in_a_step_waits_for_the_host(kind, precision):
    model = HiCo(
        encoder_config(kind=kind, hidden_size=8), ContrastConfig(projection_size=4, queue_size=16)
    )
    optimizer = make_optimizer(model, 0.01, 0.9, 1e-4)
    query, key = views(), views()
    with NoHostReads():
        losses = training_step(model, optimizer, query, key, precision)
        with pytest.raises(AssertionError, match="the host waits"):
            losses.total.item()
