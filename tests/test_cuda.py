"""CUDA against the CPU, where there is a CUDA device; a minute at most."""

import numpy as np
import pytest
import torch

import pretraining
from dataset.arrays import load_arrays
from dataset.batches import PretrainingBatches
from dataset.packed import PackedSplit
from dataset.protocols import DATASETS, split_folder
from moco import ContrastConfig, HiCo, Views, encoder_config
from moco.config import TransformerConfig
from moco.heads import LEVELS, Levels
from moco.loss import compare
from options.classification import ClassifierOptions, usual
from tests.moco.test_published_model import NAMES, Golden
from tests.support.tiny import write_dataset
from tests.support.waiting import HANGS
from tests.training.several import without_dropout
from tests.training.test_many import ENDLESS, srun, torchrun, trained
from tests.training.test_pretraining import arguments, losses
from tools.checkpoint import make_optimizer, read
from tools.evaluation.features import extract
from tools.evaluation.neighbours import rank
from tools.evaluation.probe import LinearProbe, train_probe
from tools.runtime import pick_device
from tools.training import recorded as graph
from tools.training.trainer import LAST, training_step

DEVICE = "cuda"
KINDS = ("GRU", "LSTM", "Transformer")
NEAR = {"rtol": 1e-4, "atol": 1e-5}
two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(autouse=True)
def exact():
    """No tf32, as the scripts have it."""
    pick_device(DEVICE)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_dataset(path, train=14, val=6)
    return path


def packed(data, device, part="train"):
    arrays = load_arrays(split_folder(data, DATASETS["ntu60"], "cross_view"), part)
    return PackedSplit.from_arrays(arrays, device)


def made(kind, layers=1):
    """A model on the CPU, without dropout, and two views."""
    torch.manual_seed(0)
    without = {"dropout": 0.0} if kind == "Transformer" else {}
    config = encoder_config(kind, hidden_size=32, num_layers=layers, **without)
    model = HiCo(config, ContrastConfig(projection_size=16, queue_size=32))
    views = [Views(torch.randn(8, 64, 150), torch.randn(8, 50, 192)) for _ in range(2)]
    return model, views


def there(views):
    return [Views(*(layout.to(DEVICE) for layout in view)) for view in views]


def answers(model, views):
    """Features, logits, losses and gradients, on the CPU."""
    query, key = views
    queues = Levels(*(model.queues[level].keys for level in LEVELS))
    logits = compare(model.query(query), model.key(key), queues, model.contrast.temperature)
    found, _ = model(query, key)
    found.total.backward()
    tensors = {"features": model.encoder(query).instance}
    tensors |= {f"logits {level}": torch.cat(getattr(logits, level), dim=1) for level in LEVELS}
    tensors |= {f"loss {name}": value for name, value in found._asdict().items()}
    tensors |= {f"gradient of {n}": p.grad for n, p in model.query.named_parameters()}
    return {name: value.detach().cpu() for name, value in tensors.items()}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_features_logits_losses_and_gradients_are_the_cpus(kind, layers):
    model, views = made(kind, layers)
    here = answers(model, views)
    model.zero_grad()
    found = answers(model.to(DEVICE), there(views))
    for name, value in here.items():
        torch.testing.assert_close(found[name], value, **NEAR, msg=lambda m, n=name: n + ": " + m)


@pytest.mark.parametrize("name", NAMES)
def test_the_published_features_and_losses_are_met(name):
    golden = Golden(name)
    model, meta = golden.model.to(DEVICE), golden.meta
    features = model.features(there([golden.views("query")])[0])
    golden.close(features.cpu(), "eval/instance_features", 1e-4)
    optimizer = make_optimizer(model, meta["lr"], meta["sgd_momentum"], meta["weight_decay"])
    rows = []
    for step in range(meta["steps"]):
        views = there([golden.views("query", step), golden.views("key", step)])
        found = training_step(model, optimizer, *views)
        rows.append(torch.stack([*found[:5], found.total]).cpu())
    expected = torch.from_numpy(golden.arrays["steps/losses"]).float()
    torch.testing.assert_close(torch.stack(rows), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_follows_float32_and_keeps_small_gradients(kind):
    gradients = {}
    for precision in ("fp32", "bf16"):
        model, views = made(kind)
        model, views = model.to(DEVICE), there(views)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bf16"):
            found, _ = model(*views)
        (found.total * 1e-4).backward()  # so small that float16 would lose most of it
        parameters = model.query.encoder.parameters()
        gradients[precision] = torch.cat([p.grad.flatten() for p in parameters]).double()
    full, lower = gradients["fp32"], gradients["bf16"]
    assert (full - lower).norm() < 0.2 * full.norm()


def test_a_packed_split_is_the_cpus(data):
    here, away = packed(data, "cpu"), packed(data, DEVICE)
    assert away.frames.device.type == torch.device(DEVICE).type
    for name in ("frames", "first_row", "num_frames", "labels"):
        assert torch.equal(getattr(away, name).cpu(), getattr(here, name)), name


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_the_views_of_an_epoch_are_the_cpus(data, stream):
    batches = [
        PretrainingBatches(packed(data, device), stream, 4, torch.Generator().manual_seed(1))
        for device in ("cpu", DEVICE)
    ]
    for each in batches:
        each.start_epoch()
    for step in range(len(batches[0])):
        here, away = (each.batch(step) for each in batches)
        for one, other in zip(sum(away, ()), sum(here, ()), strict=True):
            torch.testing.assert_close(one.cpu(), other, atol=1e-5, rtol=0)


RUN = ("--device", DEVICE, "--seed", "3", "--epochs", "4", "--schedule", "2")


def pretrain(data, folder, *more):
    pretraining.main(arguments(data, folder, *RUN, "--device", DEVICE, *more))


def close_losses(one, other):
    for mine, theirs in zip(losses(one), losses(other), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "tf32"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_recorded_run_is_the_plain_run(data, tmp_path, monkeypatch, capsys, kind, precision):
    """Without dropout, whose draws a graph makes in another order."""
    made = TransformerConfig.__init__
    monkeypatch.setattr(
        TransformerConfig,
        "__init__",
        lambda self, *a, **k: made(self, *a, **(k | {"dropout": 0.0})),
    )
    for how in ("auto", "off"):
        options = ("--graph", how, "--encoder", kind, "--precision", precision)
        pretrain(data, tmp_path / how, *options, "--skeleton-representation", "bone")
        out, err = capsys.readouterr()
        assert "recording failed" not in err
        assert ("a CUDA graph" in out) == (how == "auto")
    loose = {"fp32": 1e-4, "tf32": 2e-2, "bf16": 2e-2}[precision]
    rows = zip(losses(tmp_path / "auto"), losses(tmp_path / "off"), strict=True)
    assert all(mine == pytest.approx(theirs, rel=loose) for mine, theirs in rows)
    one, other = (read(tmp_path / how / LAST) for how in ("auto", "off"))
    assert one.keys() == other.keys()
    assert one["state_dict"].keys() == other["state_dict"].keys()


def test_a_plain_run_is_the_cpus(data, tmp_path):
    pretrain(data, tmp_path / "away", "--encoder", "GRU", "--graph", "off")
    pretraining.main(
        arguments(data, tmp_path / "here", *RUN, "--device", "cpu", "--encoder", "GRU")
    )
    rows = zip(losses(tmp_path / "away"), losses(tmp_path / "here"), strict=True)
    assert all(mine == pytest.approx(theirs, rel=1e-3) for mine, theirs in rows)


@pytest.mark.parametrize("kind", ["GRU", "Transformer"])  # one of them with dropout
def test_a_run_resumes_where_it_stopped(data, tmp_path, kind):
    options = ("--encoder", kind, "--graph", "off")
    pretrain(data, tmp_path / "whole", *options)
    pretrain(data, tmp_path / "parts", *options, "--epochs", "2")
    pretrain(data, tmp_path / "parts", *options, "--resume", str(tmp_path / "parts" / LAST))
    close_losses(tmp_path / "parts", tmp_path / "whole")


def test_where_recording_fails_dropout_and_the_run_go_on(data, tmp_path, monkeypatch, capsys):
    step, calls = training_step, []

    def reads(*given):
        found = step(*given)
        calls.append(None)
        if len(calls) == graph.WARM_UP + 1:
            found.total.item()
        return found

    monkeypatch.setattr("tools.training.trainer.training_step", reads)
    pretrain(data, tmp_path / "broken", "--encoder", "Transformer")
    assert ("recording failed" in capsys.readouterr().err) == (DEVICE == "cuda")
    monkeypatch.undo()
    pretrain(data, tmp_path / "plain", "--encoder", "Transformer", "--graph", "off")
    close_losses(tmp_path / "broken", tmp_path / "plain")


@two_gpus
@pytest.mark.parametrize("kind", KINDS)
def test_two_gpus_give_the_losses_of_one(data, tmp_path, monkeypatch, kind):
    without_dropout(monkeypatch.setattr)
    options = (*RUN, "--encoder", kind)
    pretraining.main(arguments(data, tmp_path / "one", *options, "--graph", "off"))
    said = torchrun(2, arguments(data, tmp_path / "two", *options))
    assert "steps: plain, 2 processes meet within each" in said
    close_losses(tmp_path / "two", tmp_path / "one")
    last = str(tmp_path / "two" / LAST)
    more = ("--epochs", "5", "--resume", last)
    pretraining.main(arguments(data, tmp_path / "one", *options, "--graph", "off", *more))
    torchrun(2, arguments(data, tmp_path / "two", *options, *more))
    close_losses(tmp_path / "two", tmp_path / "one")


@two_gpus
def test_when_a_process_with_a_gpu_is_killed_the_other_ends(data, tmp_path):
    processes = srun(2, arguments(data, tmp_path, *RUN, *ENDLESS))
    trained(processes[0])
    processes[1].kill()
    _, err = processes[0].communicate(timeout=HANGS)
    assert processes[0].returncode == 2
    assert "error: rank 0 stops with the run: a process was killed" in err
    processes[1].communicate()


def test_features_and_the_probe_on_them_are_the_cpus(data):
    model, _ = made("GRU")
    scores = []
    for device in ("cpu", DEVICE):
        parts = [packed(data, device, part) for part in ("train", "val")]
        features = [extract(model.to(device), part, "joint") for part in parts]
        settings = usual(ClassifierOptions(epochs=3, lr=0.1, schedule=(2,), batch_size=4))
        generator = torch.Generator().manual_seed(0)
        probe = LinearProbe(features[0].shape[1], 60, settings, generator, device)
        (train, test), (train_labels, test_labels) = features, [part.labels for part in parts]
        train_probe(probe, train, train_labels, test, test_labels)
        scores.append((features[0].cpu(), probe.last.train_loss))
    torch.testing.assert_close(scores[1], scores[0], **NEAR)


def test_neighbours_are_the_cpus():
    numbers = np.random.default_rng(0)
    train, test = (
        torch.from_numpy(3 + numbers.standard_normal((n, 96)).astype(np.float32)) for n in (500, 70)
    )
    train[7] = train[300]  # equally near: the first wins everywhere
    train_labels, test_labels = torch.arange(500) % 5, torch.arange(70) % 5
    here = rank(train, train_labels, test, test_labels, 5)
    away = rank(train.to(DEVICE), train_labels, test.to(DEVICE), test_labels, 5)
    assert torch.equal(away.neighbours.cpu(), here.neighbours)
    torch.testing.assert_close(away.precision.cpu(), here.precision, rtol=1e-6, atol=1e-6)
