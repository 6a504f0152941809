"""Fixtures that evaluations share."""

import pytest

from tests.support.tiny import write_checkpoint


@pytest.fixture
def path(tmp_path):
    """A checkpoint of a GRU, in a folder of its own."""
    target = tmp_path / "trained" / "checkpoint_0450.pth.tar"
    write_checkpoint(target)
    return target
