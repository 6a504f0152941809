"""The ring of keys."""

import pytest
import torch
from torch.nn.functional import normalize

from moco.queue import KeyQueue


def keys(count, dim=8):
    return normalize(torch.randn(count, dim), dim=1)


def test_every_slot_is_overwritten_whatever_the_batch_size():
    for batch in (1, 3, 4, 7):
        queue = KeyQueue(dim=8, capacity=16)
        before = queue.keys.clone()
        for _ in range(-(-16 // batch)):
            queue.enqueue(keys(batch))
        assert (queue.keys != before).any(dim=1).all()


def test_the_latest_keys_are_kept_oldest_overwritten_first():
    queue = KeyQueue(dim=8, capacity=6)
    batches = [keys(4) for _ in range(5)]
    for batch in batches:
        queue.enqueue(batch)
    latest = {tuple(key.tolist()) for key in torch.cat(batches)[-6:]}
    assert {tuple(key.tolist()) for key in queue.keys} == latest
    assert queue.pointer.item() == 20 % 6


def test_the_published_wrap_never_reaches_the_far_slots():
    queue = KeyQueue(dim=8, capacity=32, wrap=8)
    before = queue.keys.clone()
    for _ in range(10):
        queue.enqueue(keys(4))
    changed = (queue.keys != before).any(dim=1)
    assert changed[:8].all()
    assert not changed[8:].any()


def test_a_batch_longer_than_the_wrap_writes_on_beyond_it():
    queue = KeyQueue(dim=8, capacity=32, wrap=8)
    batch = keys(12)
    queue.enqueue(batch)
    assert torch.equal(queue.keys[:12], batch)
    assert queue.pointer.item() == 12 % 8


def test_it_starts_as_unit_vectors():
    norms = KeyQueue(dim=8, capacity=100).keys.norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(100))


def test_keys_and_pointer_go_into_the_state():
    queue = KeyQueue(dim=8, capacity=16)
    queue.enqueue(keys(5))
    other = KeyQueue(dim=8, capacity=16)
    other.load_state_dict(queue.state_dict())
    assert torch.equal(other.keys, queue.keys)
    assert other.pointer.item() == 5


def test_too_many_keys_and_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="17 keys do not fit a queue of 16"):
        KeyQueue(dim=8, capacity=16).enqueue(keys(17))
    with pytest.raises(ValueError, match="wraps at 9"):
        KeyQueue(dim=8, capacity=8, wrap=9)
