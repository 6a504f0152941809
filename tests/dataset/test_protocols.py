"""The published splits: folders, rules and errors."""

import json
from pathlib import Path

import pytest

from dataset.protocols import DATASETS, NTU120, STREAMS, load_datasets, split_folder
from options import pretraining


def test_folders_are_the_published_ones():
    found = {
        str(split_folder(Path("data"), dataset, protocol))
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
        "data/NW-UCLA/xview",
    }


def test_classes_are_the_published_ones():
    classes = {name: dataset.classes for name, dataset in DATASETS.items()}
    pku = dict.fromkeys(("pku_part1", "pku_part2", "pku_mmd_part1", "pku_mmd_part2"), 51)
    resized = {"ntu60_frame50": 60, "ntu120_frame50": 120}
    assert classes == {"ntu60": 60, "ntu120": 120, "utd_mhad": 27, "ucla": 10} | pku | resized
    assert STREAMS == ("joint", "motion", "bone")


def test_a_protocol_of_another_data_set_is_refused_naming_what_would_work():
    message = "^--protocol cross_view: ntu120 has cross_subject, cross_setup$"
    with pytest.raises(ValueError, match=message):
        split_folder(Path("data"), NTU120, "cross_view")


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
    assert training("ucla", "cross_view") == [1, 2]


def test_resized_data_sets_are_marked():
    frames = {name: dataset.frames for name, dataset in DATASETS.items() if dataset.frames}
    resized = ("pku_part1", "pku_part2", "ntu60_frame50", "ntu120_frame50")
    assert frames == dict.fromkeys(resized, 50)


def test_every_data_set_has_a_source_and_a_note_on_its_licence():
    assert all(dataset.source and "unknown" not in dataset.licence for dataset in DATASETS.values())


def test_every_rule_belongs_to_a_protocol_and_every_protocol_of_raw_data_has_one():
    for dataset in DATASETS.values():
        assert not dataset.rules or dataset.rules.keys() == dataset.folders.keys()


LAB = {
    "name": "lab",
    "classes": ["wave", "point"],
    "pattern": r"(?P<person>[a-z]+)/(?P<class>[a-z]+)",
    "protocols": {"cross_subject": {"by": "person", "train": ["anna"]}},
}


def describe(data_path, folder, **changes):
    """Put the description of a data set of one's own in its folder."""
    path = data_path / folder / "dataset.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(LAB | {"name": folder} | changes))
    return path


def choose(data_path, *given):
    usual = ["--protocol", "xsub", "--data-path", str(data_path)]
    return pretraining.parser().read([*usual, *given])


def test_ones_own_data_sets_stand_beside_the_published_ones_in_their_data_path_only(tmp_path):
    describe(tmp_path, "lab", title="Our lab")
    found = load_datasets(tmp_path)
    assert found.keys() == DATASETS.keys() | {"lab"}
    assert (found["lab"].title, found["lab"].classes) == ("Our lab", 2)
    assert "lab" not in DATASETS
    assert "lab" not in load_datasets(tmp_path / "lab")
    options = choose(tmp_path, "--pre-dataset", "LAB")
    assert (options.data.dataset, options.data.known) == ("lab", found["lab"])
    assert options.data.folder == tmp_path / "lab" / "cross_subject"


def test_a_broken_description_hinders_only_its_own_data_set(tmp_path):
    describe(tmp_path, "lab")
    broken = describe(tmp_path, "other", classes=[])
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "dataset.json").write_bytes(b"\xff{")
    assert load_datasets(tmp_path).keys() == DATASETS.keys() | {"lab"}
    for name in ("lab", "ntu60"):
        assert choose(tmp_path, "--pre-dataset", name).data.dataset == name
    for name in ("other", "Other"):
        with pytest.raises(ValueError, match=f"^{broken}: classes is not a list"):
            choose(tmp_path, "--pre-dataset", name)
    with pytest.raises(ValueError, match="odd/dataset.json is not a description in JSON"):
        choose(tmp_path, "--pre-dataset", "odd")
    with pytest.raises(ValueError, match="--pre-dataset none: known are ntu60, .*, lab$"):
        choose(tmp_path, "--pre-dataset", "none")


def test_a_description_in_a_folder_of_another_name_is_refused(tmp_path):
    path = describe(tmp_path, "lab", name="lab2")
    assert load_datasets(tmp_path).keys() == DATASETS.keys()
    with pytest.raises(ValueError, match=f"^{path}: it describes lab2, but lies in lab$"):
        load_datasets(tmp_path, "lab")


@pytest.mark.parametrize("name", ["NTU120", "Pku_Mmd_Part1", "pku_part1_frame50", "NTU60_FRAME50"])
def test_no_description_takes_the_name_or_the_folder_of_a_published_data_set(tmp_path, name):
    path = describe(tmp_path, name)
    assert load_datasets(tmp_path).keys() == DATASETS.keys()
    if name.lower() not in DATASETS:
        with pytest.raises(ValueError, match=f"^{path}: name {name} is taken; choose another$"):
            load_datasets(tmp_path, name)
    else:
        assert choose(tmp_path, "--pre-dataset", name).data.known is DATASETS[name.lower()]


def test_of_two_names_that_differ_in_case_only_the_exact_one_is_read(tmp_path):
    describe(tmp_path, "lab")
    describe(tmp_path, "Lab", protocols=LAB["protocols"] | {"Xsub": {"by": "person", "train": []}})
    for name in ("lab", "Lab"):
        assert choose(tmp_path, "--pre-dataset", name).data.dataset == name
    with pytest.raises(ValueError, match="--pre-dataset LAB: known are .*, Lab, lab$"):
        choose(tmp_path, "--pre-dataset", "LAB")
    (tmp_path / "lab" / "dataset.json").write_text("{}")
    assert choose(tmp_path, "--pre-dataset", "Lab").data.dataset == "Lab"
    assert choose(tmp_path, "--pre-dataset", "LAB").data.dataset == "Lab"
    with pytest.raises(ValueError, match="lab/dataset.json: name is missing"):
        choose(tmp_path, "--pre-dataset", "lab")


def test_a_protocol_of_ones_own_goes_before_another_word_of_a_published_one(tmp_path):
    describe(tmp_path, "lab", protocols=LAB["protocols"] | {"Xsub": {"by": "person", "train": []}})
    assert choose(tmp_path, "--pre-dataset", "lab").data.protocol == "Xsub"


@pytest.mark.parametrize("rule", [{"by": ["person"], "train": []}, {"by": 3, "train": []}])
def test_a_rule_of_another_kind_is_a_fault_and_no_crash(tmp_path, rule):
    describe(tmp_path, "lab", protocols={"cross_subject": rule})
    with pytest.raises(ValueError, match="protocol cross_subject goes by .*; the pattern has"):
        load_datasets(tmp_path, "lab")
