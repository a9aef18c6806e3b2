"""Search: the nearest first, what cannot be read is skipped, radius and k, re-ranking, the page."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import network_model, workspace_with, write_pictures

from hashpipe.common.errors import UserError
from hashpipe.common.hamming import hamming
from hashpipe.hashing.calibration.calibration import Calibration, write_calibration
from hashpipe.hashing.codes.codes_file import CodeSpace, read_codes, write_codes
from hashpipe.hashing.data.images import from_paths
from hashpipe.hashing.encoding.encode import encode, open_encoder
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.search import search as searching
from hashpipe.hashing.search.geometric import verified_first
from hashpipe.hashing.search.index import open_index, own_first
from hashpipe.hashing.search.index_commands import build_index, remove_from_index
from hashpipe.hashing.search.index_options import IndexOptions, RemoveOptions
from hashpipe.hashing.search.options import SearchOptions
from hashpipe.hashing.search.rerank import asymmetric
from hashpipe.hashing.search.search import search

PHOTOS = 24


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "photos of é", PHOTOS)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, pictures) -> Path:
    folder = tmp_path_factory.mktemp("work")
    made = workspace_with(folder / "ws", network_model(folder / "network" / "model"))
    encode(pictures, made, EncodeOptions(runtime="torch", bits=16))
    build_index([], made, IndexOptions())
    return made


def options(**more) -> SearchOptions:
    return SearchOptions(runtime="torch", **more)


def calibration(space: CodeSpace, radius: int) -> Calibration:
    rates = tuple(np.linspace(0, 1, space.bits + 1).tolist())
    return Calibration(
        space.model, space.fingerprint, space.bits, 0.01, radius, True, rates, rates, rates, rates, rates, rates, rates,
        (), PHOTOS, 1.0, "pairs", {},
    )  # fmt: skip


def test_a_photo_finds_itself_and_then_what_a_scan_of_the_codes_finds(workspace, pictures):
    codeset = read_codes(workspace / "codes.parquet")
    result = search([str(pictures / "005.png")], workspace, options(k=7))
    near = hamming(codeset.codes[5], codeset.codes)
    order = np.lexsort((np.arange(PHOTOS), near))[:7]
    (hits,) = result.hits
    assert [hit.path for hit in hits] == [str(pictures / f"{row:03d}.png") for row in order]
    assert [hit.distance for hit in hits] == near[order].tolist()
    assert [hit.photo for hit in hits] == codeset.photos[order].tolist()
    assert result.as_text().splitlines() == [f"{hit.distance}  {hit.path}" for hit in hits]
    assert result.rule == {"radius": None, "k": 7, "source": "-k"}
    assert set(result.seconds) == {"index", "model", "encode", "search"}


def test_several_queries_and_unreadable_ones(workspace, pictures, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"not a photo")
    queries = [str(pictures / "001.png"), str(tmp_path / "broken.jpg"), str(pictures / "002.png"), "none.jpg"]
    result = search(queries, workspace, options(k=2))
    assert result.queries == (queries[0], queries[2])
    assert [name for name, _ in result.skipped] == [queries[1], "none.jpg"]
    lines = result.as_text().splitlines()
    assert (lines[0], lines[3], len(lines)) == (f"# {queries[0]}", f"# {queries[2]}", 6)
    assert lines[1] == f"0  {queries[0]}"
    said = json.loads(json.dumps(result.as_json()))
    assert [one["query"] for one in said["queries"]] == list(result.queries)
    assert said["skipped"][0] == {"query": queries[1], "reason": "not a photo in a known format"}
    with pytest.raises(UserError, match=r"broken.jpg cannot be read: not a photo .*other 1"):
        search([queries[1], queries[3]], workspace, options())
    with pytest.raises(UserError, match="No photo to search for"):
        search([], workspace, options())


def test_radius_and_k(workspace, pictures):
    query = [str(pictures / "003.png")]
    everything = search(query, workspace, options(radius=16)).hits[0]
    assert len(everything) == PHOTOS
    middle = everything[10].distance
    inside = search(query, workspace, options(radius=middle)).hits[0]
    assert inside == tuple(hit for hit in everything if hit.distance <= middle)
    assert search(query, workspace, options(radius=middle, k=3)).hits[0] == everything[:3]
    assert search(query, workspace, options(k=1000)).hits[0] == everything
    assert search(query, workspace, options(radius=0)).hits[0][0].path == query[0]
    with pytest.raises(UserError, match="--radius 17 is beyond the 16 bits"):
        search(query, workspace, options(radius=17))


def test_the_calibrated_radius_is_the_default_and_k_wins(workspace, pictures, tmp_path):
    query = [str(pictures / "003.png")]
    space = open_index(workspace / "index").space
    assert search(query, workspace, options()).rule == {"radius": None, "k": 10, "source": "default"}
    try:
        write_calibration(workspace, calibration(space, 5))
        result = search(query, workspace, options())
        assert result.rule == {"radius": 5, "k": None, "source": "calibration"}
        assert result.hits == search(query, workspace, options(radius=5)).hits
        assert search(query, workspace, options(k=4)).rule["radius"] is None
        write_calibration(workspace, calibration(replace(space, model="another"), 5))
        assert search(query, workspace, options()).rule["source"] == "default"
    finally:
        (workspace / "calibration.json").unlink()


def test_asymmetric_distance_is_the_inner_product_in_disguise():
    rng = np.random.default_rng(0)
    space = CodeSpace("m", 20, rng.normal(size=20).astype(np.float32))
    u = rng.normal(size=20)
    bits = rng.random((50, 20)) < 0.5
    codes = np.packbits(bits, axis=1, bitorder="little")
    code = np.packbits(u >= space.thresholds, bitorder="little")
    found = asymmetric(u, code, codes, space)
    slow = []
    for one in bits:
        different = [abs(u[i] - space.thresholds[i]) for i in range(20) if one[i] != (u[i] >= space.thresholds[i])]
        slow.append(sum(different) / np.mean(np.abs(u - space.thresholds)))
    np.testing.assert_allclose(found, slow)
    inner = (2.0 * bits - 1) @ (u - space.thresholds)
    assert np.argsort(found, kind="stable").tolist() == np.argsort(-inner.round(9), kind="stable").tolist()
    flat = asymmetric(np.sign(u - space.thresholds) + space.thresholds, code, codes, space)
    np.testing.assert_allclose(flat, hamming(code, codes), rtol=1e-5)


def test_rerank_orders_candidates_by_asymmetric_distance(workspace, pictures):
    query = pictures / "004.png"
    encoder = open_encoder(workspace / "model", bits=16, runtime="torch")
    u = encoder.outputs(from_paths([query])).u
    codes = read_codes(workspace / "codes.parquet").codes
    right = asymmetric(u[0], encoder.codes(u)[0], codes, encoder.space)
    hits = search([str(query)], workspace, options(k=6, rerank=True)).hits[0]
    assert [hit.photo for hit in hits] == np.argsort(right, kind="stable")[:6].tolist()
    np.testing.assert_allclose([hit.asymmetric for hit in hits], np.sort(right)[:6], rtol=1e-6)
    assert hits[1].line() == f"{hits[1].asymmetric:.2f}  {hits[1].path}"
    inside = search([str(query)], workspace, options(radius=8, rerank=True)).hits[0]
    assert {hit.photo for hit in inside} == {
        hit.photo for hit in search([str(query)], workspace, options(radius=8)).hits[0]
    }


def test_codes_of_another_model_or_none_at_all_are_refused(workspace, pictures, tmp_path):
    query = [str(pictures / "000.png")]
    other = network_model(tmp_path / "other" / "model", seed=5)
    with pytest.raises(UserError, match=r"cannot be compared: models"):
        search(query, workspace, options(model=other))
    with pytest.raises(UserError, match="holds no index"):
        search(query, workspace, options(index=tmp_path / "none"))
    with pytest.raises(UserError, match="is not a hashpipe workspace"):
        search(query, tmp_path / "none", options())
    with pytest.raises(UserError, match="--rerank needs"):
        SearchOptions(rerank=True, postgres="dbname=x")


def test_thresholds_of_the_index_are_those_of_the_query(workspace, pictures, tmp_path):
    """Codes that were centred on the collection are searched with the thresholds that they were made with."""
    codeset = read_codes(workspace / "codes.parquet")
    encoder = open_encoder(workspace / "model", bits=16, runtime="torch", thresholds=codeset.space.thresholds + 0.01)
    u = encoder.outputs(from_paths([codeset.path(row) for row in range(PHOTOS)])).u
    write_codes(tmp_path / "moved.parquet", replace(codeset, space=encoder.space, codes=encoder.codes(u)))
    build_index([tmp_path / "moved.parquet"], workspace, IndexOptions(index=tmp_path / "index"))
    hit = search([str(pictures / "009.png")], workspace, options(k=1, index=tmp_path / "index")).hits[0][0]
    assert (hit.distance, hit.path) == (0, str(pictures / "009.png"))


def test_nothing_within_the_radius_is_said(workspace, pictures, tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr("hashpipe.hashing.search.search.say", said.append)
    monkeypatch.setattr("hashpipe.hashing.search.queries.say", said.append)
    build_index([], workspace, IndexOptions(index=tmp_path / "index"))
    same = [hit.path for hit in search([str(pictures / "007.png")], workspace, options(radius=0)).hits[0]]
    remove_from_index(same, workspace, RemoveOptions(index=tmp_path / "index"))
    result = search([str(pictures / "007.png")], workspace, options(radius=0, index=tmp_path / "index"))
    assert result.as_text() == ""
    assert "nothing within radius 0; the nearest is at" in said[0]
    Image.new("RGB", (64, 64)).save(tmp_path / "flat.png")
    search([str(tmp_path / "flat.png")], workspace, options(k=1))
    assert "flat or tiny" in said[1]


def test_the_page_holds_its_pictures_and_is_opened(workspace, pictures, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(opened.append(address)) or True)
    result = search([str(pictures / "001.png")], workspace, options(k=3, open=True))
    page = (workspace / "search.html").read_text(encoding="utf-8")
    assert result.page == workspace / "search.html"
    assert opened == [(workspace / "search.html").as_uri()]
    assert page.count("data:image/jpeg;base64,") == 4
    assert "photos of é/001.png" in page
    assert "http" not in page.replace("https://", "http").split("</style>")[1]


def test_a_page_that_cannot_be_made_costs_no_hits(workspace, pictures, no_drawing):
    result = search([str(pictures / "001.png")], workspace, options(k=3, open=True))
    assert len(result.hits[0]) == 3
    assert result.page is None
    assert len(no_drawing) == 1


def test_a_hit_that_has_changed_is_not_shown_as_it_was(workspace, pictures, tmp_path, monkeypatch):
    """The page has no picture of it; the query's own picture is there."""
    shutil.copytree(pictures, tmp_path / "photos")
    shutil.copytree(workspace, tmp_path / "ws")
    encode(tmp_path / "photos", tmp_path / "ws", EncodeOptions(runtime="torch"))
    build_index([], tmp_path / "ws", IndexOptions())
    (tmp_path / "photos" / "002.png").write_bytes((pictures / "003.png").read_bytes())
    monkeypatch.setattr("webbrowser.open", lambda address: True)
    search([str(pictures / "001.png")], tmp_path / "ws", options(k=50, open=True))
    page = (tmp_path / "ws" / "search.html").read_text(encoding="utf-8")
    count = len(list(pictures.glob("*.png")))
    assert page.count("data:image/jpeg;base64,") == count  # of the query and of all hits but one


def test_verified_hits_come_first():
    assert verified_first(np.array([0, 20, -1, 100, 14])).tolist() == [3, 1, 0, 2, 4]
    assert verified_first(np.array([], np.int32)).tolist() == []


def test_verify_counts_inliers_of_a_photo_from_elsewhere(rendered_photos, tmp_path):
    """Photos of one rendered place verify, those of another do not, a copy agrees in all its features."""
    from hashpipe.hashing.search.geometric import MIN_INLIERS, inliers

    place = rendered_photos.truth.place
    first, second = ([rendered_photos.folder / name for name in sorted(place) if place[name] == one] for one in (0, 1))
    copy = tmp_path / "elsewhere.png"
    copy.write_bytes(first[0].read_bytes())
    (tmp_path / "broken.jpg").write_bytes(b"x")
    found = inliers(copy, [first[0], first[1], second[0], tmp_path / "broken.jpg"], tmp_path / "ws")
    assert found[0] > found[1] >= MIN_INLIERS
    assert found[2] < MIN_INLIERS
    assert found[3] == -1
    again = inliers(copy, [second[0], first[1]], tmp_path / "ws")
    assert again.tolist() == [found[2], found[1]]


@pytest.fixture(scope="module")
def tied(tmp_path_factory, workspace, pictures) -> Path:
    """A workspace whose index says that photos 3 to 9 have one code, another one than the encoder gives them."""
    folder = tmp_path_factory.mktemp("tied") / "ws"
    made = workspace_with(folder, workspace / "model")
    codeset = read_codes(workspace / "codes.parquet")
    codes = codeset.codes.copy()
    codes[3:10] = codes[3] ^ 0b101
    write_codes(made / "codes.parquet", replace(codeset, codes=codes))
    build_index([], made, IndexOptions())
    return made


@pytest.mark.parametrize("more", [{"k": 1}, {"k": 5}, {"radius": 0}, {"radius": 4, "k": 2}, {"k": 3, "rerank": True}])
def test_a_photo_of_the_index_comes_first_at_distance_0_among_equal_codes(tied, pictures, more):
    queries = [str(pictures / f"{number:03d}.png") for number in range(PHOTOS)]
    for query, hits in zip(queries, search(queries, tied, options(**more)).hits, strict=True):
        assert (hits[0].path, hits[0].distance) == (query, 0)
        assert len({hit.path for hit in hits}) == len(hits)
        assert len(hits) <= more.get("k", PHOTOS)


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_a_photo_of_an_approximate_index_is_found_even_where_the_index_misses_it(tied, pictures, kind, monkeypatch):
    build_index([], tied, IndexOptions(kind=kind, index=tied / kind))
    monkeypatch.setattr("hashpipe.hashing.search.faiss_indexes.load", lambda path: type("No", (), {"search": _nothing}))
    hits = search([str(pictures / "007.png")], tied, options(k=2, index=tied / kind)).hits[0]
    assert [(hit.path, hit.distance) for hit in hits] == [(str(pictures / "007.png"), 0)]


def _nothing(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((len(queries), k), np.int32), np.full((len(queries), k), -1, np.int64)


def test_of_two_files_with_the_same_content_the_one_at_the_path_comes_first(tmp_path, workspace, pictures):
    folder = write_pictures(tmp_path / "photos", 3)
    (folder / "b.png").write_bytes((folder / "001.png").read_bytes())
    made = workspace_with(tmp_path / "ws", workspace / "model")
    encode(folder, made, EncodeOptions(runtime="torch", bits=16))
    build_index([], made, IndexOptions())
    for name in ("001.png", "b.png"):
        assert search([str(folder / name)], made, options(k=1)).hits[0][0].path == str(folder / name)


def test_own_first_keeps_what_else_was_found():
    distances, rows = np.array([0, 2, 2, 5], np.int32), np.array([4, 1, 6, 0])
    for own, distance, limit, wanted in (
        (6, 2, None, [(0, 4), (2, 6), (2, 1), (5, 0)]),
        (9, 2, 4, [(0, 4), (2, 9), (2, 1), (2, 6)]),
        (9, 5, 4, [(0, 4), (2, 1), (2, 6), (5, 9)]),
        (9, 7, 4, [(0, 4), (2, 1), (2, 6), (5, 0)]),
        (9, 0, 1, [(0, 9)]),
    ):
        found = own_first(distances, rows, own, distance, limit)
        assert list(zip(*(one.tolist() for one in found), strict=True)) == wanted


def test_a_photo_of_the_index_is_named_by_the_end_of_its_path_and_needs_no_network(tied, pictures, monkeypatch):
    """Photos 3 to 9 have one code; the one that was named comes first. Nothing is encoded, and no model is read."""
    said: list[str] = []
    monkeypatch.setattr("hashpipe.hashing.search.queries.say", said.append)
    monkeypatch.setattr(searching, "open_encoder", lambda *all, **more: pytest.fail("a network was loaded"))
    for name in ("007.png", "./007.png", "photos of é/007.png", str(pictures / "007.png")):
        result = search([name], tied, options(k=3))
        assert (result.hits[0][0].path, result.hits[0][0].distance) == (str(pictures / "007.png"), 0)
        assert [hit.distance for hit in result.hits[0]] == [0, 0, 0]
    assert result.queries == (str(pictures / "007.png"),)
    assert said[0] == f"007.png is {pictures / '007.png'} of the index"
    for name, reason in (("07.png", "no path of a photo"), ("é/008.png", "no path"), ("nowhere.jpg", "no such file")):
        with pytest.raises(UserError, match=reason):
            search([name], tied, options(k=3))


def test_the_end_of_several_paths_is_refused_with_some_of_them(tmp_path, workspace, pictures):
    for folder in ("a", "b"):
        write_pictures(tmp_path / "photos" / folder, 1)
        (tmp_path / "photos" / folder / "000.png").rename(tmp_path / "photos" / folder / "same.png")
    made = workspace_with(tmp_path / "ws", workspace / "model")
    encode(tmp_path / "photos", made, EncodeOptions(runtime="torch", bits=16))
    build_index([], made, IndexOptions())
    with pytest.raises(UserError, match=r"end of 2 paths in the index \(.*a/same.png, .*b/same.png\); give more"):
        search(["same.png"], made, options(k=1))
    assert search(["b/same.png"], made, options(k=1)).hits[0][0].path.endswith("b/same.png")
