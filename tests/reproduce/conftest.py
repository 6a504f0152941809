"""Fixtures that selections and studies share."""

import pytest

from tests.support.tiny import write_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The same split of two data sets, twelve clips to train and six to test."""
    path = tmp_path_factory.mktemp("data")
    write_dataset(path, protocol="cross_subject", train=12, val=6)
    write_dataset(path, dataset="ntu120", protocol="cross_subject", train=12, val=6, seed=1)
    return path
