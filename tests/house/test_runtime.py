"""Device, precision and seed."""

import os
import platform
import re
import signal

import numpy as np
import pytest
import torch

from tools import runtime
from tools.runtime import (
    data_generator,
    machine,
    pick_device,
    seed_everything,
    set_precision,
    until_signal,
)


@pytest.fixture
def machine_with(monkeypatch, tmp_path):
    """Pretend so many usable GPUs, a driver (None is none) and what torch is built for."""

    def _pretend(usable, driver=None, cuda="13.0"):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: usable > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: usable)
        monkeypatch.setattr(torch.version, "cuda", cuda)
        file = tmp_path / "version"
        if driver is not None:
            file.write_text(driver)
        monkeypatch.setattr(runtime, "_DRIVER", file)

    return _pretend


def test_devices_are_checked(machine_with, capsys):
    machine_with(0)
    assert pick_device("auto").type == "cpu"
    for name in ("cuda", "cuda:3"):
        with pytest.raises(ValueError, match=f"--device {name}: 0 CUDA devices here"):
            pick_device(name)
    for name in ("gpu", "meta", "cuda:x"):
        with pytest.raises(ValueError, match=f"--device {name}: choose auto, cpu, cuda or cuda:N"):
            pick_device(name)
    machine_with(2, DRIVER)
    assert pick_device("auto").type == "cuda"
    assert pick_device("cuda:1").index == 1
    with pytest.raises(ValueError, match="--device cuda:2: 2 CUDA devices here"):
        pick_device("cuda:2")
    assert capsys.readouterr() == ("", "")


DRIVER = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 UTC 2023\n"


@pytest.mark.parametrize(
    ("driver", "cuda", "what"),
    [
        (DRIVER, "13.0", "driver 535.104.05 does not run this torch, built for CUDA 13.0; update"),
        (DRIVER.replace("x86_64 ", "Open ").replace("Module", "Module for x86_64"), "13.0",
         "driver 535.104.05 does not run this torch"),
        (DRIVER, None, f"torch {torch.__version__} is built for the CPU; the driver is 535.104"),
        ("?", "13.0", "driver unknown does not run this torch"),
    ],
)  # fmt: skip
def test_a_gpu_that_cannot_be_used_is_named_with_driver_and_wheel(
    machine_with, capsys, driver, cuda, what
):
    machine_with(0, driver, cuda)
    assert pick_device("auto").type == "cpu"
    said = capsys.readouterr().err
    assert said.startswith(f"on the CPU: {what}")
    assert said.endswith("CUDA 13 needs driver 580, CUDA 12 driver 525\n")
    assert said.count("\n") == 1
    with pytest.raises(ValueError, match=re.escape(f"--device cuda: {what}")):
        pick_device("cuda")
    pick_device("cpu")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_gpus_that_are_hidden_on_purpose_are_no_fault(machine_with, monkeypatch, capsys, hidden):
    machine_with(0, DRIVER)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert pick_device("auto").type == "cpu"
    assert capsys.readouterr().err == ""


def test_cudnns_attention_is_left_out():
    torch.backends.cuda.enable_cudnn_sdp(True)
    pick_device("cpu")
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_float32_is_not_rounded_behind_our_back():
    torch.backends.cudnn.allow_tf32 = True
    pick_device("cpu")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_tf32_is_allowed_where_it_is_asked_for_and_there():
    with pytest.raises(ValueError, match="--precision tf32: cpu has none; choose fp32 or bf16"):
        set_precision("tf32", torch.device("cpu"))
    set_precision("tf32", torch.device("cuda"))
    assert torch.backends.cuda.matmul.allow_tf32
    set_precision("bf16", torch.device("cuda"))
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32
    set_precision("fp32", torch.device("cuda"))
    assert not torch.backends.cudnn.allow_tf32


def test_a_seed_fixes_all_draws_and_none_given_is_reported():
    assert seed_everything(7) == 7
    one = torch.rand(3)
    seed_everything(7)
    assert torch.equal(one, torch.rand(3))
    assert seed_everything(None) != seed_everything(None)


def test_weights_and_data_do_not_share_their_draws():
    seed_everything(7)
    assert not torch.equal(torch.rand(3), torch.rand(3, generator=data_generator(7)))
    assert torch.equal(
        torch.rand(3, generator=data_generator(7)), torch.rand(3, generator=data_generator(7))
    )


@pytest.mark.parametrize(("every", "told"), [(False, ["stop", "end"]), (True, ["stop", "stop"])])
def test_a_second_signal_ends_the_work_at_once_or_is_told_too(every, told):
    said, number = [], signal.SIGTERM
    before = signal.signal(number, lambda *_: said.append("end"))
    try:
        with until_signal(lambda found: said.append("stop"), every):
            for _ in told:
                os.kill(os.getpid(), number)
        assert said == told
        os.kill(os.getpid(), number)
        assert said == [*told, "end"]
    finally:
        signal.signal(number, before)


def test_the_machine_names_what_the_figures_were_computed_with():
    found = machine(torch.device("cpu"))
    assert (found["device"], found["torch"], found["numpy"]) == (
        "cpu",
        torch.__version__,
        np.__version__,
    )
    assert found["python"] == platform.python_version()
    assert found["device_name"] == platform.machine()
