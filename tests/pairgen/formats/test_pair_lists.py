"""Lists of pairs as editors, spreadsheets and data frames of three systems write them."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np
import pytest

from hashpipe.common.errors import UserError
from hashpipe.pairgen.formats.colmap_models import _photo_name
from hashpipe.pairgen.formats.csv_tables import read_table
from hashpipe.pairgen.formats.imported import ImportedPairs
from hashpipe.pairgen.formats.pair_lists import read_csv, read_hloc

TABLE = (
    "path_a,path_b,label,shared_points,overlap_ab,place_a,place_b\na.jpg,é/b.jpg,1,12,0.5,3,3\nc.jpg,d.jpg,-1,,,-1,4\n"
)
SEMICOLONS = TABLE.replace(",", ";").replace("0.5", "0,5")
FRAME = (  # as a data frame gives numbers where some are missing
    ",path_a,path_b,label,shared_points,overlap_ab,place_a,place_b\n"
    "0,a.jpg,é/b.jpg,1.0,12.0,0.5,3.0,3.0\n1,c.jpg,d.jpg,-1.0,nan,NaN,-1.0,4.0\n"
)
_WRITTEN = {
    "as exported": TABLE.replace("\n", "\r\n").encode(),
    "Excel, UTF-8": codecs.BOM_UTF8 + TABLE.replace("\n", "\r\n").encode(),
    "Excel, comma for the point": codecs.BOM_UTF8 + SEMICOLONS.replace("\n", "\r\n").encode(),
    "Excel, separator named": b"sep=;\r\n" + SEMICOLONS.replace("\n", "\r\n").encode(),
    "Excel, Unicode text": codecs.BOM_UTF16_LE + TABLE.replace(",", "\t").replace("\n", "\r\n").encode("utf-16-le"),
    "old Mac lines": TABLE.replace("\n", "\r").encode(),
    "data frame": FRAME.encode(),
    "bars": TABLE.replace(",", "|").encode(),
    "blanks around the names of columns": TABLE.replace("path_a,path_b,label", " path_a , path_b , label ").encode(),
    "empty lines and columns": TABLE.replace("\n", ",,\n\n").encode(),
    "everything quoted": "\n".join(
        ",".join(f'"{value}"' for value in line.split(",")) for line in TABLE.splitlines()
    ).encode(),
    "paths of Windows": TABLE.replace("/", "\\").encode(),
}


def said(found: ImportedPairs) -> tuple:
    rows = [{name: value for name, value in row.items() if value is not None} for row in found.rows]
    return list(found.names), found.place.tolist(), rows


@pytest.mark.parametrize("how", _WRITTEN)
def test_a_table_says_the_same_however_it_was_written(how: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_bytes(_WRITTEN[how])
    names, place, rows = said(read_csv(tmp_path / "pairs.csv", None))
    assert names == ["a.jpg", "c.jpg", "d.jpg", "é/b.jpg"]
    assert place == [0, -1, 1, 0]
    assert rows == [
        {"a": 0, "b": 3, "label": 1, "kind": "imported", "shared_points": 12, "overlap_ab": 0.5},
        {"a": 1, "b": 2, "label": -1, "kind": "imported"},
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path_a,path_b\na,b.jpg,c.jpg\n", ":2 has 3 values for 2 columns"),
        ("path_a,path_b,inliers\na.jpg,b.jpg,1.5\n", "inliers is '1.5', not a number"),
        ("sep=;\npath_a;path_b;label\na.jpg;b.jpg;9\n", ":3: there is no label"),
        ("", "lacks the column 'path_a'"),
    ],
)
def test_wrong_lines_are_named(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(UserError) as refused:
        read_csv(tmp_path / "pairs.csv", None)
    assert says in str(refused.value)


def test_fields_that_hold_separators_and_line_ends(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b'name,path\r\n"a;b,c","one\rtwo\r\nthree"\r\n')
    ((_, row),) = read_table(tmp_path / "t.csv", ("name", "path"))
    assert row == {"name": "a;b,c", "path": "one\rtwo\nthree"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_of_two_names_a_line(end: str, encoding: str, tmp_path: Path) -> None:
    for name in ("a.jpg", "été/b c.jpg", "#3.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    lines = [
        "# pairs of a walk",
        "#a note",
        "a.jpg été/b c.jpg",
        "",
        "#3.jpg a.jpg",
        "a.jpg été\\b c.jpg",
        "x\\y.jpg a.jpg",
    ]
    (tmp_path / "pairs.txt").write_bytes(end.join(lines).encode(encoding))
    names, _, rows = said(read_hloc(tmp_path / "pairs.txt", None))
    assert names == ["#3.jpg", "a.jpg", "x/y.jpg", "été/b c.jpg"]
    assert [(row["a"], row["b"]) for row in rows] == [(0, 1), (1, 2), (1, 3)]


def test_a_name_with_a_backslash_stays_where_there_is_such_a_photo(tmp_path: Path) -> None:
    (tmp_path / "a\\b.jpg").write_bytes(b"")
    (tmp_path / "pairs.txt").write_text("a\\b.jpg c\\d.jpg\n")
    assert said(read_hloc(tmp_path / "pairs.txt", None))[0] == ["a\\b.jpg", "c/d.jpg"]
    assert np.array_equal(read_hloc(tmp_path / "pairs.txt", None).place, [0, 0])


@pytest.mark.parametrize(
    "written", ["cam 1/a.jpg", "cam 1\\a.jpg", "./cam 1//a.jpg", "ROOT/cam 1/a.jpg", ".\\cam 1\\a.jpg"]
)
def test_names_of_photos_in_models(written: str, tmp_path: Path) -> None:
    """As models have them that come from Windows, from scripts, and from programs that write whole paths."""
    assert _photo_name(tmp_path, written.replace("ROOT", str(tmp_path))) == "cam 1/a.jpg"


def test_whole_paths_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "photos").symlink_to(tmp_path / "disk")
    assert _photo_name(tmp_path / "photos", f"{tmp_path}/disk/a.jpg") == "a.jpg"
    assert _photo_name(tmp_path / "photos", "/elsewhere/a.jpg") == "/elsewhere/a.jpg"  # refused later
