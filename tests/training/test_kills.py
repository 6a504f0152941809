"""Whatever is killed at any moment goes on with nothing lost, mixed or left behind."""

import random

import pytest
import torch

from tests import kills


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    torch.set_num_threads(1)  # a forked process has no other thread
    path = tmp_path_factory.mktemp("inputs")
    kills.write_inputs(path)
    return path


SLOW = {"report", "features"}
"""Commands that compute for seconds and then write one file, as the retrieval does."""


@pytest.mark.parametrize("name", [name for name in kills.WORKS if name not in SLOW])
def test_a_killed_command_ends_as_one_that_was_not(name, inputs, tmp_path):
    whole = kills.uninterrupted(name, inputs, tmp_path / "whole")
    draw, trials = random.Random(7), 1 if name in ("reproduce", "prepare-2") else 2
    assert sum(kills.trial(name, inputs, tmp_path / str(n), draw, whole) for n in range(trials))
