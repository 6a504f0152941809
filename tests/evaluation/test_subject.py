"""What evaluations share: encoder and split, their features, and the proof of freezing."""

import dataclasses
import json
from pathlib import Path

import numpy
import pytest
import torch

from dataset.arrays import load_arrays
from options.groups import DataOptions, EvaluationOptions, RandomEncoder, RunOptions
from tests.oracles.probe import recomputed
from tests.support.tiny import write_checkpoint, write_dataset
from tools.evaluation.subject import Downstream

SHAPE = {"kind": "GRU", "hidden_size": 8, "granularity": 2}


def told(pretrained, data_path, stream="joint", seed=3):
    """Options of an evaluation; the sizes are of a random encoder."""
    return EvaluationOptions(
        pretrained=str(pretrained),
        data=DataOptions(stream=stream, data_path=data_path),
        random_encoder=RandomEncoder(SHAPE if pretrained == "random" else {}),
        run=RunOptions(device="cpu", seed=seed),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The data path."""
    path = tmp_path_factory.mktemp("data")
    write_dataset(path, train=9, val=5)
    return path


def opened(pretrained, folder, stream="joint", seed=3):
    said = []
    return Downstream.open(told(pretrained, folder, stream, seed), report=said.append), said


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "Transformer"])
@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_features_of_a_published_checkpoint_are_the_plain_oracles(kind, stream, folder, tmp_path):
    path = tmp_path / "checkpoint_0450.pth.tar"
    plain = write_checkpoint(path, kind)
    downstream, _ = opened(path, folder, stream)
    for part, name in (("train", "train"), ("test", "val")):
        arrays = load_arrays(folder / "NTU-RGB-D-60-AGCN" / "xview", name)
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
    assert first.config.kind == "GRU"
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
            next(downstream.model.encoder.parameters()).flatten()[0] += 1e-6

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


def test_results_stay_beside_the_checkpoint_and_never_in_the_working_folder(folder, tmp_path):
    downstream, _ = opened("random", folder)
    assert downstream.home == Path("checkpoints/random")
    name = "GRU_ntu60_cross_view_joint_retrieval"
    assert downstream.results_folder(None, "retrieval") == Path("checkpoints/random") / name
    path = tmp_path / "some" / "checkpoint_0450.pth.tar"
    write_checkpoint(path)
    downstream, _ = opened(path, folder)
    assert downstream.home == tmp_path / "some"
    assert downstream.results_folder(Path("out"), "retrieval") == Path("out")


def test_what_was_computed_with_is_described(folder):
    downstream, _ = opened("random", folder)
    about = downstream.describe()
    assert about["version"] == 2
    assert about["machine"]["numpy"] == numpy.__version__
    assert about["settings"]["run"] == {
        "device": "cpu", "seed": 3, "print_freq": 10, "workers": None,
    }  # fmt: skip
    assert about["settings"]["random_encoder"] == {"given": SHAPE}
    json.dumps(about, allow_nan=False)
