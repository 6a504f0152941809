"""The table at the end of the quickstart: read from what the scripts print, or a fault named."""

import pytest

from tools.compare import main, read_percent, table

KNN = """frozen encoder, 448 clips
retrieval with {name}, ntu60 cross_subject
KNN-1  top-1 {knn} %  <- the published figure
extras top-5 70.00 %, mean average precision 20.00 %
"""
LINEAR = """epoch 0: loss 4.0, top-1 1.00 %, top-5 2.00 %
linear classifier on {name}, ntu60 cross_subject
last  epoch 79: loss 0.5, top-1 {last} %, top-5 90.00 %  <- the headline
best  epoch 60: loss 0.6, top-1 {best} %, top-5 91.00 %  <- the published figure
"""


def write(folder, name, knn="39.06", last="45.76", best="46.00"):
    (folder / f"{name}-knn.log").write_text(KNN.format(name=name, knn=knn))
    (folder / f"{name}-linear.log").write_text(LINEAR.format(name=name, last=last, best=best))


def test_the_table_holds_both_encoders_under_their_headings(tmp_path, capsys):
    write(tmp_path, "random")
    write(tmp_path, "pretrained", "50.67", "62.05", "100.00")
    main([str(tmp_path)])
    heading, random, pretrained = capsys.readouterr().out.splitlines()
    assert heading.split() == [
        "test",
        "accuracy,",
        "%",
        "KNN",
        "top-1",
        "linear",
        "top-1,",
        "last",
        "best",
    ]
    assert random.split() == ["random", "encoder", "39.1", "45.8", "46.0"]
    assert pretrained.split() == ["pretrained", "encoder", "50.7", "62.0", "100.0"]
    assert len({len(line) for line in (heading, random, pretrained)}) == 1


def test_a_missing_log_and_one_without_a_result_are_named(tmp_path, capsys):
    write(tmp_path, "random")
    with pytest.raises(FileNotFoundError, match=r"pretrained-knn\.log; run \./quickstart\.sh"):
        table(tmp_path)
    broken = tmp_path / "broken.log"
    broken.write_text("epoch 0: top-1 3.00 %\n")
    with pytest.raises(ValueError, match=r'broken\.log has no line "last'):
        read_percent(broken, "last ")
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: usage: python -m tools.compare FOLDER\n"
