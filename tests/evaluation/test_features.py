"""Frozen features: one row a clip whatever the batch size, and a model left as it was."""

import pytest
import torch

from dataset.arrays import load_arrays
from dataset.packed import PackedSplit
from dataset.views import downstream_views
from moco import ContrastConfig, HiCo, Views, encoder_config
from tests.support.tiny import write_dataset
from tools.evaluation.features import extract


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = write_dataset(tmp_path_factory.mktemp("data"), train=9, val=3)
    return PackedSplit.from_arrays(load_arrays(folder, "train"))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return HiCo(encoder_config(hidden_size=8), ContrastConfig(projection_size=4, queue_size=8))


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_features_equal_one_clip_at_a_time_in_eval_mode(model, split, stream):
    model.train()
    got = extract(model, split, stream, batch_size=4)
    assert got.shape == (9, model.config.feature_size)
    assert not got.requires_grad
    model.eval()
    for clip in range(9):
        views = Views(*downstream_views(split, torch.tensor([clip]), stream))
        torch.testing.assert_close(got[clip], model.encoder(views).instance[0].detach())


def test_the_mode_of_the_model_is_restored(model, split):
    for training in (True, False):
        model.train(training)
        extract(model, split, "joint")
        assert model.training is training


def test_random_crops_are_drawn_from_the_generator(model, split):
    first, again, other = (
        extract(model, split, "joint", generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_one_can_train_on_features(model, split):
    fc = torch.nn.Linear(model.config.feature_size, 2)
    fc(extract(model, split, "joint")).sum().backward()  # fails on tensors of inference mode
    assert fc.weight.grad is not None
