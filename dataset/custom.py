"""One's own data sets, each described by a `dataset.json` in its folder of the data path.

    {
      "name": "our_lab",
      "classes": ["wave", "point"],
      "pattern": "(?P<person>[a-z]+)/(?P<class>[a-z]+)_(?P<take>[0-9]+)",
      "protocols": {"cross_subject": {"by": "person", "train": ["anna", "ben"]}}
    }

A protocol goes by one group of the pattern and lists its values in the training part. `title`,
`source`, `licence` and `joints` may be added. Options read this, so it needs no torch and no numpy.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset.protocols import DATASETS, DataSet
from dataset.skeleton import NUM_JOINTS

DESCRIPTION = "dataset.json"
"""What the description is called."""
_KEYS = ("name", "classes", "pattern", "protocols")
_MORE_KEYS = ("title", "source", "licence", "joints")
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
    if name.lower() in _TAKEN:
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
        if rule["by"] not in list(groups):
            return f"protocol {protocol} goes by {rule['by']}; the pattern has {', '.join(groups)}"
        if not all(isinstance(value, str) for value in rule["train"]):
            return f"protocol {protocol}: train holds what is not text, as names of files are"
    return ""


def _check_rest(described: Mapping[str, Any]) -> str:
    """Say what is wrong with what may be left out, or return ""."""
    for key in ("title", "source", "licence"):
        if not isinstance(described.get(key, ""), str):
            return f"{key} is not text"
    joints = described.get("joints", list(range(NUM_JOINTS)))
    whole = isinstance(joints, list) and all(type(one) is int and one >= 0 for one in joints)
    if not whole or len(joints) != NUM_JOINTS:
        return f"joints is not a list of {NUM_JOINTS} whole numbers from 0 on"
    return ""


def _is_word(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"\w+", text, re.ASCII) is not None
