"""One's own data sets, each described by a `dataset.json` in its folder of the data path.

    {
      "name": "our_lab",
      "classes": ["wave", "point"],
      "pattern": "(?P<person>[a-z]+)/(?P<class>[a-z]+)_(?P<take>[0-9]+)",
      "protocols": {"cross_subject": {"by": "person", "train": ["anna", "ben"]}}
    }

A protocol goes by one group of the pattern and lists its values in the training part. `title`,
`source`, `licence`, `joints` and `unit` may be added. Options read this, so it needs no torch and
no numpy.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dataset.joint_maps import JOINT_MAPS, several
from dataset.protocols import DATASETS, DataSet
from dataset.reading import reading
from dataset.skeleton import NUM_JOINTS

DESCRIPTION = "dataset.json"
"""What the description is called."""
_KEYS = ("name", "classes", "pattern", "protocols")
_MORE_KEYS = ("title", "source", "licence", "joints", "unit")
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}
"""Metres of each unit of length that a description can name."""
_TAKEN = {name.lower() for name in DATASETS} | {
    folder.split("/")[0].lower() for one in DATASETS.values() for folder in one.folders.values()
}
"""Names and folders of the published data sets."""


def find_datasets(data_path: Path, wanted: str) -> dict[str, DataSet]:
    """Return the described data sets of a data path by name, broken ones left out.

    Args:
        data_path: the folder that holds all prepared data sets.
        wanted: name of the data set that is asked for; if its folder is broken, that is an error.

    Raises:
        ValueError, OSError: what is wrong with the wanted one.
    """
    found, broken = {}, {}
    for path in sorted(data_path.glob(f"*/{DESCRIPTION}")):
        folder = path.parent.name
        try:
            described = read_description(path)
            if described["name"] != folder:
                raise ValueError(f"{path}: it describes {described['name']}, but lies in {folder}")
        except (ValueError, OSError) as error:
            broken[folder] = error
        else:
            found[folder] = custom(described)
    known = {name.lower() for name in (*DATASETS, *found)}
    for folder, error in broken.items():
        meant = folder.lower() == wanted.lower() and wanted.lower() not in known
        if meant or (folder == wanted and wanted.lower() not in DATASETS):
            raise error
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
        class_names=tuple(described["classes"]),
        licence=described.get("licence", DataSet.licence),
    )


def read_description(path: Path) -> dict[str, Any]:
    """Read and check the description of one's own data set.

    Returns:
        name; classes, a list of names; pattern, a regular expression; protocols, for each a dict of
        `by`, a group of the pattern, and `train`, its values in the training part; and perhaps
        title, source, licence, joints and unit.

    Raises:
        FileNotFoundError: when it is not there.
        ValueError: when it makes no sense.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; describe the data set there (docs/data.md)")
    with reading(path, "a description in JSON"):
        described = json.loads(path.read_text(encoding="utf-8"))
        fault = next(_faults(described), "")
    if fault:
        raise ValueError(f"{path}: {fault}")
    return described


def _faults(described: Any) -> Iterator[str]:
    """Yield what is wrong; what follows a fault relies on its absence, so only the first counts."""
    if not isinstance(described, dict):
        yield f"it is no object with {', '.join(_KEYS)}"
    for key in _KEYS:
        if key not in described:
            yield f"{key} is missing"
    for key in described:
        if key not in _KEYS + _MORE_KEYS:
            yield f"{key} is no key of it; they are {', '.join(_KEYS + _MORE_KEYS)}"
    name, classes = described["name"], described["classes"]
    if not _is_word(name):
        yield f"name {name!r} is not letters, digits and _"
    if name.lower() in _TAKEN:
        yield f"name {name} is taken; choose another"
    if not _are_texts(classes) or len(classes) < 2:
        yield "classes is not a list of two or more names"
    for one in classes:
        if classes.count(one) > 1:
            yield f"classes names {one} twice"
    yield from _split_faults(described["pattern"], described["protocols"])
    for key in ("title", "source", "licence"):
        if not isinstance(described.get(key, ""), str):
            yield f"{key} is not text"
    yield from _reading_faults(described)


def read_joints(
    given: str | Path | list | Mapping[str, Any], unit: str | float | None = None
) -> dict[str, Any]:
    """Read which joints of a recording stand for ours, and their unit.

    Args:
        given: the name of a map, or a list, as `joints` of a description; a description, or part of
            it; or a JSON file with any of these.
        unit: goes before the description's.

    Returns:
        joints and unit, as far as they are known.

    Raises:
        ValueError: it makes no sense, or no such file is there.
    """
    content = given
    if isinstance(given, str | Path) and str(given) not in JOINT_MAPS:
        path = Path(given)
        if not path.is_file():
            known = ", ".join(JOINT_MAPS)
            raise ValueError(f"known are {known}, or a file in JSON, but there is no file {path}")
        with reading(path, "a map of joints in JSON"):
            content = json.loads(path.read_text(encoding="utf-8"))
    found = dict(content) if isinstance(content, Mapping) else {"joints": content}
    if unit is not None:
        found["unit"] = unit
    fault = next(_reading_faults(found), "")
    if fault:
        raise ValueError(fault)
    return {name: found[name] for name in ("joints", "unit") if name in found}


def _reading_faults(described: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with unit and joints, as `_faults` does."""
    if not _is_unit(described.get("unit", "m")):
        yield f"unit is not {', '.join(UNITS)} or a number of metres above 0"
    yield from _joint_faults(described.get("joints", "kinect25"))


def _joint_faults(joints: Any) -> Iterator[str]:
    """Yield what is wrong with the map of joints, as `_faults` does."""
    if isinstance(joints, str):
        if joints not in JOINT_MAPS:
            yield f"joints {joints} is no known map; known are {', '.join(JOINT_MAPS)}"
        return
    entries = [several(one) for one in joints] if isinstance(joints, list) else []
    kinds = {type(one) for entry in entries for one in entry}
    low = any(one < 0 for entry in entries for one in entry) if kinds == {int} else False
    if len(entries) != NUM_JOINTS or kinds not in ({int}, {str}) or low or not all(entries):
        yield (
            f"joints is not a list of {NUM_JOINTS} whole numbers from 0 on, or of names of joints, "
            f"or of lists of them, nor one of {', '.join(JOINT_MAPS)}"
        )


def read_unit(text: str) -> str | float:
    """Read a unit of length.

    Raises:
        ValueError: it is none.
    """
    try:
        unit = text if text in UNITS else float(text)
    except ValueError:
        unit = ""
    if not _is_unit(unit):
        raise ValueError(f"known are {', '.join(UNITS)} or a number of metres above 0")
    return unit


def _is_unit(unit: Any) -> bool:
    """Whether it is a unit of length: one of UNITS, or a number of metres."""
    if type(unit) in (int, float):
        return 0 < unit < float("inf")
    return isinstance(unit, str) and unit in UNITS


def _split_faults(pattern: Any, protocols: Any) -> Iterator[str]:
    """Yield what is wrong with the pattern or the protocols, as `_faults` does."""
    try:
        groups = list(re.compile(pattern).groupindex)
    except (re.error, TypeError) as error:
        yield f"pattern is no regular expression ({error})"
    if "class" not in groups:
        yield "pattern has no group (?P<class>...)"
    if not isinstance(protocols, dict) or not protocols:
        yield "protocols is no object of one or more"
    for protocol, rule in protocols.items():
        if not _is_word(protocol):
            yield f"protocol {protocol!r} is not letters, digits and _"
        whole = isinstance(rule, dict) and rule.keys() == {"by", "train"}
        if not whole or not isinstance(rule["train"], list):
            yield f"protocol {protocol} is not {{by: group, train: [...]}}"
        if rule["by"] not in groups:
            yield f"protocol {protocol} goes by {rule['by']}; the pattern has {', '.join(groups)}"
        if not _are_texts(rule["train"]):
            yield f"protocol {protocol}: train holds what is not text, as names of files are"


def _is_word(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"\w+", text, re.ASCII) is not None


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(type(one) is str for one in values)
