"""pretraining.py end to end on tiny data: resume, interruption, published layout, error lines."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch

import pretraining
from dataset.batches import PretrainingBatches
from dataset.protocols import AUGMENTATIONS
from moco import ContrastConfig, HiCo, Views, encoder_config
from moco.published import from_published
from tests.support.paths import ROOT
from tests.support.waiting import HANGS
from tools import checkpoint
from tools.checkpoint import read
from tools.training import trainer
from tools.training.trainer import LAST

SMALL = (
    *("--hidden-size", "8", "--hico-dim", "4", "--hico-k", "16", "--batch-size", "4"),
    *("--print-freq", "1", "--device", "cpu", "--lr", "0.05"),
)
LOSSES = ("clip", "part", "temporal", "spatial", "instance", "loss")


def arguments(data, folder, *more):
    return ["--data-path", str(data), "--checkpoint-path", str(folder), *SMALL, *more]


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(folder):
    return [[row["step"], *(row[name] for name in LOSSES)] for row in rows(folder)]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run of five epochs of three steps."""
    folder = tmp_path_factory.mktemp("whole")
    pretraining.main(arguments(data, folder, "--epochs", "5", "--seed", "3", "--save-freq", "2"))
    return folder


def test_checkpoints_appear_at_the_published_epochs(whole):
    names = sorted(path.name for path in whole.glob("*.tar"))
    numbered = [f"checkpoint_{epoch:04d}.pth.tar" for epoch in (0, 2, 4)]
    assert names == [*numbered, LAST]
    assert read(whole / numbered[1])["epoch"] == 3
    assert not list(whole.glob("*.tmp"))


def test_rows_and_events_tell_every_loss(whole):
    table = rows(whole)
    assert [row["step"] for row in table] == list(range(1, 16))
    for row in table:
        parts = sum(row[name] for name in LOSSES[:5])
        assert row["loss"] == pytest.approx(parts, rel=1e-6)
        assert {"learning_rate", "instance_accuracy", "clips_per_second"} <= row.keys()
    assert list(whole.glob("events.out.tfevents.*"))


def test_training_is_determined_by_its_seed(data, whole, tmp_path):
    pretraining.main(arguments(data, tmp_path / "same", "--epochs", "1", "--seed", "3"))
    pretraining.main(arguments(data, tmp_path / "other", "--epochs", "1", "--seed", "4"))
    assert losses(tmp_path / "same") == losses(whole)[:3]
    assert losses(tmp_path / "other") != losses(whole)[:3]


def test_resume_equals_an_uninterrupted_run_to_the_last_bit(data, whole, tmp_path):
    pretraining.main(arguments(data, tmp_path, "--epochs", "2", "--seed", "3"))
    last = str(tmp_path / LAST)
    pretraining.main(arguments(data, tmp_path, "--epochs", "5", "--resume", last))
    assert losses(tmp_path) == losses(whole)
    ours, theirs = (read(folder / LAST) for folder in (tmp_path, whole))
    for name, tensor in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], tensor), name


def test_a_run_with_strong_augmentation_resumes_to_the_last_bit(data, tmp_path):
    strong = ("--augmentation", "strong")
    for folder, epochs in (("whole", "3"), ("parts", "1")):
        more = (*strong, "--epochs", epochs, "--seed", "3")
        pretraining.main(arguments(data, tmp_path / folder, *more))
    last = str(tmp_path / "parts" / LAST)
    more = (*strong, "--epochs", "3", "--resume", last)
    pretraining.main(arguments(data, tmp_path / "parts", *more))
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


class StopAfter:
    """A training step that raises a signal in this process after some calls."""

    def __init__(self, steps, number=signal.SIGTERM):
        self.steps, self.number, self.step = steps, number, trainer.training_step

    def __call__(self, *args):
        self.steps -= 1
        if self.steps == 0:
            os.kill(os.getpid(), self.number)
        return self.step(*args)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_amid_an_epoch_loses_nothing(data, whole, tmp_path, monkeypatch, capsys, number):
    monkeypatch.setattr(trainer, "training_step", StopAfter(5, number))
    with pytest.raises(SystemExit) as stopped:
        pretraining.main(arguments(data, tmp_path, "--epochs", "5", "--seed", "3"))
    assert stopped.value.code == 128 + number
    assert "at epoch 1, batch 2; go on with --resume" in capsys.readouterr().out
    monkeypatch.undo()
    last = str(tmp_path / LAST)
    assert read(tmp_path / LAST)["epoch"] == 1
    pretraining.main(arguments(data, tmp_path, "--epochs", "5", "--resume", last))
    assert losses(tmp_path) == losses(whole)


def test_a_signal_before_an_epochs_first_batch_loses_nothing(data, whole, tmp_path, monkeypatch):
    start = PretrainingBatches.start_epoch

    def stop_in_the_second_epoch(batches):
        start(batches)
        if (tmp_path / "checkpoint_0000.pth.tar").exists():
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(PretrainingBatches, "start_epoch", stop_in_the_second_epoch)
    with pytest.raises(SystemExit):
        pretraining.main(arguments(data, tmp_path, "--epochs", "5", "--seed", "3"))
    monkeypatch.undo()
    last = str(tmp_path / LAST)
    assert read(tmp_path / LAST)["progress"]["batch"] == 0
    pretraining.main(arguments(data, tmp_path, "--epochs", "5", "--resume", last))
    assert losses(tmp_path) == losses(whole)


def test_a_real_process_answers_a_real_signal(data, tmp_path):
    command = [sys.executable, "pretraining.py", *arguments(data, tmp_path, "--epochs", "100000")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in rest
    assert read(tmp_path / LAST)["progress"]["step"] == rows(tmp_path)[-1]["step"]


def test_rows_beyond_the_resumed_step_are_dropped(data, whole, tmp_path):
    pretraining.main(arguments(data, tmp_path, "--epochs", "1", "--seed", "3"))
    first = tmp_path / "checkpoint_0000.pth.tar"
    pretraining.main(arguments(data, tmp_path, "--epochs", "3", "--resume", str(first)))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 10, "half')
    again = ("--resume", str(first), "--overwrite")
    pretraining.main(arguments(data, tmp_path, "--epochs", "3", *again))
    assert losses(tmp_path) == losses(whole)[:9]


def test_resuming_from_a_published_checkpoint_goes_on_from_its_state(data, whole, tmp_path, capsys):
    path = tmp_path / "checkpoint_0002.pth.tar"
    as_published(whole / path.name, path)
    pretraining.main(
        arguments(data, tmp_path, "--epochs", "4", "--hico-m", "0.9999999", "--resume", str(path))
    )
    assert "a published checkpoint" in capsys.readouterr().out
    assert [row["step"] for row in rows(tmp_path)] == [10, 11, 12]
    end = read(tmp_path / LAST)["state_dict"]
    key = "encoder_k.clip_proj.0.weight"  # so slow a momentum leaves the loaded key network alone
    torch.testing.assert_close(end[key], read(path)["state_dict"][key], atol=1e-6, rtol=0)


def test_the_published_layout_comes_back_whole(whole):
    payload = read(whole / LAST)
    model = from_published(payload["state_dict"])
    optimizer = checkpoint.make_optimizer(model, 0.05, 0.9, 1e-4)
    checkpoint.restore_optimizer(optimizer, payload, whole / LAST)
    again = checkpoint.pack(model, optimizer, payload["epoch"])
    assert list(again["state_dict"]) == list(payload["state_dict"])
    for name, tensor in payload["state_dict"].items():
        assert torch.equal(again["state_dict"][name], tensor), name
    states = [p["optimizer"]["state"] for p in (again, payload)]
    assert states[0].keys() == states[1].keys()
    for index, state in states[1].items():
        assert torch.equal(states[0][index]["momentum_buffer"], state["momentum_buffer"])


def test_a_plain_sgd_over_all_parameters_reads_our_optimiser(whole):
    """As the published script does: SGD over query and key parameters in the published order."""
    payload = read(whole / LAST)
    names = [n for n in payload["state_dict"] if n.startswith("encoder_")]
    parameters = [torch.nn.Parameter(payload["state_dict"][name]) for name in names]
    optimizer = torch.optim.SGD(parameters, 0.01, momentum=0.9, weight_decay=1e-4)
    optimizer.load_state_dict(payload["optimizer"])
    for name, parameter in zip(names, parameters, strict=True):
        buffer = optimizer.state[parameter].get("momentum_buffer")
        assert (buffer is not None) == name.startswith("encoder_q."), name
        if buffer is not None:
            assert buffer.shape == parameter.shape


def fails(capsys, argv):
    with pytest.raises(SystemExit) as stopped:
        pretraining.main(argv)
    captured = capsys.readouterr().err
    assert stopped.value.code == 2
    assert captured.startswith("error: ")
    assert captured.count("\n") == 1
    return captured


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_loss_that_is_not_finite_stops_the_run_and_spares_the_checkpoints(
    value, data, tmp_path, capsys, monkeypatch
):
    step = trainer.training_step

    def diverge(*arguments):
        losses = step(*arguments)
        bad = torch.tensor(float(value))
        diverge.steps += 1
        return losses._replace(spatial=bad) if diverge.steps == 5 else losses

    diverge.steps = 0
    monkeypatch.setattr(trainer, "training_step", diverge)
    argv = arguments(data, tmp_path, "--epochs", "5", "--print-freq", "10")
    error = fails(capsys, argv)
    assert f"the spatial loss is {value} at epoch 1, batch 1" in error
    assert "try a smaller --lr" in error
    assert read(tmp_path / LAST)["epoch"] == 1


def test_missing_data_is_named(tmp_path, capsys):
    error = fails(capsys, arguments(tmp_path / "nowhere", tmp_path))
    assert "train_data_joint.npy" in error
    assert "tools.prepare" in error


def test_a_missing_checkpoint_is_named_with_what_is_there(data, whole, tmp_path, capsys):
    missing = whole / "checkpoint_0009.pth.tar"
    error = fails(capsys, arguments(data, tmp_path, "--resume", str(missing)))
    assert f"no checkpoint at {missing}" in error
    assert LAST in error


def test_a_truncated_checkpoint_is_refused(data, whole, tmp_path, capsys):
    path = tmp_path / "half.pth.tar"
    path.write_bytes((whole / LAST).read_bytes()[:5000])
    error = fails(capsys, arguments(data, tmp_path, "--resume", str(path)))
    assert "half.pth.tar is not a readable checkpoint" in error


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--hico-t", "0.5"), "was trained with temperature 0.2, not 0.5"),
        (("--encoder", "GRU"), "was trained with kind Transformer, not GRU"),
        (("--skeleton-representation", "bone"), "was trained with stream joint, not bone"),
        (("--hico-k", "32"), "was trained with queue_size 16, not 32"),
    ],
)
def test_resuming_another_run_is_refused(data, whole, tmp_path, capsys, option, message):
    argv = arguments(data, tmp_path, "--resume", str(whole / LAST), *option)
    assert message in fails(capsys, argv)


def test_a_run_resumes_only_with_its_augmentation(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(AUGMENTATIONS, "toy", "tests.support.toy_augmentation:TOY")
    run = ("--augmentation", "toy", "--epochs", "1", "--seed", "3")
    pretraining.main(arguments(data, tmp_path / "toy", *run))
    checkpoint_of = tmp_path / "toy" / LAST
    assert read(checkpoint_of)["data"]["augmentation"] == "toy"
    pretraining.main(arguments(data, tmp_path / "hico", *run[2:]))
    assert losses(tmp_path / "toy") != losses(tmp_path / "hico")
    argv = arguments(data, tmp_path / "other", "--resume", str(checkpoint_of), "--epochs", "2")
    assert "was trained with augmentation toy, not hico" in fails(capsys, argv)


def test_only_bf16_runs_the_networks_in_lower_precision():
    """tf32 is left to the switches of CUDA: autocast would make bfloat16 of it."""
    found = {}
    for precision in ("fp32", "tf32", "bf16"):
        torch.manual_seed(0)
        method = HiCo(encoder_config("GRU", hidden_size=8), ContrastConfig(4, 16))
        optimizer = checkpoint.make_optimizer(method, 0.1, 0.9, 0.0)
        views = [Views(torch.randn(4, 64, 150), torch.randn(4, 50, 192)) for _ in range(2)]
        found[precision] = trainer.training_step(method, optimizer, *views, precision).total
    assert torch.equal(found["fp32"], found["tf32"])
    assert not torch.equal(found["fp32"], found["bf16"])


def as_published(path, target):
    """Leave of a checkpoint what the published code writes."""
    payload = read(path)
    torch.save({name: payload[name] for name in ("epoch", "state_dict", "optimizer")}, target)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--hico-k", "32"), "queues.clip.keys is (64, 4), expected (128, 4)"),
        (("--granularity", "2"), "query.heads.instance.0.weight is (8, 64), expected (8, 32)"),
        (("--encoder", "GRU"), "missing key.encoder.space.sequence.rnn.bias_hh_l0"),
    ],
)
def test_resuming_a_published_run_of_other_sizes_is_refused(
    data, whole, tmp_path, capsys, option, message
):
    as_published(whole / LAST, tmp_path / "published.pth.tar")
    argv = arguments(data, tmp_path, "--resume", str(tmp_path / "published.pth.tar"), *option)
    error = fails(capsys, argv)
    assert message in error
    assert "give the encoder and queue options it was trained with" in error


def as_before_methods(payload):
    """A payload as it was written before checkpoints named their method and layout."""
    for name in ("method", "layout", "versions"):
        del payload[name]
    payload["config"] = {"num_heads": 4, "dropout": 0.1} | payload["config"]
    contrast = payload["contrast"]
    payload["contrast"] = {n: contrast[n] for n in ("momentum", "temperature", "queue_wrap")}
    del payload["data"]["augmentation"]
    return payload


def test_a_run_with_neighbours_resumes_to_the_last_bit_and_keeps_its_own_layout(data, tmp_path):
    more = ("--encoder", "GRU", "--seed", "3", "--epochs")
    neighbours = ("--positives", "neighbours", "--neighbours-from", "1")
    pretraining.main(arguments(data, tmp_path / "own", *more, "4"))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    pretraining.main(arguments(data, whole, *neighbours, *more, "4"))
    pretraining.main(arguments(data, parts, *neighbours, *more, "2"))
    last = ("--resume", str(parts / LAST))
    pretraining.main(arguments(data, parts, *neighbours, *more, "4", *last))
    assert losses(parts) == losses(whole)
    totals = ([row["loss"] for row in rows(folder)] for folder in (whole, tmp_path / "own"))
    near = [mine == pytest.approx(theirs, rel=1e-5) for mine, theirs in zip(*totals, strict=True)]
    assert near[:3] == [True] * 3
    assert not any(near[4:])
    ours, theirs = (read(folder / LAST) for folder in (parts, whole))
    assert ours["layout"] == "own"
    assert torch.equal(*(x["state_dict"]["queues.instance.clips"] for x in (ours, theirs)))
    assert ours["contrast"]["positives"] == "neighbours"
    assert checkpoint.load_encoder(parts / LAST)[0].config.kind == "GRU"


@pytest.mark.parametrize("kind", ["GRU", "Transformer"])
def test_a_checkpoint_of_before_methods_loads_and_resumes(data, tmp_path, capsys, kind):
    own = ("--encoder", kind, "--queue-wrap", "full", "--save-freq", "1", "--seed", "3")
    pretraining.main(arguments(data, tmp_path / "whole", "--epochs", "3", *own))
    first = read(tmp_path / "whole" / "checkpoint_0000.pth.tar")
    old = tmp_path / "old" / "checkpoint_0000.pth.tar"
    checkpoint.save_whole(as_before_methods(first), old)
    loaded, _ = checkpoint.load_encoder(str(old), report=lambda text: None)
    assert loaded.config == encoder_config(kind, hidden_size=8)
    assert loaded.contrast == ContrastConfig(4, 16, queue_wrap="full")
    again = arguments(data, tmp_path / "old", "--epochs", "3", *own, "--resume", str(old))
    for other in (("--hico-m", "0.9"), ("--hico-k", "32"), ("--num-layers", "2")):
        fails(capsys, [*again, *other])
    pretraining.main(again)
    assert losses(tmp_path / "old") == losses(tmp_path / "whole")[3:]
    ours, theirs = (read(tmp_path / run / LAST) for run in ("old", "whole"))
    for name, tensor in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], tensor), name


def test_too_few_clips_are_refused(data, tmp_path, capsys):
    argv = [*arguments(data, tmp_path), "--batch-size", "16"]
    assert "14 clips do not fill one batch" in fails(capsys, argv)


@pytest.mark.parametrize(
    ("writing", "epochs_with_it"),
    [(0.0, [1, 2, 3, 4, 5, 6]), (0.15, [1, 6]), (0.05, [1, 4, 6])],  # each epoch takes a second
)
def test_checkpoint_last_takes_a_small_share_of_the_time(
    writing, epochs_with_it, data, tmp_path, monkeypatch
):
    now, written = [0.0], []
    start = PretrainingBatches.start_epoch

    def a_second_later(batches):
        now[0] += 1.0
        start(batches)

    def save(payload, path):
        now[0] += writing
        if path.name == LAST:
            written.append(payload["epoch"])

    def clock():
        now[0] += 1e-6  # no two looks at it are the same
        return now[0]

    monkeypatch.setattr(trainer, "clock", clock)
    monkeypatch.setattr(trainer, "WRITING_SHARE", 0.02)
    monkeypatch.setattr(PretrainingBatches, "start_epoch", a_second_later)
    monkeypatch.setattr(checkpoint, "save_whole", save)
    pretraining.main(arguments(data, tmp_path, "--epochs", "6", "--save-freq", "100"))
    assert written == epochs_with_it


def test_bf16_follows_float32_and_says_so_in_no_loss(data, whole, tmp_path):
    pretraining.main(
        arguments(data, tmp_path, "--epochs", "2", "--seed", "3", "--precision", "bf16")
    )
    ours, theirs = losses(tmp_path), losses(whole)[:6]
    assert ours != theirs
    for row, other in zip(ours, theirs, strict=True):
        assert row[-1] == pytest.approx(other[-1], rel=0.05)
    state = read(tmp_path / LAST)["state_dict"]
    assert all(x.dtype in (torch.float32, torch.int64) for x in state.values())


def test_tf32_without_cuda_is_refused(data, tmp_path, capsys):
    error = fails(capsys, arguments(data, tmp_path, "--precision", "tf32"))
    assert "--precision tf32: cpu has none; choose fp32 or bf16" in error


def test_workers_are_accepted_and_said_to_be_unneeded(data, tmp_path, capsys):
    pretraining.main(arguments(data, tmp_path, "--epochs", "1", "-j", "24"))
    assert "--workers is not needed" in capsys.readouterr().out
