"""The published splits: folders, rules and errors."""

from pathlib import Path

import pytest

from dataset.protocols import DATASETS, STREAMS, split_folder


def test_folders_are_the_published_ones():
    found = {
        str(split_folder(Path("data"), dataset.name, protocol))
        for dataset in DATASETS.values()
        for protocol in dataset.folders
    }
    assert found == {
        "data/NTU-RGB-D-60-AGCN/xsub",
        "data/NTU-RGB-D-60-AGCN/xview",
        "data/NTU-RGB-D-120-AGCN/xsub",
        "data/NTU-RGB-D-120-AGCN/xsetup",
        "data/pku_part1_frame50/xsub",
        "data/pku_part2_frame50/xsub",
        "data/NTU60_frame50/xsub",
        "data/NTU60_frame50/xview",
        "data/NTU120_frame50/xsub",
        "data/NTU120_frame50/xsetup",
        "data/PKU-MMD-v1-AGCN/xsub",
        "data/PKU-MMD-v1-AGCN/xview",
        "data/PKU-MMD-v2-AGCN/xsub",
        "data/PKU-MMD-v2-AGCN/xview",
        "data/UTD-MHAD/xsub",
    }


def test_classes_are_the_published_ones():
    classes = {name: dataset.classes for name, dataset in DATASETS.items()}
    pku = dict.fromkeys(("pku_part1", "pku_part2", "pku_mmd_part1", "pku_mmd_part2"), 51)
    resized = {"ntu60_frame50": 60, "ntu120_frame50": 120}
    assert classes == {"ntu60": 60, "ntu120": 120, "utd_mhad": 27} | pku | resized
    assert STREAMS == ("joint", "motion", "bone")


def test_a_protocol_of_another_data_set_is_refused_naming_what_would_work():
    message = "^--protocol cross_view: ntu120 has cross_subject, cross_setup$"
    with pytest.raises(ValueError, match=message):
        split_folder(Path("data"), "ntu120", "cross_view")


def test_an_unknown_data_set_is_refused_naming_the_known():
    with pytest.raises(ValueError, match="^data set ntu61 is not known; known are ntu60, ntu120"):
        split_folder(Path("data"), "ntu61", "cross_view")


def test_rules_train_on_the_published_subjects_cameras_and_setups():
    def training(dataset: str, protocol: str) -> list[int]:
        rule = DATASETS[dataset].rules[protocol]
        return [number for number in range(1, 107) if rule.part(number) == "train"]

    first = [1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38]
    assert training("ntu60", "cross_subject") == first
    assert training("ntu60", "cross_view") == [2, 3]
    assert training("ntu120", "cross_subject")[:20] == first
    assert len(training("ntu120", "cross_subject")) == 53
    assert sum(training("ntu120", "cross_subject")[20:]) == 2436
    assert training("ntu120", "cross_setup") == list(range(2, 33, 2))
    assert training("utd_mhad", "cross_subject") == [1, 3, 5, 7]


def test_resized_data_sets_are_marked():
    frames = {name: dataset.frames for name, dataset in DATASETS.items() if dataset.frames}
    resized = ("pku_part1", "pku_part2", "ntu60_frame50", "ntu120_frame50")
    assert frames == dict.fromkeys(resized, 50)


def test_every_data_set_has_a_source_and_a_note_on_its_licence():
    assert all(dataset.source and "unknown" not in dataset.licence for dataset in DATASETS.values())


def test_every_rule_belongs_to_a_protocol_and_every_protocol_of_raw_data_has_one():
    for dataset in DATASETS.values():
        assert not dataset.rules or dataset.rules.keys() == dataset.folders.keys()
