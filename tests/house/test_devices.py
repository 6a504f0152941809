"""What a GPU would refuse, on a device that stands in for it (tests/support/elsewhere.py).

The code takes its paths for a GPU here and must come to the CPU's numbers; from the fourth step on,
when a CUDA graph would be recorded, nothing may pass between host and device.
"""

import json
from unittest import mock

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import action_classification
import action_retrieval
import pretraining
from dataset.arrays import load_arrays
from dataset.augment import transform_joints
from dataset.batches import PretrainingBatches
from dataset.packed import PackedSplit
from dataset.protocols import DATASETS, split_folder
from moco import ContrastConfig, HiCo, Views, encoder_config
from moco.kernels.convolution import depthwise
from options.groups import RunOptions, TrainingOptions
from options.pretraining import PretrainingOptions
from tests.support.elsewhere import AWAY, elsewhere, on_the_host, recorded
from tests.support.tiny import write_checkpoint, write_dataset
from tests.training.test_pretraining import arguments, losses
from tools.checkpoint import make_optimizer, read
from tools.evaluation import subject as downstream
from tools.training import recorded as graph
from tools.training import trainer
from tools.training.log import Silence
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


class Operations(TorchDispatchMode):
    """Notes the operations and their first operands."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append((func.__name__.split(".")[0], args[0] if args else None))
        return func(*args, **(kwargs or {}))


def test_joint_matrices_away_from_the_cpu_meet_no_product_that_may_be_rounded():
    clips, matrices = torch.randn(2, 3, 2, 25, 3), torch.randn(2, 25, 3, 3)
    with elsewhere(), Operations() as operations:
        away = transform_joints(clips.to(AWAY), matrices.to(AWAY)).cpu()
    assert not {"mm", "bmm", "addmm", "baddbmm"} & {name for name, _ in operations.seen}
    expected = torch.einsum("nvij,ntmvj->ntmvi", matrices, clips)
    for found in (away, transform_joints(clips, matrices)):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_depthwise_convolution_away_from_the_cpu_takes_contiguous_channels():
    conv = torch.nn.Conv1d(6, 6, 5, padding=2, groups=6)
    tokens = torch.randn(2, 9, 6)
    here = depthwise(tokens, conv)
    with elsewhere(), Operations() as operations:
        away = depthwise(tokens.to(AWAY), conv.to(AWAY)).detach().cpu()
    (given,) = (first for name, first in operations.seen if name == "convolution")
    assert given.shape == (2, 6, 9)
    assert given.is_contiguous()
    torch.testing.assert_close(away, here, rtol=1e-5, atol=1e-6)


class Order(Silence):
    """A log and a step that note in which order they are used."""

    def __init__(self):
        self.events, self.earlier = [], []

    def write(self, row):
        self.events.append(row["batch"])


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (CPU, ["step", "step", 2, "step", "step", 4, "step", 5] * 2),
        (AWAY, ["step", "step", "step", 2, "step", "step", 4, 5] * 2),
    ],
)
def test_a_row_is_written_while_another_device_computes_the_next_step(
    tmp_path, monkeypatch, device, expected
):
    write_dataset(tmp_path, train=20, val=2)
    order = Order()
    with elsewhere():
        trained = trainer_on(device, tmp_path)
        losses = torch.ones(7, device=device)

        def step():
            order.events.append("step")
            return losses

        trained.steps = step
        monkeypatch.setattr(trained, "_end_epoch", lambda: next_epoch(trained))
        trained.run(order)
    assert order.events == expected


def next_epoch(trained):
    trained.progress.epoch, trained.progress.batch = trained.progress.epoch + 1, 0


def trainer_on(device, path):
    """Of two epochs of five batches, a row every two."""
    options = PretrainingOptions(
        encoder=encoder_config("GRU", hidden_size=8, granularity=2),
        contrast=ContrastConfig(projection_size=4, queue_size=8),
        training=TrainingOptions(batch_size=4, epochs=2),
        run=RunOptions(print_freq=2),
    )
    arrays = load_arrays(split_folder(path, DATASETS["ntu60"], "cross_view"), "train")
    split = PackedSplit.from_arrays(arrays, device)
    batches = PretrainingBatches(split, "joint", 4, torch.Generator().manual_seed(1))
    model = HiCo(options.encoder, options.contrast).to(device)
    return trainer.Trainer(model, batches, options)


def test_a_broken_loss_is_seen_before_any_checkpoint_is_written(tmp_path, monkeypatch):
    write_dataset(tmp_path, train=20, val=2)
    with elsewhere():
        trained = trainer_on(AWAY, tmp_path)
        broken = torch.full((7,), float("nan"), device=AWAY)
        steps = iter([torch.ones(7, device=AWAY)] * 4 + [broken])
        trained.steps = lambda: next(steps)
        monkeypatch.setattr(trained, "_end_epoch", lambda: pytest.fail("a checkpoint is written"))
        with pytest.raises(FloatingPointError, match="the clip loss is nan at epoch 0, batch 4"):
            trained.run(Order())


@pytest.mark.parametrize("newer", [False, True])
def test_the_recorder_works_on_its_own_device_and_stream_and_leaves_them(monkeypatch, newer):
    device = torch.device("cuda:1")
    # What of older torch leaves the allocator recording; newer has ended it and refuses.
    allocator = mock.Mock()
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", allocator.end, raising=False)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", allocator.release, raising=False)
    allocator.end.side_effect = RuntimeError("not currently recording") if newer else None
    with mock.patch("tools.training.recorded.torch.cuda") as cuda:
        cuda.graph.return_value.__exit__.side_effect = RuntimeError("capture failed")
        recorder = CudaGraph(device)
        with pytest.raises(RuntimeError, match="capture failed"):
            recorder.record(lambda: None)
        recorder.warm(lambda: None)
        pool = cuda.graph_pool_handle.return_value
    index = cuda.Stream.return_value.device.index
    assert (
        allocator.mock_calls
        == [mock.call.end(index, pool), mock.call.release(index, pool)][: 1 if newer else 2]
    )
    cuda.Stream.assert_called_once_with(device)
    cuda.device.assert_called_once_with(device)
    assert {call.args for call in cuda.current_stream.call_args_list} == {(device,)}
    assert cuda.graph.call_args.kwargs == {"pool": pool, "stream": cuda.Stream.return_value}
    assert cuda.stream.call_args_list[0].args == (cuda.current_stream.return_value,)
    cuda.stream.return_value.__exit__.assert_called()
    generators = cuda.default_generators.__getitem__
    generators.assert_called_once_with(cuda.Stream.return_value.device.index)
    fresh = generators.return_value.clone_state.return_value
    generators.return_value.graphsafe_set_state.assert_called_once_with(fresh)
