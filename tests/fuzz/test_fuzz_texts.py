"""Text files that people write: TOML, CSV, lists of pairs and of photos, damaged or full of rubbish."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from amounts import damaged, one_line, tried, tries
from hypothesis import given
from hypothesis import strategies as st

from hashpipe.cli.config_files import SECTIONS, read_section
from hashpipe.cli.main import run
from hashpipe.common.errors import UserError
from hashpipe.common.files import read_json
from hashpipe.common.text import read_text
from hashpipe.hashing.data.listing import list_photos, split_list
from hashpipe.pairgen.formats.pair_lists import read_csv, read_hloc

TOML = b'[pairs.build]\nseed = 1\nworkers = 2\n[train]\nbits = [16, 32]\nlr = 1e-3\n[encode]\nmodel = "m"\n'
CSV = (
    b"path_a,path_b,label,kind,place_a,place_b,split_a,split_b,inliers,overlap_ab,near_duplicate\n"
    b"a.jpg,b.jpg,1,covisible,0,0,train,train,30,0.5,true\nb.jpg,c d.jpg,-1,negative,0,1,train,val,0,nan,\n"
)
HLOC = b"a.jpg b.jpg\nc%20d.jpg a.jpg\n# note\nb.jpg\tc d.jpg\n"
LIST = b"a.jpg\nb.jpg\r\n# c.jpg\nsub/c d.jpg\n"
JSON = b'{"format_version": 1,\n "parameters": {"seed": 0}}\n'
WORDS = [
    "a.jpg", "b.jpg", "../x", "/x", "C:\\x.jpg", "\\\\nas\\x", "-1", "1.0", "1e999", "nan", "9" * 5000, "#", '"', '""',
    "train", "negative", "\u0301", "e\u0301", "é", "\u202e", "%20", "%zz", "x" * 300, "=", "[", "]", "[" * 2000, "'''",
    "path_a", "path_b", "sep=;", " ", "\t", ",", ";", "|", "\r", "\n", "\r\n", "\ufeff", "\x1a", "\0", "\x0b", "\u2028",
    "true", "1979-05-27", "[train]", "bits = ", "~", "~nobody/x", "clip.mp4#000001", "a.jpg#3",
]  # fmt: skip
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252")
TEXTS = st.builds(
    lambda words, encoding: "".join(words).encode(encoding, "replace"),
    st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=25),
    st.sampled_from(ENCODINGS),
)


def of(sound: bytes) -> st.SearchStrategy[bytes]:
    """Sound text in some encoding, damaged; text of words; lines of words behind the first line of the sound one."""
    first, rest = sound.split(b"\n", 1)
    coded = st.sampled_from(ENCODINGS).map(lambda encoding: sound.decode().encode(encoding))
    return damaged(coded, head=120) | TEXTS | TEXTS.map(lambda text: first + b"\n" + text + b"\n" + rest)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for name in ("a.jpg", "b.jpg", "c d.jpg"):
        (folder / name).write_bytes(b"no photo")
    return folder


@contextlib.contextmanager
def one_sentence():
    """Nothing but a UserError may come out, and it is one line."""
    try:
        yield
    except UserError as error:
        one_line(error)


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@tries(200, share=2.0)
@given(content=of(TOML), section=st.sampled_from(SECTIONS))
def test_toml(folder, content, section):
    tried["test_toml"] += 1
    with one_sentence():
        assert isinstance(read_section(written(folder, "hashpipe.toml", content), section), dict)


@tries(40, share=0.3)
@given(content=of(TOML))
def test_toml_at_the_command_line(folder, capsys, content):
    tried["test_toml_at_the_command_line"] += 1
    path = written(folder, "hashpipe.toml", content)
    code = run(["encode", str(folder / "nothing"), "-w", str(folder / "none"), "--config", str(path)])
    said = capsys.readouterr().err
    assert code == 2, said
    assert "Traceback" not in said


@tries(200, share=2.0)
@given(content=of(CSV))
def test_csv(folder, content):
    tried["test_csv"] += 1
    with one_sentence():
        given_pairs = read_csv(written(folder, "pairs.csv", content), folder)
        assert len(given_pairs.names) == len(given_pairs.place) == len(given_pairs.splits)
        assert all(row["a"] < row["b"] < len(given_pairs.names) for row in given_pairs.rows)


@tries(200, share=2.0)
@given(content=of(HLOC))
def test_hloc(folder, content):
    tried["test_hloc"] += 1
    with one_sentence():
        given_pairs = read_hloc(written(folder, "pairs.txt", content), folder)
        assert len(given_pairs.names) == len(given_pairs.place)


@tries(30, share=0.3)
@given(kind=st.sampled_from(("csv", "hloc")), data=st.data())
def test_import_at_the_command_line(folder, capsys, kind, data):
    tried["test_import_at_the_command_line"] += 1
    content = data.draw(of(CSV if kind == "csv" else HLOC))
    path = written(folder, f"pairs.{'csv' if kind == 'csv' else 'txt'}", content)
    code = run(["pairs", "import", str(path), "--photos", str(folder), "-w", str(folder / "ws"), "--force"])
    said = capsys.readouterr().err
    assert code in (0, 2), said
    assert "Traceback" not in said


@tries(150, share=2.0)
@given(content=of(LIST))
def test_lists_of_photos(folder, content):
    tried["test_lists_of_photos"] += 1
    with one_sentence():
        split_list(content)
        assert len(list_photos(written(folder, "list.txt", content))) > 0


@tries(100)
@given(content=of(JSON) | st.just(b"9" * 5000) | st.just(b"[" * 9000))
def test_json_and_text(folder, content):
    tried["test_json_and_text"] += 1
    path = written(folder, "meta.json", content)
    with one_sentence():
        read_json(path)
    with one_sentence():
        assert "\r\n" not in read_text(path)
