"""Raw NTU files: names, missing lists, splits, and every fault of a file."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dataset.protocols import NTU60, NTU120
from tests.oracles.prepare import normalise_plain, read_plain
from tests.support.raw_ntu import (
    GOLDENS,
    all_names,
    awkward_frames,
    extract_golden_files,
    skeleton_text,
)
from tools.prepare.formats.ntu import (
    ClipName,
    Options,
    choose_bodies,
    collect,
    official_missing_list,
    parse,
    read,
    read_missing_list,
)
from tools.prepare.pipeline.normalise import normalise
from tools.prepare.pipeline.recordings import Recording

NAME = "S001C002P003R002A013"


def recording(path: Path) -> Recording:
    return Recording(path.name, path, 0, {})


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return extract_golden_files(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def usable_names():
    missing = read_missing_list(official_missing_list("ntu120"))
    return [name for name in all_names() if name not in missing]


def test_golden_files_are_read_as_published(raw):
    with np.load(GOLDENS / "prepare.npz") as goldens:
        for name, num_frames in zip(goldens["names"], goldens["num_frames"], strict=True):
            parsed = read(recording(raw / f"{name}.skeleton"))
            assert parsed.shape[1] == num_frames
            assert np.abs(parsed - goldens[f"parsed/{name}"]).max() < 1e-5


@pytest.mark.parametrize("seed", range(24))
def test_awkward_recordings_come_out_as_joint_by_joint(tmp_path, seed):
    path = tmp_path / f"{NAME}.skeleton"
    text = skeleton_text(awkward_frames(seed), end=("\r\n", "\n")[seed % 2])
    path.write_bytes(text.encode())
    parsed = read(recording(path))
    plain = read_plain(path)
    assert np.array_equal(parsed, plain)
    rotate_z = seed % 3 > 0
    assert np.abs(normalise(parsed, rotate_z) - normalise_plain(plain, rotate_z)).max() < 1e-5


def test_awkward_recordings_cover_what_goes_wrong():
    counts = [{len(bodies) for bodies in awkward_frames(seed)} for seed in range(24)]
    assert any(min(some) == 0 for some in counts)
    assert any(max(some) > 4 for some in counts)
    assert any(max(some) == 0 for some in counts)


def test_of_two_equal_spreads_the_later_slot_comes_first():
    body = np.random.default_rng(0).normal(size=(6, 25, 3))
    bodies = np.stack([body, body * (-1, 1, 1), np.zeros_like(body), np.zeros_like(body)])
    assert np.allclose(choose_bodies(bodies)[..., 0], bodies[1].transpose(2, 0, 1))
    assert np.allclose(choose_bodies(bodies)[..., 1], bodies[0].transpose(2, 0, 1))


def test_a_name_gives_its_numbers():
    assert ClipName.parse(NAME) == ClipName(1, 2, 3, 2, 13)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "S001C002P003R002A01",
        f"{NAME} ",
        f"x{NAME}",
        "s001c002p003r002a013",
        f"{NAME[:-3]}000",
        NAME.replace("3", "\u0663"),
    ],
)
def test_a_name_off_the_pattern_is_refused(name):
    with pytest.raises(ValueError, match="its name is not SsssCcccPpppRrrrAaaa.skeleton"):
        ClipName.parse(name)


def test_the_grid_of_recordings_without_the_missing_is_the_data_set(usable_names):
    assert len(usable_names) == 113_945
    digest = hashlib.sha256("\n".join(usable_names).encode()).hexdigest()
    assert digest == "d3370d949a1377de545409a9ae001ef37857263da69e8fd9ac07cf05eea67ee0"


@pytest.mark.parametrize(("dataset", "clips"), [(NTU60, 56_578), (NTU120, 113_945)])
def test_splits_have_the_published_sizes(usable_names, dataset, clips):
    names = [ClipName.parse(name) for name in usable_names]
    members = [name for name in names if name.belongs_to(dataset)]
    assert len(members) == clips
    for protocol, rule in dataset.rules.items():
        assert Counter(name.parts(dataset)[protocol] for name in members) == rule.counts


def test_rules_split_the_golden_files_as_published():
    with np.load(GOLDENS / "prepare.npz") as goldens:
        names, splits = goldens["names"].tolist(), json.loads(str(goldens["splits"]))
    rules = {
        "xsub": NTU120.rules["cross_subject"],
        "xview": NTU60.rules["cross_view"],
        "xsetup": NTU120.rules["cross_setup"],
    }
    for split, expected in splits.items():
        protocol, part = split.split("/")
        rule = rules[protocol]
        clips = {name: ClipName.parse(name) for name in names}
        chosen = [
            [f"{name}.skeleton", clip.action - 1]
            for name, clip in clips.items()
            if rule.part(getattr(clip, rule.by)) == part
        ]
        assert sorted(chosen) == sorted(expected), split


def test_official_missing_lists_have_the_published_lengths():
    short, long = (read_missing_list(official_missing_list(one)) for one in ("ntu60", "ntu120"))
    assert (len(short), len(long)) == (302, 535)
    assert short < long


HEADER = "# skeletons are missing from these recordings\nname below\n\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{NAME}\nS001C001P001R001A001\n",
        f"{HEADER}{NAME}\nS001C001P001R001A001",
        f"{NAME}.skeleton\r\nS001C001P001R001A001.skeleton\r\n\r\n",
    ],
)
def test_missing_lists_are_read_with_and_without_header_and_endings(tmp_path, text):
    path = tmp_path / "missing.txt"
    path.write_bytes(text.encode())
    assert read_missing_list(path) == {NAME, "S001C001P001R001A001"}


def test_an_empty_missing_list_leaves_nothing_out(tmp_path):
    (tmp_path / "none.txt").write_text("")
    assert read_missing_list(tmp_path / "none.txt") == set()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (f"{NAME}\nsomething else\n".encode(), "line 2 is not a recording's name"),
        (f"{HEADER}more prose\n{NAME}\n".encode(), "line 4 is not a recording's name"),
        (b"prose\n", "it holds no recording's name"),
        (b"\xff\xfe\x00", "it is not text"),
    ],
)
def test_a_file_that_is_no_missing_list_is_refused(tmp_path, content, fault):
    path = tmp_path / "missing.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"--missing .*missing.txt: {fault}"):
        read_missing_list(path)


def test_recordings_are_dealt_out_by_name_alone(tmp_path):
    (tmp_path / "more").mkdir()
    names = [NAME, "more/S018C001P041R001A061", "S003C001P001R001A001", "more/S003C001P001R001A002"]
    for name in names:
        (tmp_path / f"{name}.skeleton").touch()
    (tmp_path / "README.txt").touch()
    (tmp_path / "S1.skeleton").touch()
    (tmp_path / "missing.txt").write_text("S003C001P001R001A001\n")
    found = collect(Options(raw=tmp_path, missing=tmp_path / "missing.txt"))
    assert [one.name for one in found.recordings] == [
        f"{NAME}.skeleton",
        "S003C001P001R001A002.skeleton",
    ]
    assert found.recordings[0].label == 12
    assert found.recordings[0].parts == {"cross_view": "train", "cross_subject": "val"}
    assert found.bad == {tmp_path / "S1.skeleton": "its name is not SsssCcccPpppRrrrAaaa.skeleton"}
    assert found.remarks == [
        "1 recording left out: on the list of missing skeletons",
        "1 recording ignored: not part of ntu60",
    ]


BODY = np.random.default_rng(0).normal(size=(25, 3))
WHOLE = skeleton_text([[BODY, BODY], [], [BODY]], end="\n")
LINES = WHOLE.split("\n")


def changed(line: int, text: str) -> str:
    return "\n".join([*LINES[: line - 1], text, *LINES[line:]])


def test_the_whole_file_that_the_faults_are_made_from_is_good():
    assert parse(WHOLE.encode()).shape == (4, 3, 25, 3)
    assert parse(f"{WHOLE}\n \n".encode()).shape == (4, 3, 25, 3)


@pytest.mark.parametrize("keep", [*range(0, len(WHOLE) - 3, 97), len(WHOLE) - 2])
def test_a_file_cut_anywhere_is_refused(keep):
    with pytest.raises(ValueError, match="truncated|line"):
        parse(WHOLE[:keep].encode())


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "it is truncated: it ends after line 0"),
        ("\n".join(LINES[:40]), "it is truncated: it ends after line 40"),
        ("\n".join(LINES[:-4]), "it is truncated: it ends within the last of 3 frames"),
        (WHOLE[:-10], "it is truncated: it ends within the last of 3 frames"),
        (WHOLE + LINES[-2], "it goes on after its 3 frames, at line 86"),
        (changed(1, "301"), "line 1 counts 301 frames, not 1 to 300"),
        (changed(1, "0"), "line 1 counts 0 frames, not 1 to 300"),
        (changed(1, "three"), "line 1 is not a number of frames"),
        (changed(2, "-1"), "line 2 counts -1 bodies, not 0 to 1000"),
        (changed(2, "2.5"), "line 2 is not a number of bodies"),
        (changed(4, "20"), "line 4 counts 20 joints, not 25"),
        (changed(4, LINES[4]), "line 4 is not a number of joints"),
        (changed(9, "0.1 nan 0.2 0 0 0 0 0 0 0 0 2"), "line 9 has a coordinate that is not finite"),
        (changed(9, "inf 0.1 0.2 0 0 0 0 0 0 0 0 2"), "line 9 has a coordinate that is not finite"),
        (changed(40, "0.1 x 0.2 0 0 0 0 0 0 0 0 2"), "line 40 does not hold a joint's numbers"),
        (changed(9, "0.1 0.2"), "line 9 does not hold a joint's numbers"),
        (changed(9, ""), "line 9 does not hold a joint's numbers"),
    ],
)
def test_faults_of_a_file_are_named_with_their_line(text, fault):
    with pytest.raises(ValueError, match=f"^{fault}$"):
        parse(text.encode())


def test_a_file_that_is_not_text_is_refused(tmp_path):
    for content in (b"\x80\x81\x82", WHOLE.encode("utf-16"), WHOLE.encode("utf-8-sig")):
        path = tmp_path / f"{NAME}.skeleton"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="^it is not text$"):
            read(recording(path))
