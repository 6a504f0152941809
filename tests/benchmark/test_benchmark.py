"""The benchmark counts what it says it counts, and both of its sides do the same work."""

import itertools
import json
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dataset.packed import PackedSplit
from moco import ContrastConfig, HiCo, encoder_config
from options.benchmark import GROUPS, WORKS, BenchmarkOptions
from options.groups import TrainingOptions
from options.pretraining import PretrainingOptions
from tests.oracles.model import PlainHiCo, plain_losses
from tools.benchmark import __main__ as command
from tools.benchmark import (
    data,
    floor,
    knn,
    load,
    measure,
    memory,
    plain,
    prepare,
    probe,
    recordings,
    report,
    step,
    timing,
    train,
)
from tools.benchmark.sizes import Sizes, choose
from tools.evaluation.features import extract
from tools.training.step import random_views

CPU = torch.device("cpu")


class Clock:
    """Says one second more at each look; a work that takes longer moves it on itself."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1
        return self.now


SMALL = PretrainingOptions(
    encoder=encoder_config(hidden_size=16),
    contrast=ContrastConfig(queue_size=8),
    training=TrainingOptions(batch_size=4),
)
TINY = Sizes(
    CPU,
    run=SMALL,
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
    clock=Clock(),
)


@pytest.fixture(autouse=True)
def _small_machine(monkeypatch):
    original = floor.Machine.__init__

    def small(self, device, precision="fp32"):
        original(self, device, precision)
        dtype = self._left.dtype
        self._left, self._right = torch.ones(8, 4, dtype=dtype), torch.ones(4, 12, dtype=dtype)

    monkeypatch.setattr(floor.Machine, "__init__", small)


def full_step(kind: str) -> floor.Work:
    return floor.step_work(encoder_config(kind), ContrastConfig(), 64, 8_917_120)


@pytest.mark.parametrize(("kind", "giga"), [("Transformer", 200), ("LSTM", 200), ("GRU", 153)])
def test_a_full_size_step_costs_the_operations_the_specification_states(kind, giga):
    assert full_step(kind).operations / 1e9 == pytest.approx(giga, rel=0.025)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_formula_counts_the_products_that_pytorch_counts(layers):
    config = encoder_config("Transformer", hidden_size=32, num_layers=layers, granularity=3)
    network = PlainHiCo("Transformer", 32, 4, layers, 3, projection_size=8, queue_size=16).encoder_q
    views = random_views(config, 1)
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
    config = encoder_config(kind, hidden_size=32, num_layers=2)
    encoder = getattr(torch.nn, kind)(32, 16, 2, bidirectional=True)
    weights = sum(p.numel() for p in encoder.parameters() if p.dim() == 2)
    assert floor.sequence_operations(config, tokens=7) == 7 * 2 * weights


def test_the_heads_cost_a_multiply_add_for_each_weight_and_level():
    config = encoder_config("GRU", hidden_size=32, granularity=3)
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


def both(kind):
    """A run, its model, the oracle's in the same state, and two views."""
    torch.manual_seed(0)
    run = TINY.run_of(kind)
    model = HiCo(run.encoder, run.contrast)
    query, key = (random_views(run.encoder, run.training.batch_size) for _ in range(2))
    return run, model, plain.plain_model(model), query, key


def test_both_sides_of_the_step_start_from_one_state_and_lose_alike():
    run, model, other, query, key = both("LSTM")
    losses = plain_losses(other(tuple(query), tuple(key)), run.encoder.granularity)
    ours = model.step(query, key)
    for name, loss in losses.items():
        assert getattr(ours, name).item() == pytest.approx(loss.item(), abs=1e-5), name


def test_both_sides_of_the_step_end_in_one_state():
    run, model, other, query, key = both("GRU")
    sides = step.our_side(model, query, key, run), step.plain_side(other, query, key)
    for _ in range(3):
        for side in sides:
            side()
    again = plain.plain_model(model)
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
    assert [row.ours_ms for row in rows] == pytest.approx([1000] * 4 + [1000 / 3] + [500] * 3)
    assert [row.plain_ms for row in rows] == pytest.approx([1000] * 4 + [1000 / 3] + [1000] * 3)
    for row in rows:
        assert min(row.floor_ms, row.memory_mib) > 0


def test_the_probe_says_that_its_plain_side_ran_one_epoch_of_all(monkeypatch):
    learned, oracle = [], plain.oracle("probe")
    monkeypatch.setattr(oracle, "learn", lambda *_: learned.append(None))
    (row,) = probe.rows(replace(TINY, probe_epochs=40))
    assert row.work == "probe, Transformer"
    assert row.note == "8 + 6 clips; plain: 1 epoch run, x 40"
    assert len(learned) == 1 + TINY.repetitions
    assert (row.ours_ms, row.plain_ms) == pytest.approx((1000, 40 * 1000))


def test_both_sides_of_the_probe_see_the_same_features():
    _, model, other, _, _ = both("GRU")
    arrays = recordings.random_arrays(5)
    ours = extract(model.eval(), PackedSplit.from_arrays(arrays), "joint")
    network = other.encoder_q.eval()
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
    torch.manual_seed(0)
    query, key = feed.one_batch(clips, [2, 0], CPU)
    assert np.array_equal(query[0][0], expected[0][0])
    assert np.array_equal(key[1][0], expected[1][1])
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
        assert row.floor_ms > 0
    assert [row.ours_ms for row in rows] == pytest.approx([1000 / 144, 1000 / 288])
    assert [row.plain_ms for row in rows] == pytest.approx([1000 / 2, 1000 / 2])


def test_loading_is_measured_by_the_clip_and_says_what_the_largest_split_takes(tmp_path):
    (row,) = load.rows(replace(TINY, load_clips=300))
    start, size = row.note.split("table ")
    assert (row.work, start) == ("load, a clip", "300 clips, file in cache, memory of the host; ")
    arrays = load.stored_arrays(tmp_path, 300)
    rows = len(PackedSplit.from_arrays(arrays).frames)
    assert size == f"{rows * 300 / 300 * 63_026 / 2**30:.2f} GiB at 63,026 clips"
    assert (row.ours_ms, row.plain_ms) == pytest.approx((1000 / 300, 1000 / 300))
    assert row.floor_ms > 0


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
    assert (row.ours_ms, row.plain_ms) == pytest.approx((1000, 1000))
    assert row.floor_ms > 0


def test_both_sides_of_the_look_up_find_the_same_clips():
    features, labels = knn.random_features(700, 256)
    ours = knn.our_side(features, labels, 600)()
    assert ours.neighbours[:, :1].tolist() == knn.plain_side(features.double(), 600)().tolist()
    right = labels[ours.neighbours[:, 0]] == labels[600:]
    assert right.double().mean() > 0.5  # classes lie together, as an encoder's do
    assert (features >= 0).all()


def test_a_gpu_looks_up_the_whole_of_ntu_60():
    cuda = torch.device("cuda")
    assert choose(BenchmarkOptions(), cuda).knn_clips == (40_091, 16_487)
    assert max(choose(BenchmarkOptions(), CPU).knn_clips) <= 20_000
    assert max(choose(BenchmarkOptions(quick=True), cuda).knn_clips) <= 20_000


def test_a_part_of_the_plain_work_counts_as_a_part(monkeypatch):
    times = {"ours": 0.02, "plain": 0.01, "product": 1.0, "copy": 1.0}
    monkeypatch.setattr(measure, "interleave", lambda *_, **__: times)
    row = measure.measure(
        "work", int, int, floor.Work(1, 1), TINY, ours_per=2, plain_per=0.1, note="a note"
    )
    assert (row.ours_ms, row.plain_ms) == pytest.approx((10, 100))
    assert row.note == "a note"
    assert row.product_rate == 2 * 8 * 4 * 12


def test_sides_take_turns_and_every_second_round_runs_backwards():
    calls = []
    sides = {name: lambda name=name: calls.append(name) for name in "ab"}
    medians = timing.interleave(sides, CPU, 3, clock=Clock())
    assert "".join(calls) == "abbaab"
    assert medians == {"a": 1, "b": 1}


def test_the_median_of_a_sides_own_turns_counts():
    clock, lengths = Clock(), itertools.cycle([10, 500, 20])

    def uneven():
        clock.now += next(lengths)

    medians = timing.interleave({"uneven": uneven, "none": int}, CPU, 3, clock=clock)
    assert medians == {"uneven": 21, "none": 1}


def test_a_short_work_gets_turns_until_a_second_has_passed_but_not_for_ever():
    for tick, turns in ((2.0**-8, None), (0.0, timing.MOST_TURNS)):
        calls, now = [], itertools.count()
        timing.interleave(
            {"a": lambda calls=calls: calls.append(None)},
            CPU,
            1,
            clock=lambda now=now, tick=tick: next(now) * tick,
        )
        # Three looks at the clock a turn: at its begin, at its end, and whether to go on.
        assert len(calls) == (turns or -(-(2**8) // 3))


def test_peak_memory_sees_what_is_held_only_meanwhile():
    small = memory.peak_memory(lambda: None, CPU)
    large = memory.peak_memory(lambda: np.ones(2**26, dtype=np.float32).sum(), CPU)
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
    row = measure.Row("step, GRU", 20.0, 50.0, 8.0, 100.0, 1e11, 1e10, note="batch 64")
    header, rule, line = report.table([row]).splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        "work", "ours ms", "plain ms", "ratio", "floor ms", "x floor", "memory MiB", "note",
    ]  # fmt: skip
    assert [cell.strip()[-1] for cell in rule.strip("|").split("|")] == [*"-::::::-"]
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
    quick, whole = (choose(BenchmarkOptions(quick=quick), CPU) for quick in (True, False))
    for name in ("run", "kinds", "probe_epochs"):
        assert getattr(quick, name) == getattr(whole, name)
    assert quick.repetitions < whole.repetitions


def test_only_a_rehearsal_takes_a_small_model():
    def width(device, **options):
        return choose(BenchmarkOptions(**options), device).run.encoder.hidden_size

    assert width(CPU, work=("gpu",), quick=True) < 512
    assert width(CPU, work=("gpu",)) == 512
    assert width(torch.device("cuda"), work=("gpu",), quick=True) == 512


def test_a_run_of_another_kind_keeps_the_sizes_that_it_knows():
    run = replace(SMALL, encoder=encoder_config(hidden_size=16, num_layers=2, num_heads=2))
    other = replace(TINY, run=run).run_of("GRU", "bf16", "auto")
    assert other.encoder == encoder_config("GRU", hidden_size=16, num_layers=2)
    assert (other.speed.precision, other.speed.graph) == ("bf16", "auto")
    assert other.contrast == SMALL.contrast


def test_groups_name_works_and_a_work_is_measured_once():
    assert all(work in WORKS for works in GROUPS.values() for work in works)
    assert BenchmarkOptions(work=("step", "gpu")).works == ("step", "tests", "train", "candidates")


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
    with pytest.raises(SystemExit) as stopped:
        command.main(["dat"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: WORK dat: known are prepare, step, ")
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
