"""The index: exact against a slow scan, ids that survive, nothing doubled, nothing mixed, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hashpipe.common.errors import UserError
from hashpipe.common.files import locked
from hashpipe.common.hamming import hamming
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, write_codes
from hashpipe.hashing.search import faiss_indexes as index_kinds
from hashpipe.hashing.search import index_files
from hashpipe.hashing.search.index import open_index, rows_of
from hashpipe.hashing.search.index_commands import add_to_index, build_index, index_info, remove_from_index
from hashpipe.hashing.search.index_options import IndexFolder, IndexOptions, RemoveOptions

KINDS = ("flat", "hnsw", "ivf", "mih")
FOLDER = IndexFolder()


def make(count: int, bits: int = 20, seed: int = 0, first: int = 0, root: str = "photos") -> CodeSet:
    """Clustered codes with many ties; photo i has id 3i and path `a/i é.jpg`."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(5).random((max(1, count // 15), bits)) < 0.5
    flags = centres[rng.integers(len(centres), size=count)] ^ (rng.random((count, bits)) < 0.1)
    names = range(first, first + count)
    return CodeSet(
        CodeSpace("model", bits, np.linspace(-1, 1, bits, dtype=np.float32)),
        np.array(names, np.int32) * 3,
        tuple(f"a/{name} é.jpg" for name in names),
        tuple(f"{name:064x}" for name in names),
        np.packbits(flags, axis=1, bitorder="little").reshape(count, -(-bits // 8)),
        rng.random(count).astype(np.float32),
        root,
    )


@pytest.fixture
def codes_file(tmp_path):
    def write(codeset: CodeSet, name: str = "codes.parquet") -> Path:
        write_codes(tmp_path / name, codeset)
        return tmp_path / name

    return write


@pytest.fixture
def workspace(tmp_path) -> Path:
    return tmp_path / "ws"


def slow(query: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distances = hamming(query, codes)
    order = np.lexsort((np.arange(len(codes)), distances))
    return distances[order], order


@pytest.mark.parametrize("count", [0, 1, 2, 400])
@pytest.mark.parametrize("bits", [4, 20, 64, 136])
def test_flat_is_the_slow_scan_with_ties_by_row(workspace, codes_file, count, bits):
    codeset = make(count, bits)
    build_index([codes_file(codeset)], workspace, IndexOptions())
    index = open_index(workspace / "index")
    assert len(index) == count
    queries = make(5, bits, seed=1).codes
    distances, rows = index.search(queries, 30)
    for query, near, found in zip(queries, distances, rows, strict=True):
        right, order = slow(query, codeset.codes)
        assert near[:count].tolist() == right[:30].tolist()
        assert found[:count].tolist() == order[:30].tolist()
        assert (found[count:] == -1).all()
        for radius in (0, 3, bits):
            inside, where = index.within(query, radius)
            assert inside.tolist() == right[right <= radius].tolist()
            assert where.tolist() == order[right <= radius].tolist()
    assert len(index.within(queries[0], -1)[0]) == 0


def test_rows_know_their_photo(workspace, codes_file):
    codeset = make(50)
    build_index([codes_file(codeset)], workspace, IndexOptions())
    index = open_index(workspace / "index")
    assert index.path(7) == Path("photos/a/7 é.jpg")
    assert (index.photo(7), index.sha256(7)) == (21, codeset.sha256[7])
    np.testing.assert_array_equal(index.codes, codeset.codes)
    assert rows_of(index, [21, 0, 22, 147]).tolist() == [7, 0, -1, 49]
    assert rows_of(index, []).tolist() == []


@pytest.mark.parametrize("kind", KINDS)
def test_adding_replaces_what_comes_again_and_keeps_ids(workspace, codes_file, kind):
    first, more = make(300), make(200, seed=1, first=250)
    build_index([codes_file(first)], workspace, IndexOptions(kind=kind))
    before = open_index(workspace / "index").revision
    result = add_to_index([codes_file(more, "more.parquet")], workspace, FOLDER)
    changed = int((more.codes[:50] != first.codes[250:]).any(axis=1).sum())
    assert (result.added, result.replaced, result.unchanged) == (150, changed, 50 - changed)
    index = open_index(workspace / "index")
    assert (len(index), index.kind) == (450, kind)
    assert index.revision != before
    assert [index.photo(row) for row in (0, 260, 449)] == [0, 780, 1347]
    np.testing.assert_array_equal(index.codes, np.concatenate([first.codes[:250], more.codes]))
    distances, rows = index.search(more.codes, 5)
    assert (distances[:, 0] == 0).mean() > 0.95
    for query, near, found in zip(more.codes, distances, rows, strict=True):
        assert hamming(query, index.codes[found[found >= 0]]).tolist() == near[found >= 0].tolist()


def test_adding_the_same_again_changes_nothing(workspace, codes_file):
    path = codes_file(make(40))
    build_index([path], workspace, IndexOptions())
    before = open_index(workspace / "index").revision
    result = add_to_index([path], workspace, FOLDER)
    assert (result.added, result.replaced, result.unchanged) == (0, 0, 40)
    assert open_index(workspace / "index").revision == before


@pytest.mark.parametrize("kind", KINDS)
def test_removed_photos_are_gone_and_their_ids_are_not_given_again(workspace, codes_file, kind):
    build_index([codes_file(make(200))], workspace, IndexOptions(kind=kind))
    result = remove_from_index(["photos/a/3 é.jpg", "photos/a/none.jpg"], workspace, RemoveOptions(ids=(597,)))
    assert (result.removed, result.not_found) == (2, ("photos/a/none.jpg",))
    index = open_index(workspace / "index")
    assert len(index) == 198
    assert [index.photo(row) for row in (2, 3, 197)] == [6, 12, 594]
    _, rows = index.search(index.codes[[10]], 198)
    assert set(rows[0].tolist()) <= {*range(198), -1}
    other = replace(make(1, first=900), photos=np.array([597], np.int32))
    add_to_index([codes_file(other, "other.parquet")], workspace, FOLDER)
    assert open_index(workspace / "index").photo(198) == 598


def test_remove_by_folder_absolute_path_and_missing_file(workspace, codes_file, tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    for name in ("a/0 é.jpg", "a/1 é.jpg", "a/2 é.jpg"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(b"x")
    build_index([codes_file(make(3, root=str(photos)))], workspace, IndexOptions())
    monkeypatch.chdir(photos)
    assert remove_from_index(["a/0 é.jpg"], workspace, RemoveOptions()).removed == 1
    (photos / "a/1 é.jpg").unlink()
    assert remove_from_index([], workspace, RemoveOptions(missing=True)).removed == 1
    assert open_index(workspace / "index").path(0) == photos / "a/2 é.jpg"
    assert remove_from_index([str(tmp_path)], workspace, RemoveOptions()).removed == 1
    index = open_index(workspace / "index")
    assert len(index) == 0
    assert index.search(make(1).codes, 2)[1].tolist() == [[-1, -1]]
    with pytest.raises(UserError, match="Nothing was removed"):
        remove_from_index(["a/0 é.jpg"], workspace, RemoveOptions())
    with pytest.raises(UserError, match="Nothing to remove was named"):
        remove_from_index([], workspace, RemoveOptions())


def test_shards_make_one_index_and_collections_with_equal_ids_get_new_ones(workspace, codes_file):
    whole = make(90)
    shards = [codes_file(whole.rows(range(part, 90, 3)), f"{part}.parquet") for part in range(3)]
    build_index(shards, workspace, IndexOptions())
    index = open_index(workspace / "index")
    assert sorted(index.photo(row) for row in range(90)) == whole.photos.tolist()
    another = codes_file(replace(whole, root="elsewhere"), "another.parquet")
    build_index([*shards, another, shards[0]], workspace, IndexOptions())
    index = open_index(workspace / "index")
    assert sorted(index.photo(row) for row in range(180)) == list(range(180))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_recall_is_measured_and_stored(workspace, codes_file, kind):
    result = build_index([codes_file(make(600, 64))], workspace, IndexOptions(kind=kind, recall_sample=50))
    said = result.as_json()
    assert (said["queries"], said["k"]) == (50, 10)
    index = open_index(workspace / "index")
    chosen = np.sort(np.random.default_rng(0).permutation(600)[:50])
    hits = 0
    for row in chosen:
        near, found = index.search(index.codes[[row]], 11)
        limit = np.sort(hamming(index.codes[row], index.codes))[10]
        hits += min(10, sum(r not in (-1, row) and d <= limit for d, r in zip(near[0], found[0], strict=True)))
    assert said["recall"] == pytest.approx(hits / 500, abs=1e-4)
    assert f"recall@10 {said['recall']:.3f} against flat" in result.as_text()


def test_a_poor_structure_is_measured_as_poor():
    codes = make(2000, 64).codes
    index = index_kinds.build("ivf", {"lists": 200, "probes": 1}, codes)
    found = index_kinds.recall(lambda queries, k: index_kinds.padded(index.search, 2000, queries, k), codes, 100)
    assert 0.05 < found["recall"] < 0.95


def test_multi_index_hashing_misses_nothing_within_its_sure_radius():
    codes = make(3000, 64, seed=3).codes
    numbers = {"key_bits": 16, "tables": 4, "flips": 1}
    index = index_kinds.build("mih", numbers, codes)
    sure = index_kinds.sure_radius("mih", numbers)
    assert sure == 7
    for query in codes[::300]:
        _, rows = index_kinds.padded(index.search, 3000, query[None], 3000)
        near = hamming(query, codes)
        assert set(np.flatnonzero(near <= sure).tolist()) <= set(rows[0].tolist())


def test_an_approximate_index_needs_codes(workspace, codes_file):
    for kind in KINDS[1:]:
        with pytest.raises(UserError, match="index cannot be empty; add photos or use --kind flat"):
            build_index([codes_file(make(0))], workspace, IndexOptions(kind=kind))
    for kind in ("hnsw", "ivf"):
        build_index([codes_file(make(1))], workspace, IndexOptions(kind=kind))
        assert open_index(workspace / "index").search(make(1).codes, 2)[1].tolist() == [[0, -1]]


def test_an_index_that_faiss_would_not_read_back_is_not_written(workspace, codes_file):
    alike = replace(make(4, 64), codes=np.zeros((4, 8), np.uint8))
    build_index([codes_file(make(30, 64))], workspace, IndexOptions())
    with pytest.raises(UserError, match="too few or too alike; use --kind flat"):
        build_index([codes_file(alike)], workspace, IndexOptions(kind="mih"))
    assert len(open_index(workspace / "index")) == 30


@pytest.mark.parametrize("change", ["model", "bits", "thresholds"])
def test_codes_of_other_spaces_do_not_mix(workspace, codes_file, change):
    codeset = make(10)
    space = codeset.space
    other = {
        "model": replace(codeset, space=replace(space, model="another")),
        "bits": make(10, 16),
        "thresholds": replace(codeset, space=replace(space, thresholds=space.thresholds + 1)),
    }[change]
    first, second = codes_file(codeset), codes_file(other, "other.parquet")
    with pytest.raises(UserError, match=r"codes.parquet and .*other.parquet cannot be compared"):
        build_index([first, second], workspace, IndexOptions())
    build_index([first], workspace, IndexOptions())
    before = open_index(workspace / "index").revision
    with pytest.raises(UserError, match="cannot be compared"):
        add_to_index([second], workspace, FOLDER)
    assert open_index(workspace / "index").revision == before


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_cut_off_changed_and_missing_files_are_noticed(workspace, codes_file, kind):
    folder = workspace / "index"
    for part in ("codes", "photos", *(["faiss"] if kind != "flat" else [])):
        build_index([codes_file(make(200))], workspace, IndexOptions(kind=kind))
        path = index_files.read(folder).file(part)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UserError, match=f"{path.name} is cut off"):
            open_index(folder)
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        with pytest.raises(UserError, match="has changed since it was written"):
            index_info(workspace, FOLDER)
        path.unlink()
        with pytest.raises(UserError, match=f"{path.name} is missing"):
            open_index(folder)
    (folder / "index.json").write_text('{"index_version": 1}')
    with pytest.raises(UserError, match="not a complete index"):
        open_index(folder)
    (folder / "index.json").write_text('{"index_version": 99}')
    with pytest.raises(UserError, match="version 99"):
        open_index(folder)
    (folder / "index.json").unlink()
    with pytest.raises(UserError, match="holds no index"):
        open_index(folder)


@pytest.mark.parametrize("at", ["codes", "photos", "index"])
def test_a_writer_killed_at_any_file_leaves_the_old_index(workspace, codes_file, at):
    build_index([codes_file(make(30))], workspace, IndexOptions())
    before = open_index(workspace / "index").revision
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from hashpipe.hashing.search.index_commands import add_to_index\n"
        "from hashpipe.hashing.search.index_options import IndexFolder\n"
        "replace = Path.replace\n"
        "def killed(self, target):\n"
        f"    if Path(target).name.startswith({at!r}):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return replace(self, target)\n"
        "Path.replace = killed\n"
        "add_to_index([Path(sys.argv[1])], Path(sys.argv[2]), IndexFolder())\n"
    )
    more = codes_file(make(30, first=100), "more.parquet")
    done = subprocess.run([sys.executable, "-c", script, more, workspace], env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    index = open_index(workspace / "index")
    assert (len(index), index.revision) == (30, before)
    assert add_to_index([more], workspace, FOLDER).added == 30
    assert len(open_index(workspace / "index")) == 60
    names = {path.name.split("-")[0] for path in (workspace / "index").iterdir()}
    assert len(list((workspace / "index").iterdir())) == 4, names  # what the killed one left is gone


def test_a_reader_keeps_what_it_opened_and_a_second_writer_is_refused(workspace, codes_file):
    path = codes_file(make(30))
    build_index([path], workspace, IndexOptions())
    opened = open_index(workspace / "index")
    add_to_index([codes_file(make(30, first=100), "more.parquet")], workspace, FOLDER)
    assert len(opened) == 30
    assert opened.path(29) == Path("photos/a/29 é.jpg")
    with locked(workspace / "index"):
        for command in (
            lambda: build_index([path], workspace, IndexOptions()),
            lambda: add_to_index([path], workspace, FOLDER),
            lambda: remove_from_index(["photos"], workspace, RemoveOptions()),
        ):
            with pytest.raises(UserError, match="in use by another"):
                command()
        assert len(open_index(workspace / "index")) == 60  # readers need no lock


def test_a_reader_between_two_writes_tries_again(workspace, codes_file, monkeypatch):
    """index.json was read, then a writer replaced it and removed the files that it named."""
    build_index([codes_file(make(30))], workspace, IndexOptions())
    stale = index_files.read_meta(workspace / "index")
    add_to_index([codes_file(make(30, first=100), "more.parquet")], workspace, FOLDER)
    read_meta, answers = index_files.read_meta, [stale]
    monkeypatch.setattr(index_files, "read_meta", lambda folder: answers.pop() if answers else read_meta(folder))
    assert len(open_index(workspace / "index")) == 60


def test_a_path_whose_letters_are_composed_otherwise_is_the_same_photo(workspace, codes_file):
    composed = make(8, root="/p")
    apart = replace(composed, paths=tuple(path.replace("\u00e9", "e\u0301") for path in composed.paths))
    assert apart.paths != composed.paths
    build_index([codes_file(composed)], workspace, IndexOptions())
    again = add_to_index([codes_file(apart)], workspace, FOLDER)
    assert (again.unchanged, again.added) == (8, 0)
    assert remove_from_index(["/p/a/3 e\u0301.jpg"], workspace, RemoveOptions()).removed == 1
    both = replace(composed, paths=(*composed.paths[:7], composed.paths[0].replace("\u00e9", "e\u0301")))
    assert build_index([codes_file(both)], workspace, IndexOptions()).added == 8  # two files of one folder are two
    assert remove_from_index(["/p/a/0 \u00e9.jpg"], workspace, RemoveOptions()).removed == 1


@pytest.mark.parametrize("gone", [4, 6])
def test_a_drive_that_is_away_empties_no_index(workspace, codes_file, tmp_path, gone):
    """4 of 6 photos, or the whole folder: absence of everything is not deletion of everything."""
    build_index([codes_file(make(6, root=str(tmp_path / "photos")))], workspace, IndexOptions())
    (tmp_path / "photos" / "a").mkdir(parents=True)
    for number in range(gone, 6):
        (tmp_path / "photos" / "a" / f"{number} é.jpg").write_bytes(b"x")
    said = "4 of the 6 photos .* are away" if gone == 4 else "All 6 photos .* are away"
    with pytest.raises(UserError, match=f"{said}.* give --force to remove"):
        remove_from_index([], workspace, RemoveOptions(missing=True))
    assert len(open_index(workspace / "index")) == 6
    assert remove_from_index(["photos", "a/0 é.jpg"], workspace, RemoveOptions(ids=(0,))).removed == 1  # as named
    removed = remove_from_index([], workspace, RemoveOptions(missing=True, force=True)).removed
    assert removed == gone - 1


def test_one_of_two_drives_is_away(workspace, codes_file, tmp_path):
    """Less than half of all photos, but all of their folder."""
    for name, count in (("one", 5), ("two", 2)):
        (tmp_path / name / "a").mkdir(parents=True)
        for number in range(count):
            (tmp_path / name / "a" / f"{number} é.jpg").write_bytes(b"x")
    shards = [codes_file(make(n, root=str(tmp_path / name)), f"{name}.parquet") for name, n in (("one", 5), ("two", 2))]
    build_index(shards, workspace, IndexOptions())
    (tmp_path / "two").rename(tmp_path / "unplugged")
    with pytest.raises(UserError, match=r"All 2 photos .*two are away"):
        remove_from_index([], workspace, RemoveOptions(missing=True))
    (tmp_path / "unplugged").rename(tmp_path / "two")
    (tmp_path / "two" / "a" / "0 é.jpg").unlink()
    assert remove_from_index([], workspace, RemoveOptions(missing=True)).removed == 1
