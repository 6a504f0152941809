"""Every candidate of the benchmark ends in the product's tensors: outputs, gradients, queues."""

import json
import subprocess
from dataclasses import replace

import pytest
import torch

from moco import ContrastConfig, encoder_config
from options.groups import TrainingOptions
from options.pretraining import PretrainingOptions
from tests.benchmark.test_benchmark import CPU, TINY, Clock
from tools.benchmark import __main__ as command
from tools.benchmark import gpu
from tools.benchmark.candidates import CANDIDATES
from tools.benchmark.candidates.case import Candidate, Case


def case(kind="Transformer", wrap="published"):
    """Without dropout; the batch wraps the queues in the second step."""
    run = PretrainingOptions(
        encoder=encoder_config(kind, hidden_size=16, granularity=3),
        contrast=ContrastConfig(projection_size=8, queue_size=12, queue_wrap=wrap),
        training=TrainingOptions(batch_size=6),
    )
    return Case(run, CPU, training=False, compiler="eager")


EVERY = [
    pytest.param(number, kind, wrap, id=f"{one.name}, {kind}, {wrap}")
    for kind in ("Transformer", "GRU", "LSTM")
    for wrap in ("published", "full")
    for number, one in enumerate(one for make in CANDIDATES for one in make(case(kind, wrap)))
]


@pytest.mark.parametrize(("number", "kind", "wrap"), EVERY)
def test_a_candidate_ends_in_the_tensors_of_the_product(number, kind, wrap):
    one = [one for make in CANDIDATES for one in make(case(kind, wrap))][number]
    for _ in range(5):  # queues go on from step to step
        ours, other = one.product(), one.candidate()
        assert len(ours) == len(other) > 1
        for mine, theirs in zip(ours, other, strict=True):
            torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-5)


def test_no_candidate_is_missing():
    names = [one.name for make in CANDIDATES for one in make(case())]
    assert names == [
        "convolution: conv1d",
        "convolution: channels_last",
        "convolution: shifted",
        "attention: block_mask",
        "attention: jagged",
        "attention: padded",
        "passes: forked and joined",
        "branch: torch.compile",
        "heads: query, batched",
        "heads: key, batched",
        "contrast: batched",
        "contrast: batched, enqueued late",
        "contrast: enqueued late",
    ]


def test_recurrent_levels_compete_padded():
    for kind in ("GRU", "LSTM"):
        assert "levels: padded" in [one.name for make in CANDIDATES for one in make(case(kind))]


def test_torch_compile_competes_only_where_it_was_asked_for():
    without = replace(case(), compiler=None)
    assert all("compile" not in one.name for make in CANDIDATES for one in make(without))


@pytest.mark.parametrize(("longer", "faster"), [(0.04, "neither"), (0.06, "candidate")])
def test_who_wins_by_more_than_five_per_cent_is_named(longer, faster):
    trial = gpu.Trial("a", "GRU", "fp32", product_ms=1 + longer, candidate_ms=1.0)
    assert trial.faster == faster
    other = gpu.Trial("a", "GRU", "fp32", product_ms=1.0, candidate_ms=1 + longer)
    assert other.faster == faster.replace("candidate", "product")


def test_both_sides_of_a_trial_are_timed_in_turns(monkeypatch):
    clock, calls = Clock(), []

    def work(name, seconds):
        calls.append(name)
        clock.now += seconds
        return (torch.zeros(1),)

    one = Candidate("a", lambda: work("p", 9), lambda: work("c", 4))
    monkeypatch.setattr(gpu, "CANDIDATES", [lambda case: [one]])
    sizes = replace(TINY, clock=clock, kinds=("GRU", "LSTM"), precisions=("fp32",), repetitions=2)
    (trial,) = gpu.trials(sizes)  # one that does not depend on the encoder is timed once
    assert (trial.product_ms, trial.candidate_ms, trial.ratio) == (10_000, 5_000, 2)
    assert "".join(calls) == "pppp" + "cccc" + "pccp"
    monkeypatch.setattr(gpu, "CANDIDATES", [lambda case: [one._replace(every_kind=True)]])
    assert [trial.kind for trial in gpu.trials(sizes)] == ["GRU", "LSTM"]


def test_a_candidate_that_this_pytorch_does_not_have_stops_no_other(monkeypatch):
    def missing():
        raise NotImplementedError("no such\nkernel")

    one = Candidate("a", lambda: (torch.zeros(1),), missing)
    monkeypatch.setattr(gpu, "CANDIDATES", [lambda case: [one, one._replace(name="b")]])
    first, second = gpu.trials(replace(TINY, kinds=("GRU",), precisions=("fp32",)))
    assert (first.what, first.result) == ("a, GRU, fp32", "failed: no such kernel")
    assert second.what == "b, GRU, fp32"


@pytest.mark.parametrize(
    ("out", "err", "result"),
    [
        ("..F\n1 failed in 9 s\n", "", "1 failed in 9 s"),
        ("", "No module named pytest", "No module named pytest"),
    ],
)
def test_the_last_line_of_the_cuda_tests_is_told(monkeypatch, out, err, result):
    def run(words, env, **_):
        assert env["HICO_TEST_DEVICE"] == "cpu"  # the device that was asked for
        return subprocess.CompletedProcess(words, 1, out, err)

    monkeypatch.setattr(subprocess, "run", run)
    (remark,) = gpu.tests(TINY)
    assert str(remark) == f"tests/test_cuda.py: {result}"


def test_cuda_tests_that_do_not_end_are_told(monkeypatch):
    def run(words, timeout, **_):
        raise subprocess.TimeoutExpired(words, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    (remark,) = gpu.tests(TINY)
    assert remark.result == "not finished after 180 s"


def test_gpu_rehearses_on_a_cpu(tmp_path, monkeypatch, capsys):
    def run(words, **_):
        return subprocess.CompletedProcess(words, 0, stdout="...\n25 skipped in 3 s\n", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr("tools.benchmark.sizes.choose", lambda *_: replace(TINY, kinds=("GRU",)))
    command.main(["gpu", "--quick", "--device", "cpu", "--json", str(tmp_path / "b.json")])
    printed = capsys.readouterr().out
    stored = json.loads((tmp_path / "b.json").read_text())
    assert stored["remarks"] == [{"what": "tests/test_cuda.py", "result": "25 skipped in 3 s"}]
    assert [row["work"] for row in stored["rows"]] == [
        "step, GRU, fp32",
        "step, GRU, bf16",
        "train, GRU, fp32",
    ]
    assert {row["candidate"] for row in stored["candidates"]} > {"heads: key, batched"}
    for row in stored["candidates"]:
        assert f"| {row['candidate']}" in printed
        assert row["faster"] == "neither"  # by the test's clock all take as long
