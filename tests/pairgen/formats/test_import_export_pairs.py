"""Pairs from and for other programs: round trips, what is missing, and what is refused."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colmap_text import write_place
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.pairgen.formats.cirtorch import cid_path
from hashpipe.pairgen.formats.export_pairs import export_pairs
from hashpipe.pairgen.formats.import_pairs import import_pairs
from hashpipe.pairgen.formats.import_summary import ImportSummary
from hashpipe.pairgen.formats.options import ExportOptions, ImportOptions
from hashpipe.pairgen.pairs.pairset import PairSet, check, read_pairset


def photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


def cid(number: int) -> str:
    return f"{number:032x}"[::-1]


def database(folder: Path, with_photos: bool = True, **changes: Any) -> Path:
    """A cirtorch database of 4 train clusters and 1 val cluster of 4 photos each; other keys as in published ones."""
    parts, first = {}, 0
    for mode, clusters in (("train", 4), ("val", 1)):
        count = 4 * clusters
        pairs = [(4 * c + q, 4 * c + p) for c in range(clusters) for q, p in ((0, 1), (1, 0), (1, 2), (3, 2))]
        parts[mode] = {
            "cids": [cid(first + row) for row in range(count)],
            "cluster": [first + row // 4 for row in range(count)],
            "qidxs": [q for q, _ in pairs],
            "pidxs": np.array([p for _, p in pairs]),
            "bbxs": [(0.0, 0.0, 1.0, 1.0)] * count,
        }
        first += count
    parts["train"].update(changes)
    path = folder / "retrieval-SfM-test.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(parts, protocol=2))
    if with_photos:
        for row in range(first):
            photo(folder / "ims" / cid_path(cid(row)), row)
    return path


def bring(source: Path, workspace: Path, **options: Any) -> tuple[PairSet, ImportSummary]:
    summary = import_pairs(source, workspace, ImportOptions(**options))
    pairset = read_pairset(workspace / "pairs")
    assert check(pairset) == []
    assert pairset.fingerprint == summary.fingerprint
    return pairset, summary


def similar(pairset: PairSet) -> set[tuple[str, str]]:
    """Similar pairs by names."""
    names = pairset.photos["path"].to_pylist()
    rows = zip(*(pairset.pair_column(name).tolist() for name in ("a", "b", "label")), strict=True)
    return {(names[a], names[b]) for a, b, label in rows if label > 0}


def test_a_cirtorch_database_becomes_a_pairset(tmp_path: Path) -> None:
    pairset, summary = bring(database(tmp_path / "db"), tmp_path / "ws")
    names = [cid_path(cid(row)) for row in range(20)]
    assert (summary.photos, summary.absent, summary.places) == (20, 0, 5)
    assert summary.splits == {"train": 4, "val": 1, "test": 0}
    assert similar(pairset) == {
        tuple(sorted((names[4 * c + q], names[4 * c + p]))) for c in range(5) for q, p in ((0, 1), (1, 2), (2, 3))
    }
    place = dict(zip(pairset.photos["path"].to_pylist(), pairset.photo_column("place").tolist(), strict=True))
    assert len({place[name] for name in names[:4]}) == 1
    assert summary.pairs["negative"] > 0
    assert "imported" in summary.as_text()
    again, _ = bring(tmp_path / "db" / "retrieval-SfM-test.pkl", tmp_path / "ws", seed=0)
    assert again.fingerprint == pairset.fingerprint


def test_cirtorch_round_trip_keeps_ids_clusters_and_pairs(tmp_path: Path) -> None:
    pairset, _ = bring(database(tmp_path / "db"), tmp_path / "ws", query_share=0.0)
    out = tmp_path / "retrieval-SfM-mine"
    written = export_pairs(pairset, out, ExportOptions(to="cirtorch"))
    with (out / "retrieval-SfM-mine.pkl").open("rb") as file:
        found = pickle.load(file)
    assert written.photos == 20
    assert written.dissimilar == 0
    assert "No dissimilar pairs are in it, because cirtorch draws them itself" in written.as_text()
    assert found["train"]["cids"] == sorted((cid(row) for row in range(16)), key=cid_path)
    for part in found.values():
        assert all(part["cluster"][q] == part["cluster"][p] for q, p in zip(part["qidxs"], part["pidxs"], strict=True))
        for name in part["cids"]:
            assert (out / "ims" / name[-2:] / name[-4:-2] / name[-6:-4] / name).is_file()
    back, _ = bring(out / "retrieval-SfM-mine.pkl", tmp_path / "back", query_share=0.0)
    assert similar(back) == similar(pairset)
    assert back.fingerprint == pairset.fingerprint


def test_photos_that_are_not_there_are_said_and_pairs_stay(tmp_path: Path) -> None:
    pairset, summary = bring(database(tmp_path / "db", with_photos=False), tmp_path / "ws")
    assert summary.absent == 20
    assert "20 of 20 photos are not in" in summary.as_text()
    assert set(pairset.photos["status"].to_pylist()) == {"absent"}
    assert len(similar(pairset)) == 15
    assert "not on disk" in (tmp_path / "ws" / "pairs" / "failures.csv").read_text()


def test_copies_and_broken_photos_shift_nothing(tmp_path: Path) -> None:
    path = database(tmp_path / "db")
    ims = tmp_path / "db" / "ims"
    (ims / cid_path(cid(1))).write_bytes((ims / cid_path(cid(9))).read_bytes())  # clusters 0 and 2 hold one photo
    (ims / cid_path(cid(6))).write_bytes(b"no photo")
    pairset, summary = bring(path, tmp_path / "ws")
    assert (summary.duplicates, summary.unreadable) == (1, 1)
    assert "is a copy of" in pairset.relations["evidence"][0].as_py()
    names = similar(pairset)
    assert not any(cid_path(cid(6)) in pair for pair in names)
    assert tuple(sorted(cid_path(cid(row)) for row in (2, 3))) in names
    place = pairset.photo_column("place")
    between = {(row["place_a"], row["place_b"]) for row in pairset.relations.to_pylist()}
    a, b, label = (pairset.pair_column(name) for name in ("a", "b", "label"))
    negatives = {tuple(sorted((int(place[i]), int(place[j])))) for i, j in zip(a[label < 0], b[label < 0], strict=True)}
    assert not negatives & between


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cids": [f"../{row}" for row in range(16)]}, "outside the photo folder"),
        ({"cids": ["/etc/passwd"] * 16}, "outside the photo folder"),
        ({"cids": list(range(16))}, r"cids\[0\] is '0', not a str"),
        ({"cluster": [0] * 15}, "cluster has 15 entries instead of 16"),
        ({"cluster": None}, "lacks the list 'cluster'"),
        ({"qidxs": [99] * 16}, r"qidxs\[0\] is 99, outside 0..15"),
        ({"qidxs": [-1] * 16}, "outside"),
        ({"pidxs": [0]}, "pidxs has 1 entries"),
    ],
)
def test_wrong_databases_are_refused(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        import_pairs(database(tmp_path, with_photos=False, **changes), tmp_path / "ws", ImportOptions())
    assert not (tmp_path / "ws" / "pairs").exists()


def test_clusters_that_do_not_differ_for_sure_are_related(tmp_path: Path) -> None:
    path = database(tmp_path, cluster=[16] * 4 + [1] * 4 + [2] * 4 + [3] * 4)  # 16 is the cluster of val too
    pairset, _ = bring(path, tmp_path / "ws")
    assert "cluster 16 stands in train and in val" in pairset.relations["evidence"].to_pylist()
    path = database(tmp_path, qidxs=[0] * 16, pidxs=[15] * 15 + [1])
    _, summary = bring(path, tmp_path / "ws")
    assert any("15 pairs join two clusters" in note for note in summary.notes)


def test_hloc_lists_round_trip_with_blanks_in_names(tmp_path: Path) -> None:
    for row, name in enumerate(("a b/1.png", "a b/2 %.png", "c.png", "d.png")):
        photo(tmp_path / "photos" / name, row)
    source = tmp_path / "photos" / "pairs.txt"
    source.write_text("a b/1.png\ta b/2 %.png\nc.png d.png\nd.png c.png\n\n", encoding="utf-8")
    pairset, summary = bring(source, tmp_path / "ws")
    assert similar(pairset) == {("a b/1.png", "a b/2 %.png"), ("c.png", "d.png")}
    assert (pairset.pair_column("label") > 0).all()
    assert any("No dissimilar pairs" in note for note in summary.notes)
    out = tmp_path / "out"
    export_pairs(pairset, out, ExportOptions(to="hloc"))
    for line in (out / "pairs.txt").read_text().splitlines():
        first, second = line.split()  # as hloc does
        assert (out / "photos" / first).is_file()
        assert (out / "photos" / second).is_file()
    back, _ = bring(out / "pairs.txt", tmp_path / "back", photos=tmp_path / "photos")
    assert back.fingerprint == pairset.fingerprint
    put, summary = bring(out / "pairs.txt", tmp_path / "put")  # the photos that the export put beside it
    assert summary.absent == 0
    assert similar(put) == {("a%20b/1.png", "a%20b/2%20%25.png"), ("c.png", "d.png")}
    with pytest.raises(UserError, match=r"holds no COLMAP model .* give .*pairs\.txt if that"):
        import_pairs(out, tmp_path / "put", ImportOptions())
    source.write_text("a b/1.png a b/2 %.png\n")  # blanks that only the files on disk explain
    assert similar(bring(source, tmp_path / "ws")[0]) == {("a b/1.png", "a b/2 %.png")}
    source.write_text("a b/1.png no such.png\n")
    with pytest.raises(UserError, match=r"pairs\.txt:1 is not two names"):
        import_pairs(source, tmp_path / "ws", ImportOptions())


def test_csv_round_trip(tmp_path: Path) -> None:
    pairset, _ = bring(database(tmp_path / "db"), tmp_path / "ws")
    export_pairs(pairset, tmp_path / "pairs.csv", ExportOptions(to="csv"))
    with (tmp_path / "pairs.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == pairset.pairs.num_rows
    back, _ = bring(tmp_path / "pairs.csv", tmp_path / "back", photos=tmp_path / "db" / "ims")
    assert back.pairs.num_rows == pairset.pairs.num_rows
    assert similar(back) == similar(pairset)
    assert (back.photo_column("place") == pairset.photo_column("place")).all()
    assert back.photos["split"].equals(pairset.photos["split"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,y\n1,2\n", "lacks the column 'path_a'"),
        ("path_a,path_b,label\na.png,../b.png,1\n", "outside the photo folder"),
        ("path_a,path_b,label\na.png,b.png,7\n", "pairs.csv:2: there is no label '7'"),
        ("path_a,path_b,inliers\na.png,b.png,many\n", "inliers is 'many', not a number"),
        ("path_a,path_b,label\na.png,b.png,1\nb.png,c.png,1\na.png,c.png,-1\n", "similar pairs connect them"),
        ("path_a,path_b,place_a,place_b\na.png,b.png,1,1\na.png,c.png,2,2\n", "place of a.png is 2, before it was 1"),
        ("path_a,path_b\na.png,\n", "has no name"),
        ("path_a,path_b\na.png,b.png\n", "None of the 2 photos is in"),
        ("\x89PNG\0", "is not a text file"),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "pairs.csv").write_bytes(text.encode("latin1"))
    with pytest.raises(UserError, match=said):
        import_pairs(tmp_path / "pairs.csv", tmp_path / "ws", ImportOptions())


def test_index_tuples_for_metric_learning(tmp_path: Path) -> None:
    pairset, _ = bring(database(tmp_path / "db"), tmp_path / "ws")
    export_pairs(pairset, tmp_path / "tuples.npz", ExportOptions(to="pml"))
    with np.load(tmp_path / "tuples.npz") as found:  # no pickle
        a1, p, a2, n, ids, paths = (found[name] for name in ("a1", "p", "a2", "n", "photo", "paths"))
    place, query, split = (np.asarray(pairset.photo_column(name))[ids] for name in ("place", "query", "split"))
    assert len(a1) == len(p) > 0 < len(a2) == len(n)
    assert (place[a1] == place[p]).all()
    assert (place[a2] != place[n]).all()
    assert not query.any()
    assert set(split) == {"train"}
    assert paths.tolist() == [pairset.photos["path"][int(one)].as_py() for one in ids]
    assert {(int(x), int(y)) for x, y in zip(a1, p, strict=True)} == {
        (int(y), int(x)) for x, y in zip(a1, p, strict=True)
    }


def test_colmap_models(tmp_path: Path) -> None:
    names = []
    for number, seed in enumerate((1, 2)):
        names += write_place(tmp_path / "sparse" / str(number), tmp_path / "images", seed)
    pairset, summary = bring(tmp_path / "sparse", tmp_path / "ws")
    assert (summary.places, summary.models, summary.photos) == (2, 2, 10)
    assert sorted(names) == pairset.photos["path"].to_pylist()
    found = similar(pairset)
    assert len(found) >= 10
    assert all(a.split("/")[0] == b.split("/")[0] for a, b in found)
    assert (pairset.pair_column("label") > 0).all()  # two models may be one place
    assert any("2 models" in note for note in summary.notes)
    for number in range(2):
        assert (tmp_path / "ws" / "pairs" / "models" / str(number) / "cloud.ply").is_file()


def test_cameras_without_points_are_said_to_give_no_pairs(tmp_path: Path) -> None:
    """Text from Windows, blanks in names, no lines of 2D points."""
    model, names = tmp_path / "sparse", [f"cam 1/photo {number}.png" for number in range(3)]
    model.mkdir()
    for number, name in enumerate(names):
        photo(tmp_path / "images" / name, number)
    poses = [f"{number} 1 0 0 0 0.{number} 0 0 1 {name}" for number, name in enumerate(names, start=1)]
    (model / "cameras.txt").write_text("1 SIMPLE_PINHOLE 32 24 30 16 12\r\n")
    (model / "images.txt").write_text("\r\n".join(poses).replace("/", "\\"))
    (model / "points3D.txt").write_text("")
    pairset, summary = bring(model, tmp_path / "ws", workers=1)
    assert pairset.photos["path"].to_pylist() == names
    assert summary.absent == pairset.pairs.num_rows == 0
    assert "Model 0 of 3 photos has no two that see a 3D point together" in summary.as_text()


@pytest.mark.slow
def test_binary_models_say_the_same_as_text(tmp_path: Path) -> None:
    for number, seed in enumerate((1, 2)):
        write_place(tmp_path / "sparse" / str(number), tmp_path / "images", seed)
    pairset, _ = bring(tmp_path / "sparse", tmp_path / "ws", places_differ=True)
    assert (pairset.pair_column("label") < 0).sum() >= 5
    models = tmp_path / "ws" / "pairs" / "models"
    again, _ = bring(models, tmp_path / "again", photos=tmp_path / "images", places_differ=True)
    assert again.fingerprint == pairset.fingerprint


def test_broken_colmap_models_are_refused(tmp_path: Path) -> None:
    model = tmp_path / "sparse"
    write_place(model, tmp_path / "images", 1, 3)
    images = (model / "images.txt").read_text()
    (model / "images.txt").write_text(images.replace("1/view0.png", "../../secret.png"))
    with pytest.raises(UserError, match="outside the photo folder"):
        import_pairs(model, tmp_path / "ws", ImportOptions())
    (model / "images.txt").write_text(images[: len(images) // 2])
    with pytest.raises(UserError, match="is not a complete model: point 1 of"):
        import_pairs(model, tmp_path / "ws", ImportOptions())
    (model / "images.txt").unlink()
    with pytest.raises(UserError, match=r"lacks images\.txt"):
        import_pairs(model, tmp_path / "ws", ImportOptions())
    with pytest.raises(UserError, match="holds no COLMAP model"):
        import_pairs(tmp_path / "images", tmp_path / "ws", ImportOptions())


def test_what_cannot_be_imported_or_overwritten(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        import_pairs(tmp_path / "nothing.pkl", tmp_path / "ws", ImportOptions())
    (tmp_path / "pairs.dat").write_text("a b")
    with pytest.raises(UserError, match="no known suffix"):
        import_pairs(tmp_path / "pairs.dat", tmp_path / "ws", ImportOptions())
    pairset, _ = bring(database(tmp_path / "db"), tmp_path / "ws")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    for to in ("cirtorch", "hloc"):
        with pytest.raises(UserError, match="exists already"):
            export_pairs(pairset, tmp_path / "out", ExportOptions(to=to))
    meta = (tmp_path / "ws" / "pairs" / "meta.json").read_text().replace('"imported"', '"built"')
    (tmp_path / "ws" / "pairs" / "meta.json").write_text(meta)
    with pytest.raises(UserError, match="built from photos"):
        import_pairs(tmp_path / "db" / "retrieval-SfM-test.pkl", tmp_path / "ws", ImportOptions())


@pytest.mark.parametrize("name", ["points3D.bin", "images.bin"])
def test_cut_binary_files_are_named(tmp_path: Path, name: str) -> None:
    from hashpipe.pairgen.colmap.model_files import check_lengths
    from hashpipe.pairgen.colmap.reconstructions import copy_model

    write_place(tmp_path / "text", tmp_path / "images", 1, 3)
    (tmp_path / "0").mkdir()
    copy_model(tmp_path / "text", tmp_path / "0")
    assert check_lengths(tmp_path / "0") == ""
    whole = (tmp_path / "0" / name).read_bytes()
    for content in (whole[:200], whole[:-1], whole + b"\0", b"\xff" * 300, b""):
        (tmp_path / "0" / name).write_bytes(content)
        assert check_lengths(tmp_path / "0") == name
    with pytest.raises(UserError, match="is cut or damaged"):
        import_pairs(tmp_path / "0", tmp_path / "ws", ImportOptions(photos=tmp_path / "images"))


def table(folder: Path, *rows: str, columns: str = "path_a,path_b,label,split_a,split_b") -> Path:
    for seed, name in enumerate("abcdef"):
        photo(folder / f"{name}.png", seed)
    path = folder / "pairs.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def test_a_pair_of_a_copy_is_turned_with_it(tmp_path: Path) -> None:
    photo(tmp_path / "z.png", 0)  # the same as a.png
    columns = "path_a,path_b,label,overlap_ab,overlap_ba"
    source = table(tmp_path, "c.png,z.png,1,0.75,0.25", "a.png,z.png,1,,", columns=columns)
    pairset, _ = bring(source, tmp_path / "ws")
    (row,) = pairset.pairs.to_pylist()
    assert (row["a"], row["b"], row["overlap_ab"], row["overlap_ba"]) == (0, 1, 0.25, 0.75)


def test_splits_of_a_table_hold_also_without_places(tmp_path: Path) -> None:
    rows = ("a.png,b.png,1,train,train", "c.png,d.png,1,test,test", "e.png,f.png,1,val,val")
    pairset, _ = bring(table(tmp_path, *rows), tmp_path / "ws")
    assert pairset.photos["split"].to_pylist() == ["train"] * 2 + ["test"] * 2 + ["val"] * 2
    with pytest.raises(UserError, match="one place"):
        import_pairs(table(tmp_path, "a.png,b.png,1,train,test"), tmp_path / "other", ImportOptions())
    _, summary = bring(table(tmp_path, "a.png,b.png,1,train,"), tmp_path / "other")
    assert any("drawn anew" in note for note in summary.notes)


def test_an_empty_folder_is_no_place_for_a_table(tmp_path: Path) -> None:
    pairset, _ = bring(table(tmp_path, "a.png,b.png,1,,"), tmp_path / "ws")
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="name a new file"):
        export_pairs(pairset, tmp_path / "out", ExportOptions(to="csv"))


def test_one_photo_whose_letters_are_composed_in_two_ways(tmp_path: Path) -> None:
    composed, apart = "Caf\u00e9.png", "Cafe\u0301.png"
    for seed, name in enumerate((apart, "b.png", "c.png")):
        photo(tmp_path / "images" / name, seed)
    (tmp_path / "pairs.txt").write_text(f"{composed} b.png\n{apart} c.png\nb.png {apart}\n", encoding="utf-8")
    (tmp_path / "pairs.csv").write_text(f"path_a,path_b\n{composed},b.png\n{apart},c.png\n", encoding="utf-8")
    for source in ("pairs.txt", "pairs.csv"):
        pairset, summary = bring(tmp_path / source, tmp_path / f"ws-{source}", photos=tmp_path / "images")
        assert (summary.photos, summary.absent, summary.pairs["imported"]) == (3, 0, 2)
        assert all(path.is_file() or path.name == composed for path in pairset.photo_paths())


def test_names_longer_than_the_file_system_takes(tmp_path: Path) -> None:
    """Blanks as %20 make a name three times as long as it may be."""
    names = [f"{'a ' * 115}{number}.png" for number in range(3)]
    for seed, name in enumerate(names):
        photo(tmp_path / "images" / name, seed)
    (tmp_path / "pairs.csv").write_text(f"path_a,path_b\n{names[0]},{names[1]}\n{names[1]},{names[2]}\n")
    pairset, _ = bring(tmp_path / "pairs.csv", tmp_path / "ws", photos=tmp_path / "images")
    export_pairs(pairset, tmp_path / "out", ExportOptions(to="hloc"))
    assert len(list((tmp_path / "out/photos").iterdir())) == 3
    again, summary = bring(tmp_path / "out/pairs.txt", tmp_path / "again", photos=tmp_path / "images")
    assert summary.absent == 0
    assert similar(again) == similar(pairset) == {(names[0], names[1]), (names[1], names[2])}


def test_a_report_that_cannot_be_made_costs_no_import(tmp_path: Path, no_drawing: list[str]) -> None:
    source = tmp_path / "pairs.csv"
    for name in ("a", "b"):
        photo(tmp_path / f"{name}.jpg", ord(name))
    source.write_text("path_a,path_b,label\na.jpg,b.jpg,1\n")
    summary = import_pairs(source, tmp_path / "ws", ImportOptions())
    assert read_pairset(summary.pairs_folder).pairs.num_rows == 1
    assert summary.as_json()["report"] is None
    assert "Report" not in summary.as_text()
    assert len(no_drawing) == 1


def test_a_source_inside_of_the_pairs_that_it_replaces_is_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        photo(tmp_path / f"{name}.jpg", number)
    (tmp_path / "pairs.csv").write_text("path_a,path_b,label\na.jpg,b.jpg,1\n")
    bring(tmp_path / "pairs.csv", tmp_path / "ws")
    inside = tmp_path / "ws" / "pairs" / "mine.csv"
    inside.write_text("path_a,path_b,label\na.jpg,b.jpg,1\n")
    with pytest.raises(UserError, match=r"SOURCE .*mine.csv lies in .*pairs, which is replaced"):
        import_pairs(inside, tmp_path / "ws", ImportOptions(photos=tmp_path))
    assert inside.exists()


def test_an_import_with_the_drive_away_replaces_none(tmp_path: Path) -> None:
    source = database(tmp_path / "drive")
    before, _ = bring(source, tmp_path / "ws")
    (tmp_path / "drive" / "ims").rename(tmp_path / "unplugged")
    with pytest.raises(UserError, match=r"and 20 of them are away or unreadable, .* give --force"):
        import_pairs(source, tmp_path / "ws", ImportOptions())
    assert read_pairset(tmp_path / "ws" / "pairs").fingerprint == before.fingerprint
    _, summary = bring(source, tmp_path / "ws", force=True)
    assert summary.absent == 20


def test_a_photo_that_changed_is_not_exported_for_the_one_it_was(tmp_path: Path) -> None:
    pairset, _ = bring(database(tmp_path), tmp_path / "ws")
    changed = pairset.photo_paths()[0]
    photo(changed, 999)
    summary = export_pairs(pairset, tmp_path / "retrieval-SfM-out", ExportOptions(to="cirtorch", photos="copy"))
    assert any(note.startswith("1 photos are not on disk, or have changed") for note in summary.notes)
    assert changed.read_bytes() not in {path.read_bytes() for path in summary.out.rglob("*") if path.is_file()}
