"""Neighbours as positives against a plain loop over clips and queued keys."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from moco import ContrastConfig, HiCo, Views, encoder_config
from moco.config import NEIGHBOUR_LEVELS
from moco.heads import LEVELS
from moco.loss import Logits, info_nce, with_neighbours
from moco.queue import NO_CLIP, KeyQueue
from tests.moco.test_hico import NoHostReads, views
from tools.checkpoint import make_optimizer
from tools.training.trainer import training_step

ASKED = {"temporal": "spatial", "spatial": "temporal"}
"""The queue and the key of these terms are another level's."""


def model_with(levels, **more):
    torch.manual_seed(0)
    contrast = {"positives": "neighbours", "neighbour_levels": levels, **more}
    contrast = {"projection_size": 4, "queue_size": 16, "queue_wrap": "full", **contrast}
    model = HiCo(encoder_config("GRU", hidden_size=8), ContrastConfig(**contrast)).double().eval()
    model.start_epoch(contrast.get("neighbours_from", 0))
    return model


def batch(clips):
    generator = torch.Generator().manual_seed(int(sum(clips)))
    count = len(clips)
    time = torch.randn(2, count, 64, 150, generator=generator, dtype=torch.float64)
    space = torch.randn(2, count, 50, 192, generator=generator, dtype=torch.float64)
    pairs = zip(time, space, strict=True)
    return [*(Views(*pair) for pair in pairs), torch.tensor(clips)]


@torch.no_grad()
def plain_losses(model, query, key, clips):
    """The five terms, one query and one queued key at a time, in Python floats."""
    anchors, keys = model.query(query), model.key(key)
    chosen = NEIGHBOUR_LEVELS[model.contrast.neighbour_levels]
    found = {}
    for level in LEVELS:
        asked = ASKED.get(level, level)
        queue, terms = model.queues[asked], []
        for row, clip in enumerate(clips.tolist()):
            anchor, own = getattr(anchors, level)[row], getattr(keys, asked)[row]
            anchor, first = (each[0] if each.dim() == 2 else each for each in (anchor, own))
            own = own if own.dim() == 2 else own[None]
            nearest, best = None, -math.inf
            for place, (other, of) in enumerate(zip(queue.keys, queue.clips, strict=True)):
                near = float(first @ other)
                if level in chosen and int(of) not in (NO_CLIP, clip) and near > best:
                    nearest, best = place, near
            weights = [math.exp(float(anchor @ each) / 0.2) for each in queue.keys]
            up = sum(math.exp(float(anchor @ each) / 0.2) for each in own)
            down = up + sum(weights)
            up += 0 if nearest is None else weights[nearest]
            terms.append(math.log(down / up))
        found[level] = sum(terms) / len(terms)
    return found


@pytest.mark.parametrize("levels", NEIGHBOUR_LEVELS)
def test_a_step_is_that_of_a_plain_loop(levels):
    model = model_with(levels)
    model.step(*batch([7, 1, 2]))
    model.step(*batch([3, 7, 5]))
    again = batch([7, 2, 9])  # two clips whose earlier keys lie in the queue
    expected = plain_losses(model, *again)
    losses, _ = model(*again)
    for level, value in expected.items():
        assert math.isclose(getattr(losses, level).item(), value, abs_tol=1e-10), level


def test_another_view_of_the_same_clip_is_no_neighbour():
    queue = KeyQueue(4, 6, of_clips=True)
    keys = normalize(torch.randn(3, 4), dim=1)
    queue.enqueue(keys, torch.tensor([4, 5, 6]))
    nearest = queue.nearest(keys, torch.tensor([4, 5, 0]))
    assert nearest.sum(dim=1).tolist() == [1, 1, 1]
    assert not nearest[:2].diagonal().any()
    assert nearest[2, 2]  # the same vector, but of another clip
    assert not nearest[:, 3:].any()  # what the queue started with is no clip's


def test_without_keys_of_other_clips_there_is_no_neighbour_and_the_gradient_is_finite():
    queue = KeyQueue(4, 6, of_clips=True)
    query = normalize(torch.randn(2, 4), dim=1).requires_grad_()
    queue.enqueue(query.detach(), torch.tensor([1, 1]))
    none = queue.nearest(query.detach(), torch.tensor([1, 1]))
    assert not none.any()
    logits = Logits(query @ query.T / 0.2, query @ queue.keys.T / 0.2)
    plain = info_nce(logits)
    ours = info_nce(with_neighbours(logits, none))
    torch.testing.assert_close(ours, plain)
    given, wanted = (torch.autograd.grad(x, query, retain_graph=True)[0] for x in (ours, plain))
    torch.testing.assert_close(given, wanted)


def test_before_their_epoch_neighbours_are_negatives():
    model, plain = model_with("all", neighbours_from=3), model_with("all")
    for each in (model, plain):
        each.step(*batch([1, 2, 3]))
    again = batch([4, 5, 6])
    later = model(*again)[0].total
    torch.testing.assert_close(later, plain(*again)[0].total, rtol=0, atol=0)
    model.start_epoch(2)
    plain.has_neighbours = False
    torch.testing.assert_close(model(*again)[0].total, plain(*again)[0].total)
    assert not torch.equal(model(*again)[0].total, later)


@pytest.mark.parametrize("wrap", ["published", "full"])
def test_each_key_keeps_its_clip(wrap):
    model = model_with("all", queue_wrap=wrap)
    seen = {}
    for clips in ([1, 2, 3, 4], [5, 6, 7, 8], [1, 3, 5, 7], [2, 4, 6, 8], [9, 8, 7, 6]):
        query, key, numbers = batch(clips)
        keys = model(query, key, numbers)[1]
        for level, one in keys.items():
            for clip, own in zip(clips, one, strict=True):
                seen.update({(level, *each.tolist()): clip for each in own.view(-1, 4)})
        model.enqueue(keys, numbers)
    for level in LEVELS:
        queue = model.queues[level]
        kept = [seen.get((level, *key.tolist()), NO_CLIP) for key in queue.keys]
        assert queue.clips.tolist() == kept
        assert max(kept) == 9


def test_the_clips_of_the_keys_go_into_the_state():
    model = model_with("instance")
    model.step(*batch([1, 2, 3]))
    other = model_with("instance")
    other.load_state_dict(model.state_dict())
    assert other.queues["instance"].clips[:3].tolist() == [1, 2, 3]
    plain = HiCo(encoder_config("GRU", hidden_size=8), ContrastConfig(4, 16))
    assert not [name for name in plain.state_dict() if "clips" in name or "wanted" in name]


def test_nothing_in_a_step_waits_for_the_host():
    model = model_with("all").float().train()
    optimizer = make_optimizer(model, 0.01, 0.9, 1e-4)
    with NoHostReads():
        training_step(model, optimizer, views(), views(), clips=torch.arange(4))
