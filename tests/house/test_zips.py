"""Archives of others: one flipped bit is seen, and no claim is believed."""

import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.other_formats import draw_recordings, npz_content
from tests.support.tiny import write_checkpoint
from tools.checkpoint import read
from tools.evaluation.results import load_scores
from tools.prepare.formats import npz
from tools.zips import check, open_zip

WHAT = "a whole archive"


def flipped(path: Path, member: str, draw: random.Random) -> None:
    """Flip a bit within the content of a stored member."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = next(one for one in archive.infolist() if one.filename.endswith(member))
        with archive.open(info) as stream:
            begin = stream._orig_compress_start
    content[begin + draw.randrange(info.file_size)] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def test_one_flipped_bit_in_a_stored_npz_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", **npz_content(draw_recordings(), "cross_view"))
    whole, draw = (tmp_path / "x.npz").read_bytes(), random.Random(0)
    for key in ("x_train", "y_train", "x_test", "y_test") * 2:
        (tmp_path / "x.npz").write_bytes(whole)
        flipped(tmp_path / "x.npz", f"{key}.npy", draw)
        with pytest.raises(ValueError, match=f"whole .npz file .Bad CRC-32 .*{key}.*; copy it"):
            npz.collect(npz.Options(raw=tmp_path / "x.npz", protocol="cross_view"))


def test_one_flipped_bit_in_a_checkpoint_is_refused(tmp_path):
    path = tmp_path / "x.pth.tar"
    write_checkpoint(path)
    whole, draw = path.read_bytes(), random.Random(0)
    for member in ("data/0", "data/3", "data.pkl", "version") * 3:
        path.write_bytes(whole)
        flipped(path, member, draw)
        with pytest.raises(ValueError, match="not a readable checkpoint .Bad CRC-32"):
            read(path)


def rewritten(path: Path, *members: tuple[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "kind", "fault"),
    [
        ([("a", b"1"), ("a", b"2")], zipfile.ZIP_STORED, "two members have one name"),
        ([("a", bytes(2**22))], zipfile.ZIP_DEFLATED, "a claims to grow to 4194304 bytes"),
        ([("a", b"1" * 99)], zipfile.ZIP_LZMA, "compressed in a rare way"),
    ],
)
def test_archives_that_claim_too_much_are_refused(tmp_path, members, kind, fault):
    path = rewritten(tmp_path / "x.zip", *members, kind=kind)
    with pytest.raises(ValueError, match=fault):
        open_zip(path, WHAT)


def test_members_over_one_another_are_refused(tmp_path):
    path = rewritten(tmp_path / "x.zip", ("a", bytes(5000)), ("b", b"1"))
    content = path.read_bytes()
    place = content.rindex(b"PK\x01\x02")  # the entry of b: sizes 20 and 24 bytes on
    sizes = (5000).to_bytes(4, "little") * 2
    path.write_bytes(content[: place + 20] + sizes + content[place + 28 :])
    with pytest.raises(ValueError, match="its members claim more bytes than the file has"):
        check(path, WHAT)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


HUGE = npy(np.arange(2)).replace(b"(2,), }" + b" " * 10, b"(99999999999,), }")


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        (
            "labels",
            npy(np.arange(2)) + b"x",
            r"17 bytes of labels.npy follow a header of int64 \(2,\)",
        ),
        ("labels", HUGE, r"16 bytes of labels.npy follow a header of int64 \(99999999999,\)"),
        ("labels", npy(np.arange(2))[:-1], "is not a file of scores"),
        ("labels", npy(np.array([0.0, 1.0])), "does not hold names, classes and a score of each"),
        ("names", npy(np.arange(2)), "does not hold names, classes and a score of each"),
        ("scores", npy(np.array([["a"], ["b"]])), "does not hold names, classes and a score"),
        ("scores", b"no array", "is not a file of scores"),
    ],
)
def test_scores_of_odd_types_are_refused(tmp_path, name, content, fault):
    arrays = {"names": npy(np.array(["a", "b"])), "labels": npy(np.arange(2))}
    arrays |= {"scores": npy(np.eye(2, dtype=np.float32)), name: content}
    path = rewritten(tmp_path / "x.npz", *((f"{key}.npy", one) for key, one in arrays.items()))
    with pytest.raises(ValueError, match=fault):
        load_scores(path)


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ({"epoch": "9"}, "holds epoch as 9"),
        ({"epoch": torch.ones(3)}, "holds epoch as a Tensor"),
        ({"config": []}, "holds config as a list"),
        ({"data": {"dataset": torch.ones(2)}}, "holds more than plain values in data"),
        ({"progress": {1: 2}}, "holds more than plain values in progress"),
        ({"optimizer": {"state": [torch.ones(1).expand(10**12)]}}, "larger than its bytes"),
        ({"more": torch.ones(2, 2).to_sparse()}, "holds a tensor that is not dense"),
        ({"state_dict": {1: torch.ones(1)}}, "a tensor whose name is no text"),
    ],
)
def test_checkpoints_with_entries_of_odd_types_are_refused(tmp_path, entries, fault):
    path = tmp_path / "x.pth.tar"
    torch.save({"epoch": 1, "state_dict": {}} | entries, path)
    with pytest.raises(ValueError, match=fault):
        read(path)


def test_sizes_beyond_every_tensor_are_refused_before_a_model_is_built(tmp_path):
    path = tmp_path / "x.pth.tar"
    write_checkpoint(path)
    payload = torch.load(path)
    for name, size in (("num_layers", 10**9), ("hidden_size", 10**9)):
        payload["config"] = {"kind": "GRU", "hidden_size": 8, "num_layers": 1, name: size}
        from tools.checkpoint import to_method

        with pytest.raises(ValueError, match=f"{name} .*larger than any of its tensors"):
            to_method(payload, path)


def test_a_member_with_content_that_is_marked_as_a_folder_is_refused(tmp_path):
    path = tmp_path / "x.pth.tar"
    torch.save({"state_dict": {"weight": torch.ones(4)}}, path)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    while b"/data/0" not in content[entry : entry + 80]:
        entry = content.index(b"PK\x01\x02", entry + 1)
    content[entry + 38] |= 0x10  # the external attributes of the central directory
    path.write_bytes(content)
    with pytest.raises(ValueError, match="data/0 is marked as a folder"):
        read(path)
