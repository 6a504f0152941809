"""What evaluations share: encoder and split, their features, and the proof of freezing."""

import dataclasses

import pytest
import torch

from dataset.arrays import load_arrays
from tests.oracles.probe import recomputed
from tests.tiny import write_checkpoint, write_dataset
from tools.evaluation.subject import Downstream

SHAPE = {"kind": "GRU", "hidden_size": 8, "granularity": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), train=9, val=5)


def opened(pretrained, folder, stream="joint", **more):
    said = []
    given = {"shape": SHAPE, "device": "cpu", "seed": 3, "report": said.append} | more
    return Downstream.open(str(pretrained), folder, stream, **given), said


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "Transformer"])
@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_features_of_a_published_checkpoint_are_the_plain_oracles(kind, stream, folder, tmp_path):
    path = tmp_path / "checkpoint_0450.pth.tar"
    plain = write_checkpoint(path, kind)
    downstream, _ = opened(path, folder, stream)
    for part, name in (("train", "train"), ("test", "val")):
        arrays = load_arrays(folder, name)
        features_of = recomputed(plain.encoder_q, arrays.data, arrays.num_frames, stream)
        expected = features_of(range(len(arrays.names)))
        torch.testing.assert_close(downstream.features(part), expected, atol=1e-5, rtol=0)


def test_the_batch_size_changes_no_feature(folder):
    downstream, _ = opened("random", folder)
    whole = downstream.features("train")
    torch.testing.assert_close(downstream.features("train", batch_size=4), whole)


def test_a_random_encoder_has_the_shape_and_the_seed_that_were_asked_for_and_is_called_random(
    folder,
):
    first, said = opened("random", folder)
    again, _ = opened("random", folder)
    other, _ = opened("random", folder, seed=4)
    assert first.model.config.kind == "GRU"
    assert first.features("test").shape == (5, 2 * 2 * 8)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.name == "RANDOM encoder, not pre-trained, seed 3"
    assert any("RANDOM" in line for line in said)


def test_without_a_seed_a_fresh_one_is_drawn_and_reported(folder):
    first, said = opened("random", folder, seed=None)
    other, _ = opened("random", folder, seed=None)
    assert first.seed != other.seed
    assert f"on cpu, seed {first.seed}" in said
    again, _ = opened("random", folder, seed=first.seed)
    assert again.fingerprint == first.fingerprint


def test_the_proof_of_freezing_names_the_same_fingerprint_twice(folder):
    downstream, said = opened("random", folder)
    with downstream.frozen() as fingerprint:
        downstream.features("train")
    short = fingerprint[:16]
    assert said[-1] == f"encoder unchanged: sha256 {short} before, {short} after"


def test_an_encoder_that_changed_voids_the_score(folder):
    downstream, said = opened("random", folder)

    def change():
        with downstream.frozen(), torch.no_grad():
            next(downstream.model.query.encoder.parameters()).flatten()[0] += 1e-6

    with pytest.raises(RuntimeError, match="the encoder changed while it was scored"):
        change()
    assert not any("unchanged" in line for line in said)


def test_an_encoder_of_other_inputs_is_refused(folder, tmp_path):
    path = tmp_path / "checkpoint_0450.pth.tar"
    write_checkpoint(path, time_features=90, space_features=96)
    said = "does not fit: it reads 90 and 96 features, clips have 150 and 192"
    with pytest.raises(ValueError, match=said):
        opened(path, folder)


def test_a_downstream_is_not_rebound(folder):
    downstream, _ = opened("random", folder)
    with pytest.raises(dataclasses.FrozenInstanceError):
        downstream.seed = 1
