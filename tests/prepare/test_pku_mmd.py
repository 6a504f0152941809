"""PKU-MMD videos and labels: clips cut out as both cutters do, and every refusal."""

from pathlib import Path

import numpy as np
import pytest

from dataset.arrays import load_arrays
from dataset.protocols import DATASETS, PARTS
from tests.oracles.prepare import normalise_plain
from tests.support.other_formats import draw_recordings, refusal, upright_body, video_text
from tools.prepare.__main__ import main

VIDEOS = {
    "pku_mmd_part1": ("0002-L", "0002-M", "0003-L", "0003-M"),
    "pku_mmd_part2": ("A01N01-L", "A01N01-M", "A01N02-L", "A01N02-M"),
}
SPLITS = {
    "pku_mmd_part1": ("cross-subject.txt", "cross-view.txt"),
    "pku_mmd_part2": ("cross_subject_v2.txt", "cross_view_v2.txt"),
}


def split_text(training: list[str], test: list[str]) -> str:
    return f"Training videos:\n{', '.join(training)}, \nValidataion videos:\n{', '.join(test)}\n"


def videos(dataset: str):
    """Return, for each video, the three recordings in it."""
    return {
        video: dict(list(draw_recordings(seed).items())[:3])
        for seed, video in enumerate(VIDEOS[dataset])
    }


def write(folder: Path, dataset: str, skeletons: str = "skeleton", labels: str = "label") -> Path:
    for name in (skeletons, labels, "Split"):
        (folder / name).mkdir(parents=True)
    for video, recordings in videos(dataset).items():
        text, places = video_text(recordings)
        (folder / skeletons / f"{video}.txt").write_text(text)
        lines = [f"{11 + k},{a},{b},{1 + k % 2}" for k, (a, b) in enumerate(places)]
        (folder / labels / f"{video}.txt").write_text("\n".join(lines) + "\n")
    first, second, third, fourth = VIDEOS[dataset]
    subject, view = SPLITS[dataset]
    (folder / "Split" / subject).write_text(split_text([first, second], [third, fourth]))
    (folder / "Split" / view).write_text(split_text([second, fourth], [first, third]))
    return folder


@pytest.fixture
def raw(tmp_path):
    return write(tmp_path / "raw", "pku_mmd_part1")


def prepare(raw: Path, *more: str, jobs: str = "1") -> Path:
    out = raw.parent / "data"
    main(["pku-mmd", "--raw", str(raw), "--out", str(out), "-j", jobs, *more])
    return out


def clips_of(out: Path, dataset: str, protocol: str) -> dict:
    found = {}
    for part in PARTS:
        arrays = load_arrays(out / DATASETS[dataset].folders[protocol], part)
        assert arrays.names == sorted(arrays.names)
        for row, name in enumerate(arrays.names):
            found[name] = (arrays.data[row], arrays.num_frames[row], arrays.labels[row], part)
    return found


@pytest.mark.parametrize("dataset", VIDEOS)
@pytest.mark.parametrize("rows", ["inclusive", "cmd"])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_clips_are_the_recordings_the_video_was_made_of(tmp_path, dataset, rows, jobs):
    raw = write(tmp_path / "raw", dataset)
    out = prepare(raw, "--dataset", dataset, "--rows", rows, jobs=jobs)
    first, second, third, fourth = VIDEOS[dataset]
    for protocol, training in (
        ("cross_subject", (first, second)),
        ("cross_view", (second, fourth)),
    ):
        found = clips_of(out, dataset, protocol)
        expected = {
            f"{video}_{k:03}": (clip, 10 + k, "train" if video in training else "val")
            for video, recordings in videos(dataset).items()
            for k, clip in enumerate(recordings.values())
        }
        assert found.keys() == expected.keys()
        for name, (clip, label, part) in expected.items():
            clip = clip[:, 1 if rows == "cmd" else 0 :]
            assert np.abs(found[name][0] - normalise_plain(clip)).max() < 2e-5
            assert found[name][1:] == (clip.shape[1], label, part)


@pytest.mark.parametrize(
    ("cut", "frames", "first"), [("head", 350, 0), ("centre", 350, 25), ("centre", 351, 25)]
)
def test_long_clips_are_cut_and_counted(raw, capsys, cut, frames, first):
    body = upright_body(np.random.default_rng(9), frames)
    clip = np.stack([body, np.zeros_like(body)], axis=-1).transpose(2, 0, 1, 3)
    text, ((start, end),) = video_text({"long": clip.astype(np.float32)})
    (raw / "skeleton" / "0002-L.txt").write_text(text)
    (raw / "label" / "0002-L.txt").write_text(f"5,{start},{end},2\n")
    found = clips_of(prepare(raw, "--cut", cut), "pku_mmd_part1", "cross_view")["0002-L_000"]
    expected = clip[:, first : first + 300].astype(np.float32)
    assert np.abs(found[0] - normalise_plain(expected)).max() < 2e-5
    assert found[1] == 300
    how = "first" if cut == "head" else "middle"
    assert f"1 clip of more than 300 frames cut to its {how} 300" in capsys.readouterr().out


def test_empty_clips_are_left_out_and_counted(raw, capsys):
    path = raw / "label" / "0002-L.txt"
    path.write_text(path.read_text() + "3,1,5,1\n3,5000,5010,1\n3,9,8,1\n")
    found = clips_of(prepare(raw), "pku_mmd_part1", "cross_view")
    assert len(found) == 12
    said = capsys.readouterr().out
    assert "2 clips left out: nothing was recorded\n" in said
    assert "left out: the video ends before it\n" in said


def test_a_clip_that_outlasts_its_video_ends_with_it(raw):
    path = raw / "label" / "0002-L.txt"
    first, start = path.read_text().split("\n")[0], 8
    path.write_text(first.replace(first.split(",")[2], "5000") + "\n")
    length = len((raw / "skeleton" / "0002-L.txt").read_text().splitlines()) - start + 1
    found = clips_of(prepare(raw), "pku_mmd_part1", "cross_view")
    assert found["0002-L_000"][1] == length


def test_the_middle_is_that_of_the_frames_that_are_there(raw):
    body = upright_body(np.random.default_rng(9), 350)
    clip = np.stack([body, np.zeros_like(body)], axis=-1).transpose(2, 0, 1, 3)
    text, ((start, _),) = video_text({"long": clip.astype(np.float32)}, gap=0)
    (raw / "skeleton" / "0002-L.txt").write_text(text)
    (raw / "label" / "0002-L.txt").write_text(f"5,{start},2000,2\n")
    found = clips_of(prepare(raw, "--cut", "centre"), "pku_mmd_part1", "cross_view")["0002-L_000"]
    assert np.abs(found[0] - normalise_plain(clip[:, 25:325].astype(np.float32))).max() < 2e-5


def test_bad_clips_that_are_skipped_are_not_counted_as_empty(raw, capsys):
    path = raw / "skeleton" / "0003-M.txt"
    lines = path.read_text().splitlines(keepends=True)
    lines[7] = "1 2 3\n"
    path.write_text("".join(lines))
    prepare(raw, "--skip-bad")
    printed = capsys.readouterr().out
    assert "1 bad clip skipped" in printed
    assert "left out" not in printed


def test_one_split_file_is_enough(raw, capsys):
    (raw / "Split" / "cross-view.txt").unlink()
    out = prepare(raw)
    assert (out / "PKU-MMD-v1-AGCN" / "xsub").is_dir()
    assert not (out / "PKU-MMD-v1-AGCN" / "xview").exists()
    assert "cross_view not prepared: no cross-view.txt or cross_view.txt" in capsys.readouterr().out


@pytest.mark.parametrize("names", [("PKU_Skeleton_Renew", "Train_Label_PKU_final"), ("skeleton",)])
def test_folders_and_endings_of_the_release_are_found(tmp_path, names):
    raw = write(tmp_path / "raw", "pku_mmd_part1", *names)
    if len(names) == 1:
        for folder, ending in (("skeleton", ".skeleton"), ("label", ".label")):
            for path in (raw / folder).iterdir():
                path.rename(path.with_suffix(ending))
    (raw / "Split" / "cross-view.txt").rename(raw / "cross_view.txt")
    assert len(clips_of(prepare(raw), "pku_mmd_part1", "cross_view")) == 12


def test_other_options_are_another_preparation(raw, monkeypatch, capsys):
    from tools.prepare.formats.pku_mmd import Instances

    read, count = Instances.__call__, iter(range(100))

    def stopping(self, recording):
        if next(count) == 4:
            raise KeyboardInterrupt
        return read(self, recording)

    with monkeypatch.context() as patch:
        patch.setattr(Instances, "__call__", stopping)
        with pytest.raises(SystemExit):
            prepare(raw)
    prepare(raw, "--rows", "cmd")
    assert "with other recordings or options is discarded" in capsys.readouterr().out


def refused(raw: Path, capsys, *more: str) -> str:
    return refusal(lambda: prepare(raw, *more), raw.parent / "data", capsys)


GOOD = split_text(["0002-L"], ["0003-L"])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has 0 lines, not a heading and names, twice"),
        ("\n".join(GOOD.split("\n")[:3]), "has 3 lines, not a heading and names, twice"),
        (GOOD.replace("0003-L", "0002-L"), "0002-L is in both parts"),
        (GOOD.replace("0003-L", "0003-X"), "0003-X is no video of PKU-MMD I"),
        (split_text(["A01N01-L"], ["A01N02-L"]), "A01N01-L is a video of PKU-MMD II"),
        (GOOD.replace("0003-L", " ,"), "has no name in line 4"),
    ],
)
def test_a_split_file_that_makes_no_sense_is_refused(raw, capsys, text, fault):
    path = raw / "Split" / "cross-subject.txt"
    path.write_text(text)
    errors = refused(raw, capsys)
    assert errors.startswith(f"error: {path}")
    assert fault in errors
    assert errors.count("\n") == 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("52,1,9,2\n", "line 1: class 52 is not 1 to 51"),
        ("0,1,9,2\n", "line 1: class 0 is not 1 to 51"),
        ("1,8,9,2\n1,x,9,2\n", "line 2 is not class,start,end,confidence"),
        ("1,8,9\n", "line 1 is not class,start,end,confidence"),
        ("1,8,9,3\n", "line 1: confidence 3 is not 1 or 2"),
        ("1,0,9,2\n", "line 1: frame 0 is not 1 or more"),
        ("", "it holds no label"),
    ],
)
def test_a_bad_label_file_is_named(raw, capsys, text, fault):
    path = raw / "label" / "0003-M.txt"
    path.write_text(text)
    assert refused(raw, capsys).startswith(f"bad clip {path}: {fault}\n")
    assert len(clips_of(prepare(raw, "--skip-bad"), "pku_mmd_part1", "cross_view")) == 9


@pytest.mark.parametrize("folder", ["skeleton", "label"])
def test_a_video_without_one_of_its_files_is_named(raw, capsys, folder):
    (raw / folder / "0003-M.txt").unlink()
    errors = refused(raw, capsys)
    assert errors.startswith(
        f"bad clip {raw / folder / '0003-M'}: it is in a split file but not there"
    )


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (" 0 0 0\n", " 0 0\n", "row 8 has 149 numbers, not 150"),
        ("0.", "x.", "row 8 does not hold numbers"),
        ("0.", "1e99", "has a coordinate that is not finite in frame 0"),
    ],
)
def test_a_bad_row_is_named(raw, capsys, old, new, fault):
    path = raw / "skeleton" / "0003-M.txt"
    lines = path.read_text().splitlines(keepends=True)
    lines[7] = lines[7].replace(old, new, 1)
    path.write_text("".join(lines))
    errors = refused(raw, capsys)
    assert errors.startswith(f"bad clip {path / '000'}: ")
    assert fault in errors


def test_a_folder_without_the_release_is_refused(tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    errors = refused(tmp_path / "raw", capsys)
    assert "no folder PKU_Skeleton_Renew or skeleton in it" in errors
    write(tmp_path / "raw", "pku_mmd_part1")
    for path in (tmp_path / "raw" / "Split").iterdir():
        path.unlink()
    assert "no cross-subject.txt, cross_subject.txt, cross-view.txt" in refused(
        tmp_path / "raw", capsys
    )
