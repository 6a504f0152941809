"""The small table of encoders."""

import json

import pytest

from tools import compare


def write(folder, name, content):
    path = folder / name / "results.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))


def linear(last, best):
    figures = {"last": last, "best": best}
    return {"mode": "linear", "summary": {k: {"top1": {"mean": v}} for k, v in figures.items()}}


@pytest.fixture
def folders(tmp_path):
    encoders = (("random", 33.333, 35.0, 40.04), ("pre-trained", 60.0, 61.5, 9.96))
    for name, last, best, knn in encoders:
        write(tmp_path / name, "a", linear(last, best))
        write(tmp_path / name, "b", {"at": {"1": {"top1": knn}, "5": {"top1": 1.0}}})
    return tmp_path


def test_the_table_shows_each_encoder_in_percent(folders, capsys):
    compare.main([f"random={folders / 'random'}", f"ours={folders / 'pre-trained'}"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1:] == [["random", "40.0", "33.3", "35.0"], ["ours", "10.0", "60.0", "61.5"]]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "random/b/results.json").unlink(), "no results.json of retrieval in"),
        (lambda f: (f / "random/a/results.json").write_text("{"), "is not a results file"),
        (lambda f: (f / "random/a/results.json").write_text("[]"), "is not a results file"),
        (lambda f: write(f / "random", "c", linear(1, 2)), "has two results of linear"),
    ],
)
def test_missing_broken_and_doubled_results_are_named(folders, capsys, spoil, message):
    spoil(folders)
    with pytest.raises(SystemExit) as stopped:
        compare.main([f"random={folders / 'random'}"])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in error
    assert error.count("\n") == 1


def test_an_encoder_without_folder_is_refused(capsys):
    with pytest.raises(SystemExit):
        compare.main(["random"])
    assert capsys.readouterr().err == "error: random: needs NAME=FOLDER\n"
