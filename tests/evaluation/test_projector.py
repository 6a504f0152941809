"""`python -m tools.features --projector`: what TensorBoard's projector is given."""

import csv

import numpy as np
import pytest

from tests.support.tiny import write_checkpoint, write_dataset
from tools import features
from tools.evaluation import projector


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("projector")
    write_dataset(path / "data", train=9, val=5)
    write_checkpoint(path / "checkpoint_0450.pth.tar", granularity=2)
    return path


def write(place, *arguments):
    common = ["--data-path", str(place / "data"), "--device", "cpu"]
    source = ["--pretrained", str(place / "checkpoint_0450.pth.tar")]
    features.main([*common, *source, *map(str, arguments)])


def table(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.reader(file, delimiter="\t"))


def test_the_projector_gets_every_level_with_names_and_classes(place, tmp_path):
    write(place, "--level", "clip", "instance", "--projector", tmp_path / "board")
    write(place, "--level", "clip", "instance", "--output", tmp_path / "f.npz")
    (config,) = (tmp_path / "board").rglob("projector_config.pbtxt")
    assert config.read_text().count("tensor_path") == 2
    with np.load(tmp_path / "f.npz") as expected:
        for level in ("clip", "instance"):
            (tensors,) = (tmp_path / "board").rglob(f"*/{level}/tensors.tsv")
            both = [expected[f"{part}_{level}"] for part in ("train", "val")]
            both = [each.reshape(len(each), -1) for each in both]
            got = np.array(table(tensors), dtype=float)
            np.testing.assert_allclose(got, np.concatenate(both), atol=1e-5)
            rows = table(tensors.with_name("metadata.tsv"))
            assert rows[0] == ["name", "action", "class", "part"]
            names = [*expected["train_names"], *expected["val_names"]]
            assert [row[0] for row in rows[1:]] == names
            assert rows[1][1:] == ["drink water", "0", "train"]
            assert [row[3] for row in rows[1:]] == ["train"] * 9 + ["val"] * 5


def test_no_more_clips_are_shown_than_the_projector_bears(place, tmp_path, monkeypatch):
    monkeypatch.setattr(projector, "MOST", 6)
    for folder in ("one", "two"):
        write(place, "--projector", tmp_path / folder)
    one, two = (table(next((tmp_path / folder).rglob("metadata.tsv"))) for folder in ("one", "two"))
    assert len(one) == 1 + 6
    assert one == two


def test_nothing_to_write_is_refused(place, capsys):
    with pytest.raises(SystemExit) as stopped:
        write(place)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: --output: is missing")
