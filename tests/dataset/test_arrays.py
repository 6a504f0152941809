"""The on-disk format: written reads back, unfinished does not look whole, faults are named."""

import contextlib
import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from dataset import arrays as arrays_module
from dataset import swap
from dataset.arrays import SplitFiles, SplitWriter, load_arrays, load_labels, load_split, publish
from tests.support.tiny import save_arrays

NAMES = [f"S001C001P00{n}R001A00{n}.skeleton" for n in range(1, 6)]
LABELS = [0, 1, 2, 3, 4]
NUM_FRAMES = [300, 1, 64, 100, 7]


def clips(n: int = 5) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(n, 3, 300, 25, 2)).astype(np.float32)
    drawn[:, :, :, 1, 0] = 0  # where the published preparation has the origin
    return drawn


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_arrays(tmp_path / "xsub", "train", clips(), NUM_FRAMES, LABELS, NAMES)
    return tmp_path / "xsub"


def test_what_is_written_reads_back(folder):
    arrays = load_arrays(folder, "train")
    assert np.array_equal(arrays.data, clips())
    assert arrays.data.dtype == np.float32
    assert arrays.num_frames.dtype == arrays.labels.dtype == np.int64
    assert arrays.num_frames.tolist() == NUM_FRAMES
    assert arrays.labels.tolist() == LABELS
    assert arrays.names == NAMES
    assert arrays.path == folder / "train_data_joint.npy"
    assert not arrays.data.flags.writeable


def test_published_loaders_read_the_files(folder):
    assert sorted(os.listdir(folder)) == [
        "train_data_joint.npy",
        "train_label.pkl",
        "train_num_frame.npy",
    ]
    assert np.array_equal(np.load(folder / "train_data_joint.npy"), clips())
    assert np.load(folder / "train_num_frame.npy").dtype == np.int64
    with (folder / "train_label.pkl").open("rb") as file:
        assert pickle.load(file) == (NAMES, LABELS)


def test_data_file_is_byte_for_byte_what_numpy_saves(folder, tmp_path):
    np.save(tmp_path / "plain.npy", clips())
    written = (folder / "train_data_joint.npy").read_bytes()
    assert written == (tmp_path / "plain.npy").read_bytes()


def test_files_written_by_numpy_and_pickle_alone_are_read(tmp_path):
    np.save(tmp_path / "val_data_joint.npy", clips())
    np.save(tmp_path / "val_num_frame.npy", np.array(NUM_FRAMES, dtype=np.int32))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "val_label.pkl").write_bytes(pickle.dumps((NAMES, LABELS), protocol))
        assert load_arrays(tmp_path, "val").num_frames.dtype == np.int64


def test_clips_of_position_files_count_all_their_frames(tmp_path):
    np.save(tmp_path / "val_position.npy", clips()[:, :, :50])
    (tmp_path / "val_label.pkl").write_bytes(pickle.dumps((NAMES, LABELS)))
    arrays = load_arrays(tmp_path, "val")
    assert arrays.num_frames.tolist() == [50] * 5
    assert arrays.data.shape == (5, 3, 50, 25, 2)
    assert arrays.path.name == "val_position.npy"


def write_row(writer: SplitWriter, row: int) -> None:
    writer.write(row, clips()[row])


def test_rows_may_come_in_any_order_from_several_processes(tmp_path):
    writer = SplitWriter(tmp_path, "train", 5)
    writer.create()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(write_row, [(writer, row) for row in (4, 2, 0, 3, 1)])
    writer.describe(NAMES, LABELS, NUM_FRAMES)
    publish([writer])
    assert np.array_equal(load_arrays(tmp_path, "train").data, clips())


def test_an_unfinished_part_does_not_look_whole(tmp_path):
    writer = SplitWriter(tmp_path / "xsub", "train", 5)
    assert not writer.is_started()
    writer.create()
    writer.write(0, clips()[0])
    writer.describe(NAMES, LABELS, NUM_FRAMES)
    assert writer.is_started()
    assert os.listdir(tmp_path) == ["xsub.partial"]
    with pytest.raises(FileNotFoundError, match="is not finished; run the same"):
        load_arrays(tmp_path / "xsub", "train")
    writer.discard()
    assert os.listdir(tmp_path) == []


def test_a_start_of_another_shape_is_not_taken_up(tmp_path):
    SplitWriter(tmp_path, "train", 5).create()
    assert SplitWriter(tmp_path, "train", 5).is_started()
    assert not SplitWriter(tmp_path, "train", 4).is_started()


@pytest.mark.parametrize("stop", range(6))
def test_publishing_interrupted_anywhere_leaves_old_or_new(folder, stop, monkeypatch):
    writer = SplitWriter(folder, "train", 2)
    writer.create()
    writer.describe(NAMES[:2], [7, 8], [9, 9])
    steps = iter(range(6))

    def interrupted(step):
        def run(*arguments, **options):
            if next(steps) == stop:
                raise KeyboardInterrupt
            return step(*arguments, **options)

        return run

    owners = ((os, "fsync"), (Path, "rename"), (Path, "unlink"), (swap, "_exchange"))
    for owner, name in owners:
        monkeypatch.setattr(owner, name, interrupted(getattr(owner, name)))
    with contextlib.suppress(KeyboardInterrupt):
        publish([writer])
    monkeypatch.undo()
    arrays = load_arrays(folder, "train")
    assert arrays.labels.tolist() in (LABELS, [7, 8])
    assert len(arrays.data) == len(arrays.labels) == len(arrays.num_frames)


@pytest.mark.parametrize("stop", range(5))
def test_where_folders_cannot_be_exchanged_a_restart_brings_the_old_one_back(
    folder, stop, monkeypatch
):
    def put_new_in_place():
        writer = SplitWriter(folder, "train", 2)
        writer.discard()
        writer.create()
        writer.describe(NAMES[:2], [7, 8], [9, 9])
        publish([writer])

    steps, rename = iter(range(9)), Path.rename

    def interrupted(path, target):
        if next(steps) == stop:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(swap, "_exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", interrupted)
    with contextlib.suppress(KeyboardInterrupt):
        put_new_in_place()
    monkeypatch.setattr(Path, "rename", rename)
    SplitWriter(folder, "train", 2).discard()
    assert load_arrays(folder, "train").labels.tolist() == (LABELS if stop < 2 else [7, 8])
    put_new_in_place()
    assert load_arrays(folder, "train").labels.tolist() == [7, 8]
    assert os.listdir(folder.parent) == ["xsub"]


def test_everything_is_on_the_disk_before_the_folder_gets_its_name(folder, monkeypatch):
    written, exchange = set(), swap._exchange

    def check_and_exchange(new, old):
        inodes = {path.stat().st_ino for path in new.iterdir() if path.name.startswith("train")}
        assert len(inodes) == 3
        assert inodes | {new.stat().st_ino} <= written
        return exchange(new, old)

    monkeypatch.setattr(os, "fsync", lambda number: written.add(os.fstat(number).st_ino))
    monkeypatch.setattr(swap, "_exchange", check_and_exchange)
    save_arrays(folder, "train", clips(), NUM_FRAMES, LABELS, NAMES)
    assert folder.parent.stat().st_ino in written


def test_files_of_others_in_the_folder_stay(folder):
    (folder / "notes.txt").write_text("mine")
    (folder / "plots").mkdir()
    (folder / "plots" / "one.png").touch()
    (folder / "prepared.json").write_text("of the old arrays")
    save_arrays(folder, "val", clips(), NUM_FRAMES, LABELS, NAMES)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "plots" / "one.png").is_file()
    assert not (folder / "prepared.json").exists()
    assert load_arrays(folder, "train").names == NAMES
    assert os.listdir(folder.parent) == ["xsub"]


def test_a_folder_that_is_a_link_stays_one(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    save_arrays(tmp_path / "link", "train", clips(2), [9, 9], [7, 8], NAMES[:2])
    assert (tmp_path / "link").is_symlink()
    assert load_arrays(folder, "train").labels.tolist() == [7, 8]


@pytest.mark.parametrize("reader", ["load_arrays", "load_split"])
@pytest.mark.parametrize("between", ["load_coordinates", "load_frame_counts", "_names_and_labels"])
def test_what_is_published_while_one_reads_is_seen_whole(folder, monkeypatch, reader, between):
    save_arrays(folder, "val", clips(), NUM_FRAMES, LABELS, NAMES)
    step, published = getattr(arrays_module, between), []

    def publishing_before(*arguments):
        if not published:
            published.append(True)
            new = ([9] * 5, LABELS[::-1], [f"new {name}" for name in NAMES])
            for part in ("train", "val"):
                save_arrays(folder, part, clips(), *new)
        return step(*arguments)

    monkeypatch.setattr(arrays_module, between, publishing_before)
    found = load_split(folder) if reader == "load_split" else [load_arrays(folder, "train")]
    for arrays in found:
        assert arrays.names[0].startswith("new ")
        assert arrays.labels.tolist() == LABELS[::-1]
        assert arrays.num_frames.tolist() == [9] * 5


def test_dropped_rows_leave_the_others_in_order(tmp_path):
    writer = SplitWriter(tmp_path, "train", 5)
    writer.create()
    for row in (0, 2, 4):
        writer.write(row, clips()[row])
    writer.drop([1, 3])
    writer.describe(NAMES[::2], LABELS[::2], [300, 64, 7])
    publish([writer])
    arrays = load_arrays(tmp_path, "train")
    assert np.array_equal(arrays.data, clips()[[0, 2, 4]])
    assert arrays.names == [NAMES[0], NAMES[2], NAMES[4]]
    assert arrays.labels.tolist() == [0, 2, 4]


def test_writers_refuse_what_does_not_fit(tmp_path):
    with pytest.raises(ValueError, match="the train part of .* would hold no clip"):
        SplitWriter(tmp_path, "train", 0)
    writer = SplitWriter(tmp_path, "train", 5)
    writer.create()
    with pytest.raises(ValueError, match="does not fit row 5"):
        writer.write(5, clips()[0])
    with pytest.raises(ValueError, match="does not fit row 0"):
        writer.write(0, clips()[0][:, :50])
    with pytest.raises(ValueError, match=r"\[5, 5, 2\] names, labels, frame counts for 5"):
        writer.describe(NAMES, LABELS, [1, 2])
    with pytest.raises(ValueError, match="no clip would be left"):
        writer.drop(range(5))


class Malicious:
    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (Malicious(), f"asks for {os.name}.system; only plain values and NumPy arrays are"),
        ((NAMES, np.array(LABELS)), "holds no pair of lists"),
        ({"names": NAMES}, "holds no pair of lists"),
        ((NAMES, LABELS, []), "holds no pair of lists"),
        ((NAMES, 5), "holds no pair of lists"),
        ((NAMES, LABELS[:4]), "5 names, 4 labels"),
        (([b"x"], [0]), "a name is not a string"),
        ((["x"], [0.5]), "a label is not a whole number"),
        ((["x"], [float("nan")]), "a label is not an integer from 0 on"),
        (([["x"]], [0]), "a name is not a string"),
        ((["\ud800"], [0]), "a name is not a string"),
        ((["x"], [True]), "a label is not an integer from 0 on"),
        ((["x"], [-1]), "a label is not an integer from 0 on"),
        ((["x"], [10**30]), "a label is not an integer from 0 on"),
    ],
)
def test_label_files_with_anything_but_names_and_classes_are_refused(tmp_path, content, fault):
    path = tmp_path / "train_label.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match="train_label.pkl is not") as error:
        load_labels(path)
    assert fault in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps((NAMES, LABELS))[:-9]])
def test_damaged_label_files_are_refused(tmp_path, content):
    (tmp_path / "train_label.pkl").write_bytes(content)
    with pytest.raises(ValueError, match="train_label.pkl is not a readable label file"):
        load_labels(tmp_path / "train_label.pkl")


def test_missing_files_are_named_with_the_next_step(folder):
    with pytest.raises(FileNotFoundError, match="val_data_joint.npy; check --data-path or run"):
        load_arrays(folder, "val")
    for path in (SplitFiles.of(folder, "train").labels, SplitFiles.of(folder, "train").num_frames):
        path.unlink()
        with pytest.raises(FileNotFoundError, match=f"no file .*{path.name}"):
            load_arrays(folder, "train")


@pytest.mark.parametrize(
    ("name", "array", "blamed", "fault"),
    [
        ("data_joint", np.zeros((5, 3, 300, 25), np.float32), "data_joint", "has shape (5, 3, 3"),
        ("data_joint", np.zeros((5, 3, 9, 17, 2), np.float32), "data_joint", "not (N, 3, T, 25"),
        ("data_joint", np.zeros((0, 3, 9, 25, 2), np.float32), "data_joint", "0 bytes follow a he"),
        ("data_joint", np.float32(1), "data_joint", "has shape (), not"),
        ("data_joint", np.zeros((5, 3, 9, 25, 2)), "data_joint", "holds float64, not float32"),
        ("data_joint", np.zeros((4, 3, 300, 25, 2), np.float32), "num_frame", "each of 4 clips"),
        ("data_joint", np.zeros((5, 3, 299, 25, 2), np.float32), "num_frame", "not 1 to 299"),
        ("num_frame", np.array([1, 1, 0, 1, 1]), "num_frame", "clip 2 counts 0 frames, not 1 to"),
        ("num_frame", np.ones(4, int), "num_frame", "not one integer for each of 5 clips"),
        ("num_frame", np.ones(5), "num_frame", "holds float64"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(folder, name, array, blamed, fault):
    np.save(folder / f"train_{name}.npy", array)
    with pytest.raises(ValueError, match=f"train_{blamed}.npy") as error:
        load_arrays(folder, "train")
    assert fault in str(error.value)


def test_counts_beyond_the_clips_300_frames_are_clamped_with_a_warning(folder, capsys):
    counts = np.load(folder / "train_num_frame.npy")
    np.save(folder / "train_num_frame.npy", np.concatenate([counts[:3], [301, 999]]))
    found = load_arrays(folder, "train")
    assert found.num_frames.tolist() == [*counts[:3], 300, 300]
    said = "2 clips count more than 300 frames, up to 999; 300 are there and are taken"
    assert f"train_num_frame.npy: {said}" in capsys.readouterr().err


def test_names_that_do_not_match_the_clips_are_refused(folder):
    (folder / "train_label.pkl").write_bytes(pickle.dumps((NAMES[:4], LABELS[:4])))
    with pytest.raises(ValueError, match="names 4 clips, train_data_joint.npy holds 5"):
        load_arrays(folder, "train")


def test_damaged_arrays_are_refused(folder):
    path = folder / "train_data_joint.npy"
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:60], whole[:-1000]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="train_data_joint.npy is not a whole .npy file"):
            load_arrays(folder, "train")
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match="is not a whole .npy file"):
        load_arrays(folder, "train")
