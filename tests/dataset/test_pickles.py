"""Pickles of others: what NumPy writes is read, and nothing else costs memory or runs."""

import pickle
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from dataset.arrays import load_labels
from dataset.pickles import load_plain
from tests.support.paths import ROOT

TAKEN = [
    np.arange(6.0, dtype=np.float16).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    np.zeros((0, 4, 25, 3), np.float16),
    np.array(["a", "bc"]),
    np.array([b"a", b"bc"]),
    np.array([True, False]),
    np.array(3.5),
]


def load(tmp_path: Path, content: bytes) -> object:
    (tmp_path / "x.pkl").write_bytes(content)
    return load_plain(tmp_path / "x.pkl")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("array", TAKEN, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_of_plain_types_are_read_by_every_protocol(tmp_path, array, protocol):
    found = load(tmp_path, pickle.dumps({"a": array, "again": array}, protocol))
    for name in ("a", "again"):
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)
    assert found["a"] is found["again"]


@pytest.mark.parametrize("name", [b"numpy._core", b"numpy.core"])
def test_both_names_of_numpys_core_are_known(tmp_path, name):
    """NumPy 2 writes the first and NumPy 1 the second."""
    content = pickle.dumps([np.arange(3)], 2)  # no lengths stand before the name
    renamed, found = re.subn(rb"numpy\._?core", name, content)
    assert found
    assert load(tmp_path, renamed)[0].sum() == 3


@pytest.mark.parametrize("kind", [int, np.int64, np.uint8, np.float64, np.float32, float])
def test_labels_may_be_numpy_scalars_as_those_of_cmd_and_aimclr(tmp_path, kind):
    content = (["a", "b"], [kind(3), kind(59)])
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    names, labels = load_labels(tmp_path / "x.pkl")
    assert (names, labels) == (["a", "b"], [3, 59])
    assert [type(label) for label in labels] == [int, int]


PLAIN = b"cnumpy\ndtype\n(X\x02\x00\x00\x00%sI00\nI01\ntR"
F8 = PLAIN % b"f8"
FROMBUFFER = b"cnumpy.core.numeric\n_frombuffer\n"
HOSTILE = {
    "a structured dtype": pickle.dumps(np.zeros(2, [("a", "O"), ("b", "<i8")])),
    "objects": pickle.dumps(np.array([{}], object)),
    "times": pickle.dumps(np.array(["2020"], "M8[s]")),
    "void": b"\x80\x02" + PLAIN % b"V9" + b".",
    "flags of objects": F8 + b"(I3\nX\x01\x00\x00\x00<NNNI-1\nI-1\nI63\ntb.",
    "fields in a state": F8 + b"(I3\nX\x01\x00\x00\x00<N(X\x01\x00\x00\x00at}I16\nI8\nI63\ntb.",
    "a type that is no text": b"cnumpy\ndtype\n(cnumpy\ndtype\nI00\nI01\ntR.",
    "an array beyond its bytes": (
        FROMBUFFER + b"(C\x04abcd" + F8 + b"(I99\ntX\x01\x00\x00\x00CtR."
    ),
    "a negative shape": (
        b"cnumpy.core.numeric\n_frombuffer\n(C\x08abcdefgh"
        + F8
        + b"(I-1\nI-1\ntX\x01\x00\x00\x00CtR."
    ),
    "an array of another version": (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR"
        + b"(I129\n(I1\nt"
        + F8
        + b"I00\nC\x08AAAAAAAAtb."
    ),
    "room for a bytearray": b"cbuiltins\nbytearray\n(I9999999999\ntR.",
    "room for bytes": b"\x80\x04\x8e\x00\x00\x00\x00\x04\x00\x00\x00abc.",
    "room for a bytearray of protocol 5": b"\x80\x05\x96\x00\x00\x00\x00\x04\x00\x00\x00abc.",
    "room for a frame": b"\x80\x04\x95\x00\x00\x00\x00\x04\x00\x00\x00N.",
    "a system call": b"cos\nsystem\n(X\x04\x00\x00\x00truetR.",
    "NumPy's own functions": b"cnumpy\nfromfile\n(X\x04\x00\x00\x00truetR.",
    "a state of something else": b"}}X\x01\x00\x00\x00aNsb.",
    "a key whose hash never ends": (
        b"}N\x85" + b"".join(b"q%c0h%ch%c\x86" % (n, n, n) for n in range(1, 90)) + b"Ns."
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_pickle_is_refused_before_it_costs_anything(tmp_path, what):
    tracemalloc.start()
    with pytest.raises(ValueError, match="x.pkl is not a readable pickle"):
        load(tmp_path, HOSTILE[what])
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_bytes_are_not_multiplied(tmp_path):
    text = b"X" + (50_000).to_bytes(4, "little") + b"x" * 50_000 + b"q\x010"
    encode = b"c_codecs\nencode\n(h\x01X\x06\x00\x00\x00latin1tRa"
    assert len(load(tmp_path, text + b"]" + encode + b".")[0]) == 50_000
    with pytest.raises(ValueError, match="makes more bytes than it holds"):
        load(tmp_path, text + b"]" + encode * 1000 + b".")


def test_the_memo_takes_no_more_room_than_it_has_entries(tmp_path):
    """The unpickler in C makes room for 2 GiB at these 8 bytes."""
    tracemalloc.start()
    assert load(tmp_path, b"\x80\x02Nr\xff\xff\xff\x0f.") is None
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_an_address_cannot_be_written_to(tmp_path):
    """With such a state of a dtype NumPy takes the array's bytes for an object: exit 139."""
    objects, void = PLAIN % b"O8", PLAIN % b"V8"
    field = b"}X\x01\x00\x00\x00a(" + objects + b"I0\nts"
    dtype = void + b"(I3\nX\x01\x00\x00\x00|N(X\x01\x00\x00\x00at" + field + b"I8\nI1\nI1\ntb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR"
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x03" + array + b"(I1\n(I1\nt" + dtype + b"I00\nC\x08AAAAAAAAtb.")
    code = "import sys; from pathlib import Path; from dataset.pickles import load_plain"
    command = [sys.executable, "-c", f"{code}; load_plain(Path(sys.argv[1]))", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "a dtype that is no plain number or text" in done.stderr
