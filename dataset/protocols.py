"""The data sets and their published evaluation protocols, as data.

A protocol splits a data set in two parts, "train" and "val" (the published name of the test part),
by one number of the recording: who performed, which camera saw it, or which setup it belongs to.
One's own data sets are described by a `dataset.json` in their folder of the data path.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PARTS = ("train", "val")
STREAMS = ("joint", "motion", "bone")
OTHER_WORDS = {
    "xsub": "cross_subject",
    "xview": "cross_view",
    "xset": "cross_setup",
    "xsetup": "cross_setup",
}
"""What the field calls the protocols too."""
AUGMENTATIONS = {"hico": "dataset.augment:HICO"}
"""Pipelines that make a clip's two views differ, "module:object"; loaded when one is used."""

_NTU60_TRAINING_PERFORMERS = frozenset(
    (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
)
_NTU120_TRAINING_PERFORMERS = _NTU60_TRAINING_PERFORMERS | frozenset(
    (45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80)
    + (81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95, 97, 98, 100, 103)
)

_NTU_LICENCE = "on request, for academic research only"
_PKU_LICENCE = "none stated by its release, which asks to be cited"
_FRAME50 = 50


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


NTU60 = DataSet(
    name="ntu60",
    title="NTU RGB+D 60",
    classes=60,
    folders={
        "cross_view": "NTU-RGB-D-60-AGCN/xview",
        "cross_subject": "NTU-RGB-D-60-AGCN/xsub",
    },
    source="Shahroudy et al. 2016 (arXiv:1604.02808)",
    rules={
        "cross_view": SplitRule("camera", frozenset((2, 3)), {"train": 37646, "val": 18932}),
        "cross_subject": SplitRule(
            "performer", _NTU60_TRAINING_PERFORMERS, {"train": 40091, "val": 16487}
        ),
    },
    setups=range(1, 18),
    licence=_NTU_LICENCE,
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
    licence=_NTU_LICENCE,
)

PKU_PART1 = DataSet(
    name="pku_part1",
    title="PKU-MMD I, 50 frames",
    classes=51,
    folders={"cross_subject": "pku_part1_frame50/xsub"},
    source="Liu et al. 2017 (arXiv:1703.07475)",
    licence=_PKU_LICENCE,
    frames=_FRAME50,
)

PKU_PART2 = DataSet(
    name="pku_part2",
    title="PKU-MMD II, 50 frames",
    classes=51,
    folders={"cross_subject": "pku_part2_frame50/xsub"},
    source="Liu et al. 2017 (arXiv:1703.07475)",
    licence=_PKU_LICENCE,
    frames=_FRAME50,
)

NTU60_FRAME50 = DataSet(
    name="ntu60_frame50",
    title="NTU RGB+D 60, 50 frames",
    classes=60,
    folders={"cross_view": "NTU60_frame50/xview", "cross_subject": "NTU60_frame50/xsub"},
    source=NTU60.source,
    licence=_NTU_LICENCE,
    frames=_FRAME50,
)

NTU120_FRAME50 = DataSet(
    name="ntu120_frame50",
    title="NTU RGB+D 120, 50 frames",
    classes=120,
    folders={"cross_subject": "NTU120_frame50/xsub", "cross_setup": "NTU120_frame50/xsetup"},
    source=NTU120.source,
    licence=_NTU_LICENCE,
    frames=_FRAME50,
)

PKU_MMD_PART1 = DataSet(
    name="pku_mmd_part1",
    title="PKU-MMD I",
    classes=51,
    folders={
        "cross_subject": "PKU-MMD-v1-AGCN/xsub",
        "cross_view": "PKU-MMD-v1-AGCN/xview",
    },
    source="Liu et al. 2017 (arXiv:1703.07475)",
    licence=_PKU_LICENCE,
)

PKU_MMD_PART2 = DataSet(
    name="pku_mmd_part2",
    title="PKU-MMD II",
    classes=51,
    folders={
        "cross_subject": "PKU-MMD-v2-AGCN/xsub",
        "cross_view": "PKU-MMD-v2-AGCN/xview",
    },
    source="Liu et al. 2017 (arXiv:1703.07475)",
    licence=_PKU_LICENCE,
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

DATASETS = {
    one.name: one
    for one in (
        *(NTU60, NTU120, PKU_PART1, PKU_PART2, PKU_MMD_PART1, PKU_MMD_PART2, UTD_MHAD),
        *(NTU60_FRAME50, NTU120_FRAME50),
    )
}
"""The published data sets, by name; `load_datasets` adds one's own."""

_PUBLISHED = tuple(DATASETS)
DESCRIPTION = "dataset.json"
"""What the description of one's own data set is called."""

_KEYS = ("name", "classes", "pattern", "protocols")
_MORE_KEYS = ("title", "source", "licence", "joints")
_JOINTS = 25


def load_datasets(data_path: Path | str) -> dict[str, DataSet]:
    """Return every data set by name: the published ones, and one's own in a data path.

    Raises:
        ValueError: when a description makes no sense, or lies in a folder of another name.
        OSError: when one cannot be read.
    """
    found = dict(DATASETS)
    for path in sorted(Path(data_path).glob(f"*/{DESCRIPTION}")):
        described = read_description(path)
        if described["name"] != path.parent.name:
            raise ValueError(
                f"{path}: it describes {described['name']}, but lies in {path.parent.name}"
            )
        found[described["name"]] = custom(described)
    return found


def custom(described: Mapping[str, Any]) -> DataSet:
    """Make a data set of a description that `read_description` has checked."""
    name = described["name"]
    return DataSet(
        name=name,
        title=described.get("title", name),
        classes=len(described["classes"]),
        folders={protocol: f"{name}/{protocol}" for protocol in described["protocols"]},
        source=described.get("source", "one's own recordings"),
        licence=described.get("licence", DataSet.licence),
    )


def read_description(path: Path) -> dict[str, Any]:
    """Read and check the description of one's own data set.

    Returns:
        name; classes, a list of names; pattern, a regular expression; protocols, for each a dict of
        `by`, a group of the pattern, and `train`, its values in the training part; and perhaps
        title, source, licence and joints.

    Raises:
        FileNotFoundError: when it is not there.
        ValueError: when it makes no sense.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; describe the data set there, README has how")
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: it is not JSON ({error})") from None
    for check in (_check_keys, _check_names, _check_protocols, _check_rest):
        fault = check(described)
        if fault:
            raise ValueError(f"{path}: {fault}")
    return described


def _check_keys(described: object) -> str:
    """Say which key is missing or unknown, or return ""."""
    if not isinstance(described, dict):
        return f"it is no object with {', '.join(_KEYS)}"
    missing = [key for key in _KEYS if key not in described]
    if missing:
        return f"{missing[0]} is missing"
    unknown = [key for key in described if key not in _KEYS + _MORE_KEYS]
    known = ", ".join(_KEYS + _MORE_KEYS)
    return f"{unknown[0]} is no key of it; they are {known}" if unknown else ""


def _check_names(described: Mapping[str, Any]) -> str:
    """Say what is wrong with the name or the classes, or return ""."""
    name, classes = described["name"], described["classes"]
    if not _is_word(name):
        return f"name {name!r} is not letters, digits and _"
    if name in _PUBLISHED:
        return f"name {name} is taken; choose another"
    texts = isinstance(classes, list) and all(isinstance(one, str) for one in classes)
    if not texts or len(classes) < 2:
        return "classes is not a list of two or more names"
    twice = [one for one in classes if classes.count(one) > 1]
    return f"classes names {twice[0]} twice" if twice else ""


def _check_protocols(described: Mapping[str, Any]) -> str:
    """Say what is wrong with the pattern or the protocols, or return ""."""
    pattern, protocols = described["pattern"], described["protocols"]
    try:
        groups = re.compile(pattern).groupindex
    except (re.error, TypeError) as error:
        return f"pattern is no regular expression ({error})"
    if "class" not in groups:
        return "pattern has no group (?P<class>...)"
    if not isinstance(protocols, dict) or not protocols:
        return "protocols is no object of one or more"
    for protocol, rule in protocols.items():
        if not _is_word(protocol):
            return f"protocol {protocol!r} is not letters, digits and _"
        whole = isinstance(rule, dict) and rule.keys() == {"by", "train"}
        if not whole or not isinstance(rule["train"], list):
            return f"protocol {protocol} is not {{by: group, train: [...]}}"
        if rule["by"] not in groups:
            return f"protocol {protocol} goes by {rule['by']}; the pattern has {', '.join(groups)}"
        if not all(isinstance(value, str) for value in rule["train"]):
            return f"protocol {protocol}: train holds what is not text, as names of files are"
    return ""


def _check_rest(described: Mapping[str, Any]) -> str:
    """Say what is wrong with what may be left out, or return ""."""
    for key in ("title", "source", "licence"):
        if not isinstance(described.get(key, ""), str):
            return f"{key} is not text"
    joints = described.get("joints", list(range(_JOINTS)))
    whole = isinstance(joints, list) and all(type(one) is int and one >= 0 for one in joints)
    if not whole or len(joints) != _JOINTS:
        return f"joints is not a list of {_JOINTS} whole numbers from 0 on"
    return ""


def _is_word(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"\w+", text, re.ASCII) is not None


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
