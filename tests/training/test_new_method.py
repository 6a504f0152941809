"""A second method is one class and one row: trainer, log and checkpoint are told nothing else."""

import json
from dataclasses import asdict
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataset.arrays import load_arrays
from dataset.batches import PretrainingBatches
from dataset.packed import PackedSplit
from moco import HiCo, Method, encoder_config
from moco.config import METHODS, ContrastConfig, read_encoder_config
from moco.encoders.hierarchical import HierarchicalEncoder
from options.groups import RunOptions, TrainingOptions
from options.pretraining import (
    CheckpointOptions,
    PretrainingData,
    PretrainingOptions,
)
from tests.support.tiny import write_dataset
from tools.checkpoint import load_encoder, read
from tools.training.log import METRICS, RunLog
from tools.training.trainer import LAST, Trainer


class Distances(NamedTuple):
    """How far the views of a clip lie apart, and how often they agree."""

    distance: Tensor
    agreement: Tensor

    @property
    def total(self):
        """What is minimised."""
        return 2 * self.distance


class Tiny(Method):
    """A predictor on one view, the other view as its target; counts its steps."""

    name = "Tiny"
    losses = Distances
    watched = ("agreement",)

    def __init__(self, config, width):
        super().__init__()
        self.width, self.trunk = width, HierarchicalEncoder(config)
        self.predictor = nn.Sequential(
            nn.Linear(config.feature_size, width), nn.Linear(width, config.feature_size)
        )
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @classmethod
    def from_settings(cls, settings):
        """See Method."""
        return cls(read_encoder_config(settings["config"]), settings["predictor"]["width"])

    @property
    def settings(self):
        """See Method."""
        return {"config": asdict(self.trunk.config), "predictor": {"width": self.width}}

    @property
    def encoder(self):
        """See Method."""
        return self.trunk

    def step(self, query, key, clips):
        """See Method."""
        self.steps += 1
        target = self.trunk(key).instance.detach()
        found = self.predictor(self.trunk(query).instance)
        agreement = F.cosine_similarity(found, target) > 0
        return Distances(F.mse_loss(found, target), agreement.float().mean())


@pytest.fixture(scope="module", autouse=True)
def row():
    """The one row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "Tiny", f"{__name__}:Tiny")
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_dataset(path, train=14, val=6)
    return path


def trainer(data, folder, epochs=4, width=3, method=None):
    """Parts as pretraining.py puts them together, with the second method."""
    options = PretrainingOptions(
        data=PretrainingData(data_path=data),
        training=TrainingOptions(epochs=epochs, batch_size=4, schedule=(3,), lr=0.1),
        checkpoints=CheckpointOptions(folder=folder),
        run=RunOptions(print_freq=2),
    )
    torch.manual_seed(3)
    split = PackedSplit.from_arrays(load_arrays(options.data.folder, "train"))
    batches = PretrainingBatches(split, "joint", 4, torch.Generator().manual_seed(1))
    config = encoder_config(hidden_size=8, granularity=2)
    return Trainer(Tiny(config, width) if method is None else method, batches, options)


def run(trainer):
    """Train to the end, with a log."""
    log = RunLog(
        trainer.folder,
        steps=len(trainer.batches),
        epochs=trainer.options.training.epochs,
        first_step=trainer.progress.step,
        watched=trainer.method.watched,
    )
    trainer.run(log)
    log.close()


def rows(folder):
    found = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return [{n: value for n, value in row.items() if n != "clips_per_second"} for row in found]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run of four epochs of three steps."""
    folder = tmp_path_factory.mktemp("whole")
    run(trainer(data, folder))
    return folder


def test_its_losses_are_logged_under_their_names(whole):
    table = rows(whole)
    names = ["epoch", "batch", "step", "distance", "agreement", "loss", "learning_rate"]
    assert list(table[0]) == names
    for row in table:
        assert row["loss"] == pytest.approx(2 * row["distance"])
    assert table[-1]["distance"] < table[0]["distance"]


def test_a_line_shows_what_it_has_watched(data, tmp_path, capsys):
    run(trainer(data, tmp_path, epochs=1))
    share = rows(tmp_path)[0]["agreement"]
    assert f"  agreement {share:.1%}  lr 0.1" in capsys.readouterr().out


def test_it_resumes_to_the_last_bit(data, whole, tmp_path):
    run(trainer(data, tmp_path, epochs=2))
    again = trainer(data, tmp_path)
    with torch.no_grad():
        for parameter in again.method.parameters():
            parameter.zero_()
    again.resume(tmp_path / LAST)
    run(again)
    assert rows(tmp_path) == rows(whole)
    ours, theirs = (read(folder / LAST) for folder in (tmp_path, whole))
    for name, tensor in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], tensor), name
    assert ours["state_dict"]["steps"] == 4 * 3


def test_its_encoder_is_loaded(whole):
    payload = read(whole / LAST)
    assert payload["method"] == "Tiny"
    found, source = load_encoder(str(whole / LAST), report=lambda text: None)
    assert isinstance(found, Tiny)
    assert source["epochs"] == 4
    for name, tensor in found.encoder.state_dict().items():
        assert torch.equal(tensor, payload["state_dict"][f"trunk.{name}"]), name


def test_another_method_or_size_does_not_resume_from_it(data, whole, tmp_path):
    hico = HiCo(encoder_config(hidden_size=8, granularity=2), ContrastConfig(4, 16))
    for other, message in (
        (trainer(data, tmp_path, method=hico), "was trained with method Tiny, not HiCo"),
        (trainer(data, tmp_path, width=5), "was trained with width 3, not 5"),
    ):
        with pytest.raises(ValueError, match=message):
            other.resume(whole / LAST)


def test_a_method_that_this_code_does_not_have_is_named_with_those_it_has(whole, monkeypatch):
    monkeypatch.delitem(METHODS, "Tiny")
    with pytest.raises(ValueError, match=f"{LAST} holds method Tiny: known are HiCo"):
        load_encoder(str(whole / LAST), report=lambda text: None)
