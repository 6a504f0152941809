"""CUDA against the CPU, where there is a CUDA device; a few minutes at most.

HICO_TEST_DEVICE=cpu rehearses all that needs no CUDA itself; cuda:1 takes another GPU.
"""

import json
import os
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import action_classification
import action_retrieval
import pretraining
from dataset.arrays import load_arrays
from dataset.batches import PretrainingBatches
from dataset.packed import PackedSplit
from dataset.protocols import AUGMENTATIONS, DATASETS, split_folder
from moco import ContrastConfig, HiCo, Views, encoder_config
from moco.heads import LEVELS, Levels
from moco.loss import compare
from options.classification import ClassifierOptions, usual
from options.pretraining import parser
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
from tools.runtime import pick_device, to_host
from tools.training import recorded as graph
from tools.training.ranks import ALONE
from tools.training.recorded import Repeated, choose_recorder
from tools.training.trainer import LAST, training_step

DEVICE = os.environ.get("HICO_TEST_DEVICE", "cuda")
ON_CUDA = torch.device(DEVICE).type == "cuda"
KINDS = ("GRU", "LSTM", "Transformer")
NEAR = {"rtol": 1e-4, "atol": 1e-5}
NOT_HERE = ON_CUDA and not torch.cuda.is_available()
pytestmark = pytest.mark.skipif(NOT_HERE, reason="needs a CUDA device")
cuda_only = pytest.mark.skipif(not ON_CUDA, reason="CUDA's own")
two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
PRECISIONS = ["fp32", "bf16", pytest.param("tf32", marks=cuda_only)]
LOOSE = {"fp32": 1e-3, "tf32": 2e-2, "bf16": 2e-2}


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


def made(kind, layers=1, hidden_size=64):
    """A model on the CPU, without dropout, and two views."""
    torch.manual_seed(0)
    without = {"dropout": 0.0} if kind == "Transformer" else {}
    config = encoder_config(kind, hidden_size=hidden_size, num_layers=layers, **without)
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


@pytest.mark.parametrize("sizes", [(1, 64), (2, 64), (1, 512)])
@pytest.mark.parametrize("kind", KINDS)
def test_features_logits_losses_and_gradients_are_the_cpus(kind, sizes):
    model, views = made(kind, *sizes)
    here = answers(model, views)
    model.zero_grad()
    found = answers(model.to(DEVICE), there(views))
    for name, value in here.items():
        torch.testing.assert_close(found[name], value, **NEAR, msg=lambda m, n=name: n + ": " + m)


@pytest.mark.parametrize("name", NAMES)
def test_the_published_features_and_losses_are_met(name):
    golden = Golden(name)
    model, meta = golden.model.to(DEVICE), golden.meta
    features = model.encoder(there([golden.views("query")])[0]).instance
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
        with torch.autocast(torch.device(DEVICE).type, torch.bfloat16, enabled=precision == "bf16"):
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


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_the_views_of_an_epoch_are_the_cpus(data, stream, augmentation):
    batches = [
        PretrainingBatches(
            packed(data, device), stream, 4, torch.Generator().manual_seed(1), augmentation
        )
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


def close_losses(one, other, near=1e-4):
    for mine, theirs in zip(losses(one), losses(other), strict=True):
        assert mine == pytest.approx(theirs, rel=near, abs=1e-5)


def same_states(one, other, loose):
    """Weights, queues and momentum."""
    states = [read(folder / LAST) for folder in (one, other)]
    weights, others = (state["state_dict"] for state in states)
    assert weights.keys() == others.keys()
    for name, tensor in others.items():
        torch.testing.assert_close(
            weights[name], tensor, rtol=loose, atol=loose, msg=lambda m, n=name: n + ": " + m
        )
    momenta, others = (state["optimizer"]["state"] for state in states)
    assert momenta.keys() == others.keys()
    for number, state in others.items():
        mine, theirs = momenta[number]["momentum_buffer"], state["momentum_buffer"]
        assert (mine - theirs).norm() <= loose * theirs.norm() + 1e-6, number


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Folders of runs of four epochs, recorded ("auto") or plain ("off"), each made once."""
    made = {}

    def _run(kind, precision, how):
        if (kind, precision, how) not in made:
            folder = made[kind, precision, how] = tmp_path_factory.mktemp("run")
            options = ("--graph", how, "--encoder", kind, "--precision", precision)
            options += ("--hidden-size", "64", "--skeleton-representation", "bone")
            pretrain(data, folder, *options)
        return made[kind, precision, how]

    return _run


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_recorded_run_is_the_plain_run_with_dropout_too(runs, capsys, kind, precision):
    """A recording draws dropout from the same places as plain steps do."""
    recorded = runs(kind, precision, "auto")
    out, err = capsys.readouterr()
    assert "recording failed" not in err
    assert ("a CUDA graph" in out) == ON_CUDA
    plain = runs(kind, precision, "off")
    rows = zip(losses(recorded), losses(plain), strict=True)
    assert all(mine == pytest.approx(theirs, rel=LOOSE[precision]) for mine, theirs in rows)
    same_states(recorded, plain, LOOSE[precision])


def test_a_recorded_run_with_another_augmentation_is_the_plain_run(data, tmp_path):
    for how in ("auto", "off"):
        strong = ("--augmentation", "strong", "--hidden-size", "64", "--graph", how)
        pretrain(data, tmp_path / how, *strong)
    close_losses(tmp_path / "auto", tmp_path / "off", LOOSE["fp32"])


def test_a_recording_that_begins_within_the_second_epoch_goes_on_over_all(data, tmp_path):
    for how in ("auto", "off"):  # two batches an epoch, fewer than a recording is warmed up with
        sizes = ("--batch-size", "7", "--hico-k", "14", "--hidden-size", "64", "--graph", how)
        pretrain(data, tmp_path / how, *sizes)
    close_losses(tmp_path / "auto", tmp_path / "off", LOOSE["fp32"])
    same_states(tmp_path / "auto", tmp_path / "off", LOOSE["fp32"])


@contextmanager
def waiting_is_an_error():
    if not ON_CUDA:
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_step_and_its_views_wait_for_nothing(data, tmp_path, kind, precision, stream):
    options = ("--encoder", kind, "--precision", precision, "--graph", "off")
    options += ("--skeleton-representation", stream, "--device", DEVICE)
    trainer = pretraining.build(parser().parse(arguments(data, tmp_path, *options)), ALONE)
    trainer.method.train()
    trainer.batches.start_epoch()
    trainer.batches.seek(0)
    trainer.steps()  # sets libraries up, which may wait
    with waiting_is_an_error():
        for step in (1, 2):
            trainer.batches.seek(step)
            found, wait = to_host(trainer.steps())
    wait()
    assert found.isfinite().all()


def test_a_split_that_does_not_fit_comes_from_the_host(data, tmp_path, monkeypatch, capsys):
    pretrain(data, tmp_path / "device", "--graph", "off")
    monkeypatch.setattr("dataset.packed._place", lambda nbytes, device: torch.device("cpu"))
    capsys.readouterr()
    pretrain(data, tmp_path / "host")
    assert ("the clips do not fit the GPU" in capsys.readouterr().out) == ON_CUDA
    close_losses(tmp_path / "host", tmp_path / "device", LOOSE["fp32"])


def test_a_recording_after_one_that_failed_works(capsys):
    device, number = torch.device(DEVICE), torch.ones(2**20, device=DEVICE)

    def repeated(work):
        one = Repeated(work, device, *choose_recorder("auto", device, resident=True))
        return one, [one().clone() for _ in range(graph.WARM_UP + 3)]

    failed, answers = repeated(lambda: number * number.sum().item())
    assert ("recording failed" in failed.how) == ON_CUDA
    assert all((answer == 2**20).all() for answer in answers)
    worked, answers = repeated(lambda: number.add_(1) * 2)
    assert ("a CUDA graph" in worked.how) == ON_CUDA
    assert [answer[0].item() for answer in answers] == [2.0 * (2 + i) for i in range(len(answers))]
    beside = torch.full((2**22,), 3.0, device=DEVICE)  # outside of what the recording holds
    assert (worked() == 2 * number).all()
    assert (beside == 3).all()


@cuda_only
def test_too_large_a_batch_is_one_line_that_says_what_fits(data, tmp_path, capsys):
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(DEVICE).total_memory
    room = torch.cuda.memory_reserved(DEVICE) + 2**28  # model and optimiser, but no step
    torch.cuda.set_per_process_memory_fraction(room / total, DEVICE)
    sizes = ("--hidden-size", "1024", "--batch-size", "14", "--hico-k", "14")
    try:
        with pytest.raises(SystemExit):
            pretrain(data, tmp_path, *sizes)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, DEVICE)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: the device is full")


def score(script, data, output, checkpoint, *options):
    words = ("--data-path", data, "--device", DEVICE, "--seed", 3, "--output-path", output)
    script.main([str(word) for word in (*words, "--pretrained", checkpoint, *options)])
    results = json.loads((output / "results.json").read_text())
    assert results["machine"]["device"] == DEVICE
    return results


LEARN = ("--epochs", 2, "--schedule", 1, "--batch-size", 4)
EVALUATIONS = {
    "linear": (action_classification, LEARN),
    "finetune": (action_classification, ("--mode", "finetune", *LEARN)),
    "finetune, eval": (
        action_classification,
        ("--mode", "finetune", "--encoder-mode", "eval", *LEARN),
    ),
    "adamw": (action_classification, ("--mode", "finetune", "--optimizer", "adamw", *LEARN)),
    "retrieval": (action_retrieval, ("--knn-neighbours", 1, 5)),
}


@pytest.mark.parametrize("name", EVALUATIONS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_scripts_run_from_pretraining_to_a_score(data, tmp_path, runs, kind, precision, name):
    script, options = EVALUATIONS[name]
    stream = ("--finetune-skeleton-representation", "bone")
    results = score(script, data, tmp_path, runs(kind, precision, "auto") / LAST, *stream, *options)
    assert results["encoder"]["kind"] == kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_supervised_encoder_learns_there(data, tmp_path, kind):
    options = ("--mode", "supervised", "--encoder", kind, "--hidden-size", 64, *LEARN)
    score(action_classification, data, tmp_path, "random", *options)


def test_a_plain_run_is_the_cpus(data, tmp_path):
    pretrain(data, tmp_path / "away", "--encoder", "GRU", "--graph", "off")
    pretraining.main(
        arguments(data, tmp_path / "here", *RUN, "--device", "cpu", "--encoder", "GRU")
    )
    rows = zip(losses(tmp_path / "away"), losses(tmp_path / "here"), strict=True)
    assert all(mine == pytest.approx(theirs, rel=1e-3) for mine, theirs in rows)


@pytest.mark.parametrize("how", ["auto", "off"])
@pytest.mark.parametrize("kind", ["GRU", "Transformer"])  # one of them with dropout
def test_a_run_resumes_where_it_stopped(data, tmp_path, kind, how):
    options = ("--encoder", kind, "--graph", how, "--hidden-size", "64")
    pretrain(data, tmp_path / "whole", *options)
    pretrain(data, tmp_path / "parts", *options, "--epochs", "2")
    pretrain(data, tmp_path / "parts", *options, "--resume", str(tmp_path / "parts" / LAST))
    close_losses(tmp_path / "parts", tmp_path / "whole")
    same_states(tmp_path / "parts", tmp_path / "whole", LOOSE["fp32"])


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
    assert ("recording failed" in capsys.readouterr().err) == ON_CUDA
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
