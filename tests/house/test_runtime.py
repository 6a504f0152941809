"""Device, precision and seed."""

import platform

import numpy as np
import pytest
import torch

from tools.runtime import (
    data_generator,
    machine,
    pick_device,
    seed_everything,
    set_precision,
)


def test_devices_are_checked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert pick_device("auto").type == "cpu"
    for name in ("cuda", "cuda:3"):
        with pytest.raises(ValueError, match=f"--device {name}: 0 CUDA devices here"):
            pick_device(name)
    for name in ("gpu", "meta", "cuda:x"):
        with pytest.raises(ValueError, match=f"--device {name}: choose auto, cpu, cuda or cuda:N"):
            pick_device(name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto").type == "cuda"
    assert pick_device("cuda:1").index == 1


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


def test_the_machine_names_what_the_figures_were_computed_with():
    found = machine(torch.device("cpu"))
    assert (found["device"], found["torch"], found["numpy"]) == (
        "cpu",
        torch.__version__,
        np.__version__,
    )
    assert found["python"] == platform.python_version()
    assert found["device_name"] == platform.machine()
