"""A new kind of encoder is one file and one row: nothing else is told of it."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import action_classification
import action_retrieval
import pretraining
from moco import EncoderConfig, SequenceEncoder
from moco.config import ENCODERS, EncoderKind, setting
from tests.support.tiny import write_dataset
from tests.training.test_pretraining import arguments, losses
from tools import checkpoint, features
from tools.checkpoint import load_encoder, read
from tools.training.trainer import LAST


@dataclass(frozen=True)
class TCNConfig(EncoderConfig):
    """Sizes of the toy."""

    kernel_size: int = setting(3, "tokens under a convolution, TCN only", at_least=1)


class TCN(SequenceEncoder):
    """One temporal convolution and the maximum over tokens."""

    def __init__(self, config):
        super().__init__()
        d = config.hidden_size
        self.convolution = nn.Conv1d(d, d, config.kernel_size, padding="same")

    def forward(self, levels):
        """G times (N, T, d) to (N, G, d)."""
        encoded = [self.convolution(level.transpose(1, 2)).relu() for level in levels]
        return torch.stack([level.amax(dim=2) for level in encoded], dim=1)


@pytest.fixture(scope="module", autouse=True)
def row():
    """The one row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENCODERS, "TCN", EncoderKind(TCNConfig, f"{__name__}:TCN"))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_dataset(path, train=14, val=6)
    return path


GIVEN = ("--encoder", "TCN", "--kernel-size", "5", "--granularity", "3")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    pretraining.main(arguments(data, folder, *GIVEN, "--epochs", "3", "--seed", "3"))
    return folder


def silent(text):
    """Swallow a report."""


@pytest.mark.parametrize("script", [pretraining, action_retrieval])
def test_help_shows_its_kind_and_its_option(script, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main(["--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "TCN" in out
    assert "--kernel-size" in out


def test_its_option_has_the_bounds_of_its_config(data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        pretraining.main(arguments(data, tmp_path, "--encoder", "TCN", "--kernel-size", "0"))
    assert "error: --kernel-size 0: needs a whole number, 1 or more" in capsys.readouterr().err


def test_it_trains_and_resumes_to_the_last_bit(data, whole, tmp_path):
    pretraining.main(arguments(data, tmp_path, *GIVEN, "--epochs", "2", "--seed", "3"))
    last = str(tmp_path / LAST)
    pretraining.main(arguments(data, tmp_path, *GIVEN, "--epochs", "3", "--resume", last))
    assert losses(tmp_path) == losses(whole)
    ours, theirs = (read(folder / LAST) for folder in (tmp_path, whole))
    for name, tensor in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], tensor), name
    buffers = [
        [s["momentum_buffer"] for s in p["optimizer"]["state"].values()] for p in (ours, theirs)
    ]
    assert len(buffers[1]) == len(theirs["optimizer"]["param_groups"][0]["params"])
    assert all(map(torch.equal, *buffers))


def test_its_checkpoint_says_what_it_holds_in_our_own_layout(whole):
    payload = read(whole / LAST)
    assert payload["layout"] == "own"
    assert payload["method"] == "HiCo"
    assert payload["config"]["kernel_size"] == 5
    assert "query.encoder.time.sequence.convolution.weight" in payload["state_dict"]
    model, source = load_encoder(str(whole / LAST), report=silent)
    assert model.config == TCNConfig("TCN", hidden_size=8, granularity=3, kernel_size=5)
    assert model.settings["contrast"] == payload["contrast"]
    assert source["epochs"] == 3
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, payload["state_dict"][name]), name


def test_reading_it_leaves_the_global_generator_alone(whole):
    before = torch.get_rng_state()
    load_encoder(str(whole / LAST), report=silent)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_state_that_does_not_fit_it_is_refused(whole, tmp_path):
    payload = read(whole / LAST)
    del payload["state_dict"]["query.encoder.time.sequence.convolution.weight"]
    checkpoint.save_whole(payload, tmp_path / "x.pth.tar")
    with pytest.raises(ValueError, match="x.pth.tar does not fit: missing query.encoder.time.seq"):
        load_encoder(str(tmp_path / "x.pth.tar"), report=silent)


def test_another_size_of_it_does_not_resume(data, whole, capsys):
    argv = arguments(data, whole, *GIVEN, "--kernel-size", "3", "--resume", str(whole / LAST))
    with pytest.raises(SystemExit):
        pretraining.main(argv)
    assert "was trained with kernel_size 5, not 3" in capsys.readouterr().err


def test_a_kind_that_this_code_does_not_have_is_named_with_those_it_has(whole, monkeypatch):
    monkeypatch.delitem(ENCODERS, "TCN")
    with pytest.raises(ValueError, match=f"{LAST} holds kind TCN: known are GRU, LSTM, Transfo"):
        load_encoder(str(whole / LAST), report=silent)


EVALUATIONS = {
    "probe": (action_classification, ("--epochs", "2", "--schedule", "1")),
    "finetune": (
        action_classification,
        ("--mode", "finetune", "--epochs", "2", "--schedule", "1", "--layer-decay", "0.5"),
    ),
    "retrieval": (action_retrieval, ()),
}


@pytest.mark.parametrize("evaluation", EVALUATIONS)
def test_it_is_probed_finetuned_and_retrieved(data, whole, tmp_path, evaluation):
    script, given = EVALUATIONS[evaluation]
    common = ("--data-path", str(data), "--device", "cpu", "--seed", "1", *given)
    out = ("--output-path", str(tmp_path))
    script.main([*common, "--pretrained", str(whole / LAST), *out])
    assert json.loads((tmp_path / "results.json").read_text())


def test_it_is_scored_with_random_weights(data, tmp_path, capsys):
    common = ("--data-path", str(data), "--device", "cpu", "--output-path", str(tmp_path))
    action_retrieval.main([*common, "--pretrained", "random", *GIVEN, "--hidden-size", "8"])
    assert "RANDOM encoder, not pre-trained: TCN, hidden size 8" in capsys.readouterr().out


def test_its_features_are_exported(data, whole, tmp_path):
    common = ("--data-path", str(data), "--device", "cpu", "--output", str(tmp_path / "f.npz"))
    features.main([*common, "--pretrained", str(whole / LAST)])
    with np.load(tmp_path / "f.npz", allow_pickle=False) as saved:
        assert saved["train_instance"].shape == (14, 2 * 3 * 8)


def test_its_parameters_are_one_layer_above_downsampling(whole):
    encoder = load_encoder(str(whole / LAST), report=silent)[0].encoder
    assert encoder.depth == 3
    depths = {name: encoder.depth_of(name) for name, _ in encoder.named_parameters()}
    assert depths["space.embedding.0.weight"] == 0
    assert depths["time.downsample.norm.bias"] == 1
    assert depths["time.sequence.convolution.weight"] == 2
