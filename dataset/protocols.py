"""The data sets and their published evaluation protocols, as data.

A protocol splits a data set in two parts, "train" and "val" (the published name of the test part),
by one number of the recording: who performed, which camera saw it, or which setup it belongs to.
One's own data sets are read by `dataset.custom`. Nothing here imports torch or numpy.
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

PARTS = ("train", "val")
STREAMS = ("joint", "motion", "bone")
OTHER_WORDS = {
    "xsub": "cross_subject",
    "xview": "cross_view",
    "xset": "cross_setup",
    "xsetup": "cross_setup",
}
"""What the field calls the protocols too."""
AUGMENTATIONS = {
    "hico": "dataset.augment:HICO",
    "strong": "dataset.strong:STRONG",
    "strong-sided": "dataset.strong:SIDED",
}
"""Pipelines that make a clip's two views differ, "module:object"; `dataset.augment` has how."""

_NTU60_TRAINING_PERFORMERS = frozenset(
    (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
)
_NTU120_TRAINING_PERFORMERS = _NTU60_TRAINING_PERFORMERS | frozenset(
    (45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80)
    + (81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95, 97, 98, 100, 103)
)


@dataclass(frozen=True)
class SplitRule:
    """A recording trains when one of its numbers is among the training numbers.

    Attributes:
        by: the number the rule looks at: "performer", "camera" or "setup".
        training: the values of that number that make up the training part.
        counts: how many clips the published split has in each part, where that is known.
    """

    by: str
    training: frozenset[int]
    counts: dict[str, int] | None = None

    def part(self, number: int) -> str:
        """Return "train" or "val" for a recording with this performer, camera or setup."""
        return "train" if number in self.training else "val"


@dataclass(frozen=True)
class DataSet:
    """One data set: what it is called, how many classes it has, where its splits lie.

    Attributes:
        name: the name that options take.
        title: the name that people use.
        classes: number of action classes.
        folders: folder of each protocol's arrays, relative to the data path.
        source: the publication to cite.
        rules: how each protocol splits raw recordings; empty where lists say it, or nothing is raw.
        setups: the setups of the recordings that belong to it; empty where there are none.
        licence: on what terms it is to be had.
        frames: frames of every clip where all were resized to one number; None where clips hold
            the frames that were recorded.
        class_names: of one's own, what each class is called; `dataset.actions` knows the others'.
    """

    name: str
    title: str
    classes: int
    folders: dict[str, str]
    source: str
    rules: dict[str, SplitRule] = field(default_factory=dict)
    setups: range = range(0)
    licence: str = "unknown; ask whoever gave it to you"
    frames: int | None = None
    class_names: tuple[str, ...] = ()


NTU60 = DataSet(
    name="ntu60",
    title="NTU RGB+D 60",
    classes=60,
    folders={"cross_view": "NTU-RGB-D-60-AGCN/xview", "cross_subject": "NTU-RGB-D-60-AGCN/xsub"},
    source="Shahroudy et al. 2016 (arXiv:1604.02808)",
    rules={
        "cross_view": SplitRule("camera", frozenset((2, 3)), {"train": 37646, "val": 18932}),
        "cross_subject": SplitRule(
            "performer", _NTU60_TRAINING_PERFORMERS, {"train": 40091, "val": 16487}
        ),
    },
    setups=range(1, 18),
    licence="on request, for academic research only",
)
NTU120 = DataSet(
    name="ntu120",
    title="NTU RGB+D 120",
    classes=120,
    folders={
        "cross_subject": "NTU-RGB-D-120-AGCN/xsub",
        "cross_setup": "NTU-RGB-D-120-AGCN/xsetup",
    },
    source="Liu et al. 2019 (arXiv:1905.04757)",
    rules={
        "cross_subject": SplitRule(
            "performer", _NTU120_TRAINING_PERFORMERS, {"train": 63026, "val": 50919}
        ),
        "cross_setup": SplitRule(
            "setup", frozenset(range(2, 33, 2)), {"train": 54468, "val": 59477}
        ),
    },
    setups=range(1, 33),
    licence=NTU60.licence,
)
PKU_MMD_PART1 = DataSet(
    name="pku_mmd_part1",
    title="PKU-MMD I",
    classes=51,
    folders={"cross_subject": "PKU-MMD-v1-AGCN/xsub", "cross_view": "PKU-MMD-v1-AGCN/xview"},
    source="Liu et al. 2017 (arXiv:1703.07475)",
    licence="none stated by its release, which asks to be cited",
)
PKU_MMD_PART2 = replace(
    PKU_MMD_PART1,
    name="pku_mmd_part2",
    title="PKU-MMD II",
    folders={"cross_subject": "PKU-MMD-v2-AGCN/xsub", "cross_view": "PKU-MMD-v2-AGCN/xview"},
)
UTD_MHAD = DataSet(
    name="utd_mhad",
    title="UTD-MHAD",
    classes=27,
    folders={"cross_subject": "UTD-MHAD/xsub"},
    source="Chen, Jafari and Kehtarnavaz, ICIP 2015",
    rules={
        "cross_subject": SplitRule(
            "performer", frozenset((1, 3, 5, 7)), {"train": 431, "val": 430}
        ),
    },
    licence="public download, to be cited",
)
UCLA = DataSet(
    name="ucla",
    title="NW-UCLA",
    classes=10,
    folders={"cross_view": "NW-UCLA/xview"},
    source="Wang et al. 2014 (arXiv:1405.2941)",
    rules={"cross_view": SplitRule("camera", frozenset((1, 2)), {"train": 1020, "val": 464})},
    licence="public download, to be cited",
)


def _frame50(whole: DataSet, name: str, folder: str, *protocols: str) -> DataSet:
    """The release of a data set whose clips were all resized to 50 frames."""
    return replace(
        whole,
        name=name,
        title=f"{whole.title}, 50 frames",
        folders={one: f"{folder}/{Path(whole.folders[one]).name}" for one in protocols},
        rules={},
        setups=range(0),
        frames=50,
    )


PKU_PART1 = _frame50(PKU_MMD_PART1, "pku_part1", "pku_part1_frame50", "cross_subject")
PKU_PART2 = _frame50(PKU_MMD_PART2, "pku_part2", "pku_part2_frame50", "cross_subject")
NTU60_FRAME50 = _frame50(NTU60, "ntu60_frame50", "NTU60_frame50", *NTU60.folders)
NTU120_FRAME50 = _frame50(NTU120, "ntu120_frame50", "NTU120_frame50", *NTU120.folders)

DATASETS = {
    one.name: one
    for one in (
        *(NTU60, NTU120, PKU_PART1, PKU_PART2, PKU_MMD_PART1, PKU_MMD_PART2, UTD_MHAD),
        *(NTU60_FRAME50, NTU120_FRAME50, UCLA),
    )
}
"""The published data sets, by name; `load_datasets` adds one's own."""


def load_datasets(data_path: Path | str, wanted: str = "") -> dict[str, DataSet]:
    """Return every data set by name: the published ones, and one's own in a data path.

    A broken description of one's own is left out, so that it does not hinder the others.

    Args:
        data_path: the folder that holds all prepared data sets.
        wanted: the data set that is asked for; if its description is broken, that is an error.

    Raises:
        ValueError: when the description of the wanted one makes no sense.
        OSError: when it cannot be read.
    """
    from dataset.custom import find_datasets  # which reads this module

    return DATASETS | find_datasets(Path(data_path), wanted)


def split_folder(data_path: Path | str, dataset: DataSet, protocol: str) -> Path:
    """Return the folder that holds the arrays of one protocol of one data set.

    Args:
        data_path: the folder that holds all prepared data sets.
        dataset: one of `load_datasets`.
        protocol: name of one of its protocols.

    Raises:
        ValueError: for a protocol that this data set does not have.
    """
    if protocol not in dataset.folders:
        has = ", ".join(dataset.folders)
        raise ValueError(f"--protocol {protocol}: {dataset.name} has {has}")
    return Path(data_path) / dataset.folders[protocol]


def count_clips(folder: Path, part: str) -> int:
    """Count the clips of one part of a split by the head of its coordinates.

    Args:
        folder: of the protocol.
        part: "train" or "val".

    Raises:
        FileNotFoundError: when the part is not there.
        ValueError: when it is no .npy file.
    """
    names = [f"{part}_data_joint.npy", f"{part}_position.npy"]
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"no file {folder / names[0]}; check --data-path or run python -m tools.prepare"
        )
    with path.open("rb") as file:
        shape = re.search(rb"'shape': \((\d+),", file.read(256))  # format of numpy.lib.format
    if shape is None:
        raise ValueError(f"{path} is not a whole .npy file; prepare the data set again")
    return int(shape.group(1))
