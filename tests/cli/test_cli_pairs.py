"""`hashpipe pairs show` and `pairs check` on a small PairSet written by hand."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hashpipe.cli.evidence import evidence, find_photo
from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace
from hashpipe.pairgen.pairs.pairset import PAIRS_SCHEMA, PHOTOS_SCHEMA, RELATIONS_SCHEMA, write_pairset

PATHS = ("church/front.jpg", "church/side.jpg", "bridge/front.jpg", "lost.jpg", "copy.jpg", "tower/it's 塔.jpg")
PLACES = (0, 0, 1, -1, -1, 2)


def photos_table() -> pa.Table:
    rows = [
        {
            "photo": i,
            "path": path,
            "root": "/photos",
            "sha256": f"{i:064x}",
            "width": 640,
            "height": 480,
            "orientation": 1,
            "taken_at": None,
            "lat": None,
            "lon": None,
            "status": "duplicate" if path == "copy.jpg" else "ok",
            "duplicate_of": 0 if path == "copy.jpg" else -1,
            "place": place,
            "model": place,
            "split": "train" if place >= 0 else "test",
            "query": i == 1,
        }
        for i, (path, place) in enumerate(zip(PATHS, PLACES, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema=PHOTOS_SCHEMA)


def pair(a: int, b: int, label: int, kind: str) -> dict:
    numbers = {"shared_points": 120 if label > 0 else 0, "inliers": 88 if label > 0 else -1, "model": 0}
    overlaps = dict.fromkeys(("overlap_ab", "overlap_ba", "visible_ab", "visible_ba"), 0.5 if label > 0 else 0.0)
    rest = {"scale_change": 1.25, "view_angle_deg": 12.5, "similarity": 0.75, "near_duplicate": False}
    return {"a": a, "b": b, "label": label, "kind": kind, **numbers, **overlaps, **rest}


@pytest.fixture
def workspace(tmp_path):
    folder = open_workspace(tmp_path / "ws", create=True)
    pairs = pa.Table.from_pylist([pair(0, 1, 1, "covisible"), pair(0, 2, -1, "negative")], schema=PAIRS_SCHEMA)
    relation = {"place_a": 1, "place_b": 2, "relation": "may_be_same", "evidence": "9 inliers"}
    relations = pa.Table.from_pylist([relation], schema=RELATIONS_SCHEMA)
    write_pairset(folder / "pairs", {"parameters": {"seed": 0}}, photos_table(), pairs, relations)
    return folder


@pytest.fixture
def pairset(workspace):
    from hashpipe.pairgen.pairs.pairset import read_pairset

    return read_pairset(workspace / "pairs")


@pytest.mark.parametrize(
    ("first", "second", "label", "reason"),
    [
        ("0", "1", 1, "covisible, enough common"),
        ("church/side.jpg", "/photos/church/front.jpg", 1, "covisible, enough common"),
        ("2", "0", -1, "negative, sampled from two places"),
        ("bridge/front.jpg", "it's 塔.jpg", 0, "related (may_be_same: 9 inliers)"),
        ("0", "lost.jpg", 0, "photo 3 is in no 3D model"),
        ("0", "copy.jpg", 0, "photo 4 is a copy"),
        ("1", "2", 0, "two places without a known relation"),
    ],
)
def test_label_and_reason(pairset, first, second, label, reason):
    found = evidence(pairset, first, second)
    assert found.label == label
    assert reason in found.reason
    assert (found.pair is None) == (label == 0)
    assert {0: "unknown", 1: "similar", -1: "dissimilar"}[label] in found.as_text()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("6", "there is no photo 6; ids are 0 to 5"),
        ("front.jpg", r"the end of 2 paths; .* 0 \(church/front.jpg\), 2 \(bridge/front.jpg\)"),
        ("frnt.jpg", "did you mean"),
        ("ont.jpg", "there is no photo 'ont.jpg'"),
        ("", "there is no photo ''"),
    ],
)
def test_names_that_mean_no_photo(pairset, name, said):
    with pytest.raises(UserError, match=said):
        find_photo(pairset, name)


def test_a_photo_and_itself(pairset):
    with pytest.raises(UserError, match="are the same photo"):
        evidence(pairset, "0", "church/front.jpg")


def test_show_on_the_command_line(hashpipe, workspace):
    done = hashpipe("pairs", "show", 0, "side.jpg", "-w", workspace)
    assert done.returncode == 0
    assert "similar: covisible, enough common 3D points" in done.stdout
    assert "  points        120 in common, 50% of those of the first photo, 50% of the second\n" in done.stdout
    assert "  matching      88 inliers\n" in done.stdout
    apart = hashpipe("pairs", "show", 0, 2, "-w", workspace).stdout
    assert "dissimilar: negative" in apart
    assert "  matching      never matched\n" in apart
    assert not any(word in apart for word in ("nan", "-1", "model", "scale"))  # nothing was measured
    got = json.loads(hashpipe("pairs", "show", 0, 1, "-w", workspace, "--json").stdout)
    assert got["label"] == 1
    assert got["pair"]["inliers"] == 88
    assert [photo["path"] for photo in got["photos"]] == list(PATHS[:2])


def test_a_terminal_without_the_letters(hashpipe, workspace):
    done = hashpipe("pairs", "show", "0", "5", "-w", workspace, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "it's \\u5854.jpg" in done.stdout
    done = hashpipe("pairs", "show", "0", "5", "-w", workspace, "--json", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["photos"][1]["path"] == PATHS[5]


def test_check_says_that_all_is_whole(hashpipe, workspace):
    done = hashpipe("pairs", "check", "-w", workspace)
    assert done.returncode == 0
    assert "6 photos, 2 pairs, 1 relations" in done.stdout
    assert json.loads(hashpipe("pairs", "check", "-w", workspace, "--json").stdout)["counts"]["pairs"] == 2


def spoil_label(folder):
    table = pq.read_table(folder / "pairs.parquet").to_pylist()
    table[0]["label"] = 3
    pq.write_table(pa.Table.from_pylist(table, schema=PAIRS_SCHEMA), folder / "pairs.parquet")


def spoil_columns(folder):
    pq.write_table(pq.read_table(folder / "photos.parquet").drop_columns(["sha256"]), folder / "photos.parquet")


def swap_photo(folder):
    table = pq.read_table(folder / "photos.parquet").to_pylist()
    table[3]["sha256"] = "f" * 64
    pq.write_table(pa.Table.from_pylist(table, schema=PHOTOS_SCHEMA), folder / "photos.parquet")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_label, "pairs.parquet: a label is neither"),
        (spoil_columns, "photos.parquet lacks the columns"),
        (swap_photo, "meta.json: the fingerprint does not match"),
        (lambda folder: (folder / "pairs.parquet").write_bytes(b"PAR1"), "pairs.parquet cannot be read"),
        (lambda folder: (folder / "place_relations.parquet").unlink(), "place_relations.parquet cannot be read"),
        (lambda folder: (folder / "meta.json").write_text("{}"), "holds pairs of format None"),
        (lambda folder: (folder / "meta.json").write_text("{"), "meta.json is damaged"),
        (lambda folder: (folder / "meta.json").unlink(), "holds no pairs yet"),
    ],
)
def test_check_says_what_is_wrong_where(refused, workspace, spoil, said):
    spoil(workspace / "pairs")
    assert said in refused("pairs", "check", "-w", workspace)


def test_workspace_of_another_version(refused, workspace):
    (workspace / "workspace.json").write_text('{"workspace_version": 7}')
    assert "is a workspace of version 7, this hashpipe reads version 1" in refused("pairs", "check", "-w", workspace)
