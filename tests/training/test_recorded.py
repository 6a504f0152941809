"""Recorded steps: replayed on other batches and rates they do what plain steps do.

A tape of PyTorch's operations stands in for the CUDA graph: like it, it repeats the operations on
the tensors of the recording and runs none of our code, so whatever the host decided stays decided.
"""

import gc
import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import pretraining
from tests.training.test_pretraining import arguments, losses
from tools.checkpoint import read
from tools.training import recorded as graph
from tools.training import trainer
from tools.training.recorded import Repeated, choose_recorder
from tools.training.trainer import LAST

CPU = torch.device("cpu")


class Tape(TorchDispatchMode):
    """Keeps each operation with its operands and its answers."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        answers = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, answers))
        return answers

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, answers in self.operations:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(answers), tree_leaves(again), strict=True):
                if torch.is_tensor(new) and new.numel() and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class TapeRecorder:
    """Records on the CPU. Recording has an effect here, so the first replay has none."""

    def __init__(self):
        self.replays = 0

    def warm(self, work):
        return work()

    def record(self, work):
        with Tape() as tape:
            answer = work()

        def replay():
            if self.replays:
                tape.replay()
            self.replays += 1

        return replay, answer


@pytest.fixture
def recorders(monkeypatch):
    """The recorders of the runs so far."""
    made = []

    def choose(*_):
        made.append(TapeRecorder())
        return made[-1], "a tape"

    monkeypatch.setattr(trainer, "choose_recorder", choose)
    return made


@pytest.fixture
def without_onednn_lstm(kind):
    """Its workspace goes from pass to pass unseen by the tape."""
    with torch.backends.mkldnn.flags(enabled=kind != "LSTM"):
        yield


RUN = (
    *("--seed", "3", "--epochs", "4", "--schedule", "2"),
    *("--skeleton-representation", "bone", "--print-freq", "2"),
)


@pytest.mark.filterwarnings("ignore:TF32")  # of oneDNN's, for other machines
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["GRU", "LSTM", "Transformer"])
def test_a_recorded_run_is_the_plain_run_to_the_last_bit(
    data, tmp_path, recorders, monkeypatch, capsys, without_onednn_lstm, kind, precision
):
    options = (*RUN, "--encoder", kind, "--precision", precision)
    if kind == "GRU":  # what changes at an epoch is not recorded
        options += ("--positives", "neighbours", "--neighbours-from", "2")
    pretraining.main(arguments(data, tmp_path / "recorded", *options))
    assert f"{precision}; steps: a tape" in capsys.readouterr().out
    assert [recorder.replays for recorder in recorders] == [4 * 3 - graph.WARM_UP]
    monkeypatch.undo()
    pretraining.main(arguments(data, tmp_path / "plain", *options))
    assert losses(tmp_path / "recorded") == losses(tmp_path / "plain")
    one, other = (read(tmp_path / name / LAST) for name in ("recorded", "plain"))
    assert one["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.005, rel=1e-12)
    for name, tensor in other["state_dict"].items():
        assert torch.equal(one["state_dict"][name], tensor), name


def test_a_recorded_run_resumes_where_it_stopped(data, tmp_path, recorders):
    pretraining.main(arguments(data, tmp_path / "whole", *RUN))
    pretraining.main(arguments(data, tmp_path / "parts", *RUN, "--epochs", "2"))
    last = str(tmp_path / "parts" / LAST)
    pretraining.main(arguments(data, tmp_path / "parts", *RUN, "--resume", last))
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert [recorder.replays for recorder in recorders] == [9, 3, 3]


def test_what_the_host_decides_is_fixed_by_the_recording():
    """The tape would tell on a step that reads anything but tensors changed in place."""
    number, tensor = [0.0], torch.zeros(())
    repeated = Repeated(lambda: tensor + number[0], CPU, TapeRecorder(), "")
    answers = []
    for value in range(graph.WARM_UP + 3):
        number[0] = tensor[...] = float(value)
        answers.append(float(repeated()))
    at = float(graph.WARM_UP)
    assert answers == [0, 2, 4, 2 * at, at + at + 1, at + at + 2]


def test_garbage_is_collected_before_a_recording_and_not_within(monkeypatch):
    class Held:
        pass

    held = Held()
    held.itself, gone = held, weakref.ref(held)

    class Looks(TapeRecorder):
        def record(self, work):
            seen.append(gone())
            return super().record(work)

    seen, repeated = [], Repeated(lambda: torch.zeros(()), CPU, Looks(), "")
    gc.disable()
    try:
        del held
        assert gone() is not None
        for _ in range(graph.WARM_UP + 1):
            repeated()
    finally:
        gc.enable()
    assert seen == [None]


class Broken(TapeRecorder):
    def record(self, work):
        torch.rand(3)
        raise RuntimeError("operation not permitted\nwhen stream is capturing")


def test_where_recording_fails_the_run_goes_on_plainly_and_says_so(
    data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(trainer, "choose_recorder", lambda *_: (Broken(), "a tape"))
    pretraining.main(arguments(data, tmp_path / "broken", *RUN))
    error = capsys.readouterr().err
    assert "plain, recording failed: operation not permitted when stream is capturing" in error
    monkeypatch.undo()
    pretraining.main(arguments(data, tmp_path / "plain", *RUN))
    assert losses(tmp_path / "broken") == losses(tmp_path / "plain")


@pytest.mark.parametrize(
    ("wanted", "device", "resident", "how"),
    [
        ("off", "cuda", True, "plain, by --graph off"),
        ("auto", "cpu", True, "plain, cpu needs no graph"),
        ("auto", "cuda", False, "plain, the clips do not fit the GPU and come from the host"),
    ],
)
def test_the_choice_says_why(wanted, device, resident, how):
    assert choose_recorder(wanted, torch.device(device), resident) == (None, how)


def test_a_step_in_which_processes_meet_is_not_recorded():
    how = "plain, 2 processes meet within each"
    assert choose_recorder("auto", torch.device("cuda"), True, 2) == (None, how)
