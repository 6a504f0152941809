"""The benchmark counts what it says it counts, and both of its sides do the same work."""

import json
import subprocess
import sys
import time
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dataset.packed import PackedSplit
from moco import EncoderConfig, HiCo
from tests.oracles.model import PlainHiCo, plain_losses
from tools.benchmark import __main__ as command
from tools.benchmark import (
    data,
    floor,
    knn,
    load,
    measure,
    plain,
    prepare,
    probe,
    recordings,
    report,
    step,
    timing,
    train,
)
from tools.benchmark.settings import Settings, choose
from tools.evaluation.features import extract

CPU = torch.device("cpu")
TINY = Settings(
    CPU,
    batch=4,
    hidden_size=16,
    queue_size=8,
    kinds=("GRU", "Transformer"),
    train_kinds=("GRU",),
    train_clips=9,
    train_steps=3,
    workers=0,
    repetitions=1,
    data_clips=8,
    load_clips=5,
    probe_clips=(8, 6),
    knn_clips=(40, 9),
    probe_epochs=2,
    raw_performers=3,
    plain_files=2,
)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(timing, "SHORT_S", 0.0)


@pytest.fixture(autouse=True)
def _small_machine(monkeypatch):
    original = floor.Machine.__init__

    def small(self, device, precision="fp32"):
        original(self, device, precision)
        dtype = self._left.dtype
        self._left, self._right = torch.ones(8, 4, dtype=dtype), torch.ones(4, 12, dtype=dtype)

    monkeypatch.setattr(floor.Machine, "__init__", small)


def full_step(kind: str) -> floor.Work:
    return floor.step_work(EncoderConfig(kind), 64, 8_917_120, 128, 2048)


@pytest.mark.parametrize(("kind", "giga"), [("Transformer", 200), ("LSTM", 200), ("GRU", 153)])
def test_a_full_size_step_costs_the_operations_the_specification_states(kind, giga):
    assert full_step(kind).operations / 1e9 == pytest.approx(giga, rel=0.025)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_formula_counts_the_products_that_pytorch_counts(layers):
    config = EncoderConfig("Transformer", 32, 4, layers, granularity=3)
    network = PlainHiCo("Transformer", 32, 4, layers, 3, projection_size=8, queue_size=16).encoder_q
    views = step.random_views(config, replace(TINY, batch=1))
    attention = sdpa_kernel(SDPBackend.MATH)  # of its products, which PyTorch can count
    with FlopCounterMode(display=False) as counter, attention:
        features = network.features(tuple(views))
        forward = counter.get_total_flops()
        features.sum().backward()
    counted = floor.encoder_operations(config)
    assert counted == pytest.approx(forward, rel=1e-3)
    # "Twice that backward" leaves out that inputs need no gradient.
    assert 2 * counted == pytest.approx(counter.get_total_flops() - forward, rel=0.2)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_a_recurrent_token_costs_a_multiply_add_for_each_weight(kind):
    config = EncoderConfig(kind, 32, num_layers=2)
    encoder = getattr(torch.nn, kind)(32, 16, 2, bidirectional=True)
    weights = sum(p.numel() for p in encoder.parameters() if p.dim() == 2)
    assert floor.sequence_operations(config, tokens=7) == 7 * 2 * weights


def test_the_heads_cost_a_multiply_add_for_each_weight_and_level():
    config = EncoderConfig("GRU", 32, granularity=3)
    network = PlainHiCo("GRU", 32, granularity=3, projection_size=8, queue_size=16).encoder_q
    weights = {
        name: sum(p.numel() for n, p in network.named_parameters() if name in n and p.dim() == 2)
        for name in ("clip_proj", "part_proj", "td_proj", "sd_proj", "instance_proj")
    }
    shared = sum(weights.values()) + (weights["clip_proj"] + weights["part_proj"])
    assert floor.head_operations(config, 8, levels=2) == 2 * shared


def test_every_part_of_the_step_is_in_its_traffic():
    work = full_step("Transformer")
    inputs = 2 * 64 * (64 * 150 + 50 * 192)
    queues = 2 * 11 * 2048 * 128
    assert work.traffic == 4 * (11 * 8_917_120 + queues + inputs)


def test_the_floor_is_the_longer_of_products_and_copies():
    machine = floor.Machine(CPU)
    times = {"product": 1e-3, "copy": 1e-3}
    product_rate, copy_rate = machine.rates(times)
    assert machine.floor(floor.Work(product_rate, 0), times) == pytest.approx(1)
    assert machine.floor(floor.Work(product_rate, 2 * copy_rate), times) == pytest.approx(2)


def test_both_sides_of_the_step_start_from_one_state_and_lose_alike():
    torch.manual_seed(0)
    config = EncoderConfig("LSTM", TINY.hidden_size)
    model = HiCo(config, queue_size=TINY.queue_size)
    other = step.plain_model(model)
    query, key = (step.random_views(config, TINY) for _ in range(2))
    losses = plain_losses(other(tuple(query), tuple(key)), config.granularity)
    model.update_momentum()
    ours, _ = model(query, key)
    assert ours.total.item() == pytest.approx(losses["total"].item(), abs=1e-5)


def test_both_sides_of_the_step_end_in_one_state():
    torch.manual_seed(0)
    config = EncoderConfig("GRU", TINY.hidden_size)
    model = HiCo(config, queue_size=TINY.queue_size)
    other = step.plain_model(model)
    query, key = (step.random_views(config, TINY) for _ in range(2))
    sides = step.our_side(model, query, key), step.plain_side(other, query, key)
    for _ in range(3):
        for side in sides:
            side()
    again = step.plain_model(model)
    for name, tensor in other.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, rtol=0, atol=1e-5)


def test_each_encoder_has_its_row_and_each_stream_its_own():
    rows = [*step.rows(TINY), *train.rows(TINY), *data.rows(TINY)]
    assert [row.work for row in rows] == [
        "step, GRU, fp32",
        "step, GRU, bf16",
        "step, Transformer, fp32",
        "step, Transformer, bf16",
        "train, GRU, fp32",
        "data, joint",
        "data, motion",
        "data, bone",
    ]
    for row in rows:
        assert min(row.ours_ms, row.plain_ms, row.floor_ms, row.memory_mib) > 0


def test_the_probe_says_that_its_plain_side_ran_one_epoch_of_all(monkeypatch):
    learned = []
    oracle = plain.oracle("probe")
    monkeypatch.setattr(oracle, "learn", lambda *_: learned.append(time.sleep(0.05)))
    (row,) = probe.rows(replace(TINY, probe_epochs=40))
    assert row.work == "probe, Transformer"
    assert row.note == "8 + 6 clips; plain: 1 epoch run, x 40"
    assert len(learned) == 1 + TINY.repetitions
    assert row.plain_ms > 40 * 50


def test_both_sides_of_the_probe_see_the_same_features():
    model = HiCo(EncoderConfig("GRU", TINY.hidden_size), queue_size=TINY.queue_size).eval()
    arrays = recordings.random_arrays(5)
    ours = extract(model, PackedSplit.from_arrays(arrays), "joint")
    network = step.plain_model(model).encoder_q.eval()
    theirs = plain.oracle("probe").recomputed(network, arrays.data, arrays.num_frames, "joint")
    torch.testing.assert_close(ours, theirs(range(5)), rtol=0, atol=1e-5)


def test_ours_trains_where_the_oracle_is_fed_by_workers(monkeypatch):
    (row,) = train.rows(replace(TINY, workers=1, train_precisions=("bf16",)))
    assert row.note.startswith("plain: float32, 1 workers; 451 epochs of 37,646 clips: ")
    minutes = row.ours_ms / 60e3 * (37_646 // TINY.batch) * 451
    assert row.note.endswith(f" {minutes:,.0f} min")
    assert row.precision == "bf16"


def test_the_workers_views_are_the_oracles():
    feed, augment = plain.oracle("feed"), plain.oracle("augment")
    arrays = recordings.random_arrays(4)
    clips = feed.PlainClips(arrays.data, arrays.num_frames, "bone")
    torch.manual_seed(0)
    query, key = clips[2]
    torch.manual_seed(0)
    random = np.random.default_rng(int(torch.randint(2**31, ())))
    expected = augment.two_views(arrays.data[2], int(arrays.num_frames[2]), "bone", random)
    assert np.array_equal(query[0], expected[0][0])
    assert np.array_equal(key[1], expected[1][1])
    batches = feed.batches_for_ever(clips, 2, 0, CPU)
    for _ in range(3):  # more than an epoch
        query, key = next(batches)
    assert query[0].shape == (2, 64, 150)
    assert key[1].shape == (2, 50, 192)


def test_the_floor_is_of_the_precision_that_is_measured():
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        assert floor.Machine(CPU, precision).sides()["product"]().dtype == dtype


def test_preparation_is_measured_by_the_file_at_two_sizes():
    rows = list(prepare.rows(TINY))
    assert [row.work for row in rows] == ["prepare, a file of 144", "prepare, a file of 288"]
    for row in rows:
        assert row.note == "both protocols, one process; plain: 2 files run"
        assert 0 < row.floor_ms < row.ours_ms < row.plain_ms


def test_loading_is_measured_by_the_clip_and_says_what_the_largest_split_takes(tmp_path):
    (row,) = load.rows(replace(TINY, load_clips=300))
    start, size = row.note.split("table ")
    assert (row.work, start) == ("load, a clip", "300 clips, file in cache, memory of the host; ")
    arrays = load.stored_arrays(tmp_path, 300)
    rows = len(PackedSplit.from_arrays(arrays).frames)
    assert size == f"{rows * 300 / 300 * 63_026 / 2**30:.2f} GiB at 63,026 clips"
    assert min(row.ours_ms, row.plain_ms, row.floor_ms) > 0


def test_both_sides_of_loading_hold_the_same_recordings(tmp_path):
    arrays = load.stored_arrays(tmp_path, 5)
    split, dense = load.our_load(arrays, CPU), load.plain_load(arrays, CPU)
    for clip, frames in enumerate(arrays.num_frames.tolist()):
        first = int(split.first_row[clip, 0])
        recorded = dense[clip, :, :frames, :, 0].permute(1, 2, 0)
        assert torch.equal(split.frames[first : first + frames], recorded)


def test_a_load_reads_both_bodies_and_writes_those_that_are_there():
    work = floor.load_work(np.array([10, 30]), rows=50)
    assert work == floor.Work(0, (2 * 40 + 50) / 2 * 25 * 3 * 4)


def test_a_look_up_costs_a_multiply_add_for_each_pair_and_feature():
    features = torch.randn(7, 5)
    with FlopCounterMode(display=False) as counter:
        features[:4] @ features[4:].T
    work = floor.knn_work(4, 3, 5)
    assert work == floor.Work(counter.get_total_flops(), features.nbytes)


def test_the_look_up_says_what_is_compared():
    (row,) = knn.rows(TINY)
    assert row.work == "knn, all clips"
    assert row.note.startswith("40 x 9 clips; the features are ")
    assert row.note.endswith("plain: scikit-learn, the nearest clip alone")
    assert min(row.ours_ms, row.plain_ms, row.floor_ms) > 0


def test_both_sides_of_the_look_up_find_the_same_clips():
    features, labels = knn.random_features(700, 256)
    ours = knn.our_side(features, labels, 600)()
    assert ours.neighbours.tolist() == knn.plain_side(features.double().numpy(), 600)().tolist()
    assert ours.top1 > 50  # classes lie together, as an encoder's do
    assert (features >= 0).all()


def test_a_gpu_looks_up_the_whole_of_ntu_60():
    assert choose(torch.device("cuda"), quick=False).knn_clips == (40_091, 16_487)
    for device, quick in ((CPU, False), (torch.device("cuda"), True)):
        assert max(choose(device, quick).knn_clips) <= 20_000


def test_a_part_of_the_plain_work_counts_as_a_part(monkeypatch):
    times = {"ours": 0.02, "plain": 0.01, "product": 1.0, "copy": 1.0}
    monkeypatch.setattr(measure, "interleave", lambda *_: times)
    row = measure.measure(
        "work", int, int, floor.Work(1, 1), TINY, ours_per=2, plain_per=0.1, note="a note"
    )
    assert (row.ours_ms, row.plain_ms) == pytest.approx((10, 100))
    assert row.note == "a note"
    assert row.product_rate == 2 * 8 * 4 * 12


def test_sides_take_turns_and_every_second_round_runs_backwards():
    calls = []
    sides = {name: lambda name=name: calls.append(name) for name in "ab"}
    medians = timing.interleave(sides, CPU, 3)
    assert "".join(calls) == "abbaab"
    assert set(medians) == {"a", "b"}


def test_peak_memory_sees_what_is_held_only_meanwhile():
    small = timing.peak_memory(lambda: None, CPU)
    large = timing.peak_memory(lambda: np.ones(2**26, dtype=np.float32).sum(), CPU)
    assert large - small > 200


def test_one_thread_is_lent_and_given_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with timing.one_thread(CPU):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with timing.one_thread(torch.device("cuda")):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_table_has_its_columns_and_the_json_the_same_figures(tmp_path):
    row = report.Row("step, GRU", 20.0, 50.0, 8.0, 100.0, 1e11, 1e10, note="batch 64")
    header, rule, line = report.table([row]).splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == list(report.HEADINGS)
    assert len(header) == len(rule) == len(line)
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "step, GRU", "20", "50", "2.50", "8", "2.50", "100", "batch 64",
    ]  # fmt: skip
    report.save(tmp_path / "runs" / "b.json", CPU, [row])
    stored = json.loads((tmp_path / "runs" / "b.json").read_text())
    assert stored["rows"][0]["ratio"] == 2.5
    assert {field.name for field in fields(row)} < set(stored["rows"][0])
    assert stored["machine"]["device"] == "cpu"
    other = replace(row, precision="bf16", product_rate=3e11)
    assert "products at fp32 100, bf16 300 GFLOP/s" in report.summary(CPU, [row, other])


def test_random_recordings_look_like_prepared_ones():
    arrays = recordings.random_arrays(50)
    assert (arrays.data.shape, arrays.data.dtype) == ((50, 3, 300, 25, 2), np.float32)
    assert ((arrays.num_frames >= 30) & (arrays.num_frames <= 170)).all()
    clip, frames = arrays.data[0], int(arrays.num_frames[0])
    assert np.array_equal(clip[:, frames : 2 * frames], clip[:, :frames])
    alone = ~arrays.data[..., 1].any(axis=(1, 2, 3))
    assert 25 < alone.sum() < 50


def test_quick_keeps_the_model_at_full_size():
    quick, whole = choose(CPU, quick=True), choose(CPU, quick=False)
    for name in ("batch", "hidden_size", "queue_size", "kinds", "probe_epochs"):
        assert getattr(quick, name) == getattr(whole, name)
    assert quick.repetitions < whole.repetitions


def test_quick_data_runs_from_the_command_line_to_the_json(tmp_path, capsys):
    command.main(["data", "--quick", "--device", "cpu", "--json", str(tmp_path / "b.json")])
    printed = capsys.readouterr().out
    assert "| data, bone" in printed
    assert len(json.loads((tmp_path / "b.json").read_text())["rows"]) == 3


def test_a_missing_device_and_a_missing_oracle_are_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["data", "--device", "cuda:99"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: --device cuda:99")
    with pytest.raises(FileNotFoundError, match="no tests.oracles.nothing, the plain side"):
        plain.oracle("nothing")


def test_help_is_quick_and_imports_no_torch():
    code = (
        "import sys, tools.benchmark.__main__ as c\n"
        "try: c.main(['--help'])\nexcept SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
    assert "step" in done.stdout
