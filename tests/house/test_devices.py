"""What a GPU would refuse, on a device that stands in for it (tests/support/elsewhere.py).

The code takes its paths for a GPU here and must come to the CPU's numbers; from the fourth step on,
when a CUDA graph would be recorded, nothing may pass between host and device.
"""

import json
from unittest import mock

import pytest
import torch
from torch.nn import functional

import action_classification
import action_retrieval
import pretraining
from dataset.arrays import load_arrays
from dataset.batches import PretrainingBatches
from dataset.packed import PackedSplit
from dataset.protocols import DATASETS, split_folder
from moco import ContrastConfig, HiCo, Views, encoder_config
from tests.support.elsewhere import AWAY, elsewhere, on_the_host, recorded
from tests.support.tiny import write_checkpoint, write_dataset
from tests.training.test_pretraining import arguments, losses
from tools.checkpoint import make_optimizer, read
from tools.evaluation import subject as downstream
from tools.training import recorded as graph
from tools.training import trainer
from tools.training.recorded import CudaGraph
from tools.training.trainer import LAST, training_step

CPU = torch.device("cpu")
KINDS = ("GRU", "LSTM", "Transformer")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_dataset(path, train=14, val=6)
    return path


def train(kind, layers, precision, device):
    """Losses of the last of five small steps, of which the last two count as recorded."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_layers": layers, "granularity": 3}
    if kind == "Transformer":
        sizes |= {"num_heads": 2, "dropout": 0.0}
    config = encoder_config(kind, **sizes)
    model = HiCo(config, ContrastConfig(projection_size=4, queue_size=16))
    views = [Views(torch.randn(4, 9, 150), torch.randn(4, 8, 192)) for _ in range(2)]
    with elsewhere() as mode:
        model = model.to(device)
        views = [Views(*(layout.to(device) for layout in view)) for view in views]
        optimizer = make_optimizer(model, 0.1, 0.9, 1e-4)
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(0.1, device=device)
        for _ in range(graph.WARM_UP):
            training_step(model, optimizer, *views, precision)
        with recorded(mode):
            for _ in range(2):
                found = training_step(model, optimizer, *views, precision)
        return torch.stack(list(found)).cpu()


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_away_from_the_cpu_are_the_cpus_and_ask_the_host_for_nothing(kind, layers):
    away, here = (train(kind, layers, "fp32", device) for device in (AWAY, CPU))
    torch.testing.assert_close(away, here, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_steps_follow_float32_and_ask_the_host_for_nothing(kind):
    lower, full = (train(kind, 2, precision, AWAY)[:5] for precision in ("bf16", "fp32"))
    torch.testing.assert_close(lower, full, rtol=0.05, atol=0.05)
    assert not torch.equal(lower, full)


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_views_away_from_the_cpu_are_the_cpus_and_ask_the_host_for_nothing(data, stream):
    arrays = load_arrays(split_folder(data, DATASETS["ntu60"], "cross_view"), "train")
    found = {}
    for device in (CPU, AWAY):
        with elsewhere() as mode:
            split = PackedSplit.from_arrays(arrays, device)
            batches = PretrainingBatches(split, stream, 4, torch.Generator().manual_seed(1))
            batches.start_epoch()
            batches.batch(0)
            batches.seek(2)
            with recorded(mode):
                views = batches.views()
            found[device] = [layout.cpu() for view in views for layout in view]
    for away, here in zip(found[AWAY], found[CPU], strict=True):
        torch.testing.assert_close(away, here, rtol=0, atol=1e-6)


class Again:
    """A recorder that refuses what a CUDA graph does, and computes a step again to replay it."""

    def __init__(self, mode):
        self.mode, self.replays = mode, -1

    def warm(self, work):
        return work()

    def record(self, work):
        answer = torch.empty(7, device=AWAY)

        def replay():
            self.replays += 1
            with recorded(self.mode):
                answer.copy_(work())

        return replay, answer


@pytest.fixture
def away(monkeypatch):
    """Scripts compute elsewhere; yields its mode."""
    monkeypatch.setattr("tools.runtime.pick_device", lambda name: AWAY)
    monkeypatch.setattr("tools.evaluation.subject.pick_device", lambda name: AWAY)
    # A checkpoint's model is made of "meta" tensors in the usual sense, then filled.
    monkeypatch.setattr(downstream, "load_encoder", on_the_host(downstream.load_encoder))
    with elsewhere() as mode:
        yield mode


def test_a_recorded_run_away_from_the_cpu_is_the_cpus(data, tmp_path, monkeypatch, away):
    run = ("--seed", "3", "--epochs", "2", "--schedule", "1", "--encoder", "GRU")
    run += ("--skeleton-representation", "bone", "--granularity", "1")
    recorder = Again(away)
    monkeypatch.setattr(trainer, "choose_recorder", lambda *_: (recorder, "again"))
    pretraining.main(arguments(data, tmp_path / "away", *run))
    assert recorder.replays == 2 * 3 - graph.WARM_UP - 1
    monkeypatch.undo()
    pretraining.main(arguments(data, tmp_path / "here", *run))
    for mine, other in zip(losses(tmp_path / "away"), losses(tmp_path / "here"), strict=True):
        assert mine == pytest.approx(other, rel=1e-4)
    one, other = (read(tmp_path / name / LAST) for name in ("away", "here"))
    assert one["state_dict"].keys() == other["state_dict"].keys()


SCRIPTS = {
    "linear": (action_classification, ("--epochs", "3", "--schedule", "2")),
    "finetune": (
        action_classification,
        ("--mode", "finetune", "--epochs", "2", "--encoder-mode", "eval"),
    ),
    "retrieval": (action_retrieval, ()),
}


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("kind", ["GRU", "Transformer"])
def test_scores_away_from_the_cpu_are_the_cpus(data, tmp_path, monkeypatch, name, kind, away):
    script, options = SCRIPTS[name]
    write_checkpoint(tmp_path / "checkpoint_0450.pth.tar", kind)
    shared = ("--data-path", str(data), "--seed", "3", "--device", "cpu")
    shared += ("--pretrained", str(tmp_path / "checkpoint_0450.pth.tar"), *options)
    results = {}
    for place, run in (("away", script.main), ("here", on_the_host(script.main))):
        run([*shared, "--output-path", str(tmp_path / place)])
        results[place] = json.loads((tmp_path / place / "results.json").read_text())
        monkeypatch.undo()
    assert results["away"]["machine"]["device"] == "meta"
    assert results["here"]["machine"]["device"] == "cpu"
    scored = {"summary", "at", "top5", "mean_average_precision"} & results["here"].keys()
    assert scored
    assert all(results["away"][part] == results["here"][part] for part in scored)


def refused(work):
    """Whether a recording refuses a work, with an index and a mask at hand."""
    with elsewhere() as mode:
        x = torch.arange(4.0).to(AWAY)
        here, mask = torch.ones(4), (x > 1)
        work(x, here, mask)  # plainly it may be done
        with recorded(mode), pytest.raises(RuntimeError, match="recording|mixes|gives the host"):
            work(x, here, mask)


@pytest.mark.parametrize(
    "work",
    [
        lambda x, here, mask: x.sum().item(),
        lambda x, here, mask: bool(mask.any()),
        lambda x, here, mask: x.cpu(),
        lambda x, here, mask: here.to(x.device),
        lambda x, here, mask: x.copy_(here),
        lambda x, here, mask: torch.tensor([1.0], device=x.device),
        lambda x, here, mask: x[mask],
        lambda x, here, mask: x.nonzero(),
        lambda x, here, mask: x.unique(),
        lambda x, here, mask: x * torch.tensor(2.0),
    ],
)
def test_a_recording_here_refuses_what_a_cuda_graph_refuses(work):
    refused(work)


def test_the_stand_in_refuses_to_mix_devices():
    with elsewhere(), pytest.raises(RuntimeError, match="mixes tensors"):
        functional.relu(torch.ones(2).to(AWAY) + torch.ones(2))


def test_the_recorder_works_on_its_own_device_and_stream_and_leaves_them():
    device = torch.device("cuda:1")
    with mock.patch("tools.training.recorded.torch.cuda") as cuda:
        cuda.graph.return_value.__exit__.side_effect = RuntimeError("capture failed")
        recorder = CudaGraph(device)
        with pytest.raises(RuntimeError, match="capture failed"):
            recorder.record(lambda: None)
        recorder.warm(lambda: None)
    cuda.Stream.assert_called_once_with(device)
    cuda.device.assert_called_once_with(device)
    assert {call.args for call in cuda.current_stream.call_args_list} == {(device,)}
    assert cuda.graph.call_args.kwargs == {"stream": cuda.Stream.return_value}
    assert cuda.stream.call_args_list[0].args == (cuda.current_stream.return_value,)
    cuda.stream.return_value.__exit__.assert_called()
    generators = cuda.default_generators.__getitem__
    generators.assert_called_once_with(cuda.Stream.return_value.device.index)
    fresh = generators.return_value.clone_state.return_value
    generators.return_value.graphsafe_set_state.assert_called_once_with(fresh)
