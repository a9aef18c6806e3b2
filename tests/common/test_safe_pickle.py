"""Plain pickles are read in every protocol; objects, bombs and oversized ones are refused before they cost anything."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hashpipe.common import safe_pickle
from hashpipe.common.errors import UserError
from hashpipe.common.safe_pickle import dump_plain, load, load_file

PLAIN = {
    "cids": ["a", "bb"],
    "numbers": [1, 2.5, -(10**20), None, True, (1, (2,))],
    "bytes": [b"x", b""],
    "arrays": [np.arange(5), np.float32(3), np.zeros((2, 0)), np.asfortranarray(np.ones((2, 3)))],
    "texts": [np.array(["a", "bb"]), np.array(["a", "bb"], object)],
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL))  # 5 keeps arrays in buffers of their own
def test_plain_content_in_every_protocol(protocol: int) -> None:
    found = load(pickle.dumps(PLAIN, protocol=protocol), "here")
    assert {key: found[key] for key in ("cids", "numbers", "bytes")} == {
        k: PLAIN[k] for k in ("cids", "numbers", "bytes")
    }
    for key in ("arrays", "texts"):
        for mine, theirs in zip(found[key], PLAIN[key], strict=True):
            assert mine.dtype == theirs.dtype
            assert np.array_equal(mine, theirs)


def test_what_is_written_is_read() -> None:
    content = {"train": {"cids": ["a"], "cluster": [1], "qidxs": [], "pidxs": []}}
    assert load(dump_plain(content), "here") == content
    with pytest.raises(pickle.UnpicklingError):
        dump_plain([object()])


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("evil",)


def bomb(levels: int = 12) -> list:
    inner: list = ["lol"]
    for _ in range(levels):
        inner = [inner] * 10
    return inner


def circle() -> list:
    ring: list = []
    ring.append([ring])
    return ring


HOSTILE = {
    "object": (pickle.dumps([Evil()]), "asks for posix.mkdir"),
    "object in an array": (pickle.dumps(np.array([Evil()], object)), "asks for"),
    "nested bomb": (pickle.dumps(bomb()), "unfolds to more than"),
    "deep nest": (b"\x80\x02" + b"(" * 500 + b"l" * 500 + b".", "nested more than"),
    "circle": (pickle.dumps(circle()), "holds itself"),
    "memo of two billion": (b"\x80\x02]r\xff\xff\xff\x7f.", "numbers its parts"),
    "huge array": (b"\x80\x02cnumpy\nndarray\n(\x8a\x06\x00\x00\x00\x00\x00\x01tR.", "takes no arguments"),
    "huge text": (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", "not a pickle"),
    "huge number type": (pickle.dumps(np.zeros(1, "V99")), "numbers of type"),
    "builtins": (b"cbuiltins\neval\n(V1+1\ntR.", "asks for builtins.eval"),
    "a set": (pickle.dumps({1, 2}, protocol=2), "asks for"),
    "text": (b"hello", "not a pickle"),
    "nothing": (b"", "not a pickle"),
    "half": (pickle.dumps(PLAIN)[:50], "not a pickle"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content, said = HOSTILE[name]
    assert len(content) < 20_000
    with pytest.raises(UserError, match=said):
        load(content, "here.pkl")
    assert list(tmp_path.iterdir()) == []


def test_limits_of_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_pickle, "MOST_OPCODES", 1000)
    monkeypatch.setattr(safe_pickle, "MOST_ITEMS", 400)
    assert load(pickle.dumps(list(range(300))), "here") == list(range(300))
    with pytest.raises(UserError, match="more than 1,000 parts"):
        load(b"\x80\x02](" + b"K\x01" * 1100 + b"e.", "huge list")
    with pytest.raises(UserError, match="unfolds to more than 400"):
        load(pickle.dumps(list(range(450))), "long list")
    with pytest.raises(UserError, match="array of 500 items"):
        load(pickle.dumps(np.zeros(500)), "long array")
    monkeypatch.setattr(safe_pickle, "MOST_BYTES", 100)
    (tmp_path / "large.pkl").write_bytes(b"x" * 101)
    with pytest.raises(UserError, match="101 bytes, more than the 100"):
        load_file(tmp_path / "large.pkl")
    with pytest.raises(UserError, match="cannot be read"):
        load_file(tmp_path / "none.pkl")


def named(module: bytes, name: bytes, *texts: bytes) -> bytes:
    """Opcodes that call a global with texts."""
    arguments = b"".join(b"X" + len(text).to_bytes(4, "little") + text for text in texts)
    return b"c" + module + b"\n" + name + b"\n(" + arguments + b"tR"


def test_bytes_cannot_pass_for_pointers() -> None:
    objects = named(b"numpy", b"dtype", b"O")
    state = b"(K\x03X\x01\x00\x00\x00|(" + objects + b"K\x01\x85tNNK\x08K\x01K\x00t"  # a subarray of objects, no flags
    disguised = named(b"numpy", b"dtype", b"S8") + state + b"b"
    address = named(b"_codecs", b"encode", b"A" * 8, b"latin1")
    with pytest.raises(UserError, match="compound"):
        load(b"\x80\x02cnumpy._core.multiarray\nscalar\n(" + disguised + address + b"tR.", "x")


@pytest.mark.parametrize(("kind", "data"), [("O", b"]"), ("S8", b"C\x04abcd")])
def test_arrays_must_be_filled(kind: str, data: bytes) -> None:
    empty = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
    state = b"(K\x01(K\x09t" + named(b"numpy", b"dtype", kind.encode()) + b"I00\n" + data + b"t"
    with pytest.raises(UserError, match="do not fill"):
        load(b"\x80\x03" + empty + state + b"b.", "x")


@pytest.mark.parametrize("kind", [">i4", "<u2", ">f8", "S3", ">U2", "?"])
def test_byte_orders_and_a_second_journey(kind: str) -> None:
    wanted = np.array([[1, 0, 1], [0, 1, 1]]).astype(kind)
    found = load(pickle.dumps(wanted, protocol=2), "x")
    assert found.tolist() == wanted.tolist()
    again = pickle.loads(pickle.dumps(found))
    assert type(again) is np.ndarray
    assert again.tolist() == wanted.tolist()
