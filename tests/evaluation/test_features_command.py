"""`python -m tools.features`: each level is what its head looks at, or says; the file is whole."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from dataset.arrays import load_arrays
from moco.heads import LEVELS
from options import features
from tests.oracles.augment import centre_view
from tests.support.paths import ROOT
from tests.support.tiny import write_checkpoint, write_dataset
from tools.features import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_dataset(path, train=7, val=3)
    write_dataset(path, "utd_mhad", "cross_subject", train=4, val=2)
    return path


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "checkpoint_0450.pth.tar"
    return path, write_checkpoint(path, "Transformer").encoder_q


@pytest.fixture
def run(data, tmp_path, capsys):
    """Write features and return them by name, and what was printed."""

    def _run(*arguments):
        given = ("--data-path", data, "--device", "cpu", "--output", tmp_path / "f.npz")
        main([str(word) for word in (*given, *arguments)])
        with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
            return {name: file[name] for name in file.files}, capsys.readouterr().out

    return _run


def plain(network, data, part):
    """Features before the heads and unit projections behind them, by level, of the oracle."""
    arrays = load_arrays(data / "NTU-RGB-D-60-AGCN" / "xview", part)
    views = [
        centre_view(clip, int(count), "joint")
        for clip, count in zip(arrays.data, arrays.num_frames, strict=True)
    ]
    batch = tuple(torch.stack([torch.from_numpy(view[i]) for view in views]) for i in (0, 1))
    with torch.no_grad():
        clip, spatial = network.hi_encoder(batch)
        before = (clip, spatial, clip.flatten(1), spatial.flatten(1), network.features(batch))
        behind = network(batch)
    behind = {name: torch.nn.functional.normalize(behind[name], dim=-1) for name in LEVELS}
    return dict(zip(LEVELS, before, strict=True)), behind


@pytest.mark.parametrize("projections", [False, True])
def test_every_level_is_the_oracles(projections, run, checkpoint, data):
    path, network = checkpoint
    flags = ("--projections",) if projections else ()
    found, _ = run("--pretrained", path, "--level", *LEVELS, *flags, "-b", "2")
    for part in ("train", "val"):
        expected = plain(network, data, part)[projections]
        for level in LEVELS:
            values = torch.from_numpy(found[f"{part}_{level}"])
            assert values.dtype == torch.float32
            torch.testing.assert_close(values, expected[level], atol=1e-5, rtol=0)


def test_the_default_is_what_is_scored_of_both_parts_with_labels_and_names(run, checkpoint, data):
    found, out = run("--pretrained", checkpoint[0])
    assert found["train_instance"].shape == (7, 32)
    for part in ("train", "val"):
        theirs = load_arrays(data / "NTU-RGB-D-60-AGCN" / "xview", part)
        assert found[f"{part}_labels"].tolist() == theirs.labels.tolist()
        assert found[f"{part}_names"].tolist() == theirs.names
    about = json.loads(str(found["about"]))
    assert (about["dataset"], about["stream"], about["projections"]) == ("ntu60", "joint", False)
    assert about["pretrained"]["path"] == str(checkpoint[0])
    assert "encoder unchanged: sha256" in out
    assert "train_instance: 7 x 32" in out


def test_any_data_set_part_and_stream_may_be_asked_for(run, checkpoint):
    given = ("--finetune_dataset", "utd_mhad", "--protocol", "cross_subject", "--part", "val")
    found, _ = run("--pretrained", checkpoint[0], *given, "--level", "clip", "--stream", "bone")
    assert set(found) == {"about", "val_clip", "val_labels", "val_names"}
    assert found["val_clip"].shape == (2, 2, 8)
    joint, _ = run("--pretrained", checkpoint[0], *given, "--level", "clip")
    assert not np.allclose(joint["val_clip"], found["val_clip"])


FAULTS = [
    ("--output f.npy", "--output f.npy: the name must end in .npz"),
    ("--batch-size 0", "--batch-size 0: needs a whole number, 1 or more"),
    ("--level limb", "--level limb: known are clip, part, "),
    ("--dataset ntu61", "--dataset ntu61: known are ntu60, "),
    ("--protocol cross_setup", "--protocol cross_setup: ntu60 has cross_view, cross_subject"),
    ("--pretrained gone.tar", "no checkpoint at gone.tar"),
    ("--pretrained random --projections", "--projections: a random encoder has no trained heads"),
]


@pytest.mark.parametrize(("text", "said"), FAULTS)
def test_a_fault_is_one_line(text, said, run, checkpoint, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("--pretrained", checkpoint[0], *text.split())
    err = capsys.readouterr().err
    assert stopped.value.code == 2
    assert err.count("\n") == 1
    assert err.startswith(f"error: {said}")


def test_the_module_answers_help():
    done = subprocess.run(
        [sys.executable, "-m", "tools.features", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "python -m tools.features" in done.stdout
    assert all(level in done.stdout for level in LEVELS)


def test_the_options_name_the_levels_as_the_heads_do():
    assert features.LEVELS == LEVELS
