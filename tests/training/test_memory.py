"""A device that is too small for a batch: one line says what would fit."""

import pytest
import torch

import action_classification
import pretraining
from moco import encoder_config
from tests.support.tiny import write_checkpoint, write_dataset
from tests.training.test_pretraining import arguments
from tools.evaluation.finetune import FineTuner
from tools.training import memory, trainer
from tools.training.memory import bytes_of_a_clip, what_fits


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_dataset(path, train=14, val=6)
    return path


def full(*_):
    raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")


def test_a_step_that_does_not_fit_is_one_line_that_says_what_would(
    data, tmp_path, monkeypatch, capsys
):
    config = encoder_config("GRU", hidden_size=8, num_layers=1, granularity=2)
    room = int(2.5 * bytes_of_a_clip(config, "fp32"))
    monkeypatch.setattr(trainer, "training_step", full)
    monkeypatch.setattr(memory, "_room", lambda device: room)
    sizes = ("--encoder", "GRU", "--hidden-size", "8", "--granularity", "2")
    with pytest.raises(SystemExit) as stopped:
        pretraining.main(arguments(data, tmp_path, *sizes, "--batch-size", "4"))
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith("error: the device is full: a step on 4 clips of about 0.")
    assert error.endswith("--batch-size 2 or a smaller --hidden-size\n")
    assert error.count("\n") == 1


def test_fine_tuning_that_does_not_fit_says_so_too(data, tmp_path, monkeypatch, capsys):
    write_checkpoint(tmp_path / "checkpoint_0450.pth.tar", "GRU")
    monkeypatch.setattr(FineTuner, "_step", full)
    shared = ("--data-path", str(data), "--device", "cpu", "--output-path", str(tmp_path / "out"))
    shared += ("--pretrained", str(tmp_path / "checkpoint_0450.pth.tar"))
    with pytest.raises(SystemExit) as stopped:
        action_classification.main([*shared, "--mode", "finetune", "--batch-size", "4"])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert "error: the device is full: a step on 4 clips" in error
    assert "--precision" not in error


def test_what_fits_is_less_than_the_room_and_divides_a_queue():
    config = encoder_config(hidden_size=16)
    full, lower = (bytes_of_a_clip(config, precision) for precision in ("fp32", "bf16"))
    assert lower < full
    said = what_fits(config, 64, "fp32", room=int(40 * full))
    assert "; choose --precision bf16 or --batch-size 32 or" in said
    assert "; choose --batch-size 8 or" in what_fits(config, 64, "fp32", room=int(9 * full))
    said = what_fits(config, 64, "tf32", room=int(65 * lower))
    assert "; choose --precision bf16 or --batch-size 32 or" in said
    assert "; choose --batch-size 32 or" in what_fits(config, 64, "bf16", room=int(65 * lower))
    assert "; choose a smaller --hidden-size" in what_fits(config, 64, "fp32", room=0)


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "Transformer"])
def test_a_clip_takes_its_tokens_and_is_counted_without_the_weights(kind):
    tokens = sum((tokens >> level) for tokens in (64, 50) for level in range(4))
    for width in (64, 128):
        found = bytes_of_a_clip(encoder_config(kind, hidden_size=width), "fp32")
        assert 10 < found / (4 * tokens * width) < 80  # numbers a feature of a token
