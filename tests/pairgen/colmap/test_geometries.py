"""Verified geometries belong to a seed: another seed sets them aside, and nothing of one gets into the other."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.colmap.database import matched_pairs
from hashpipe.pairgen.colmap.geometries import UNKNOWN, geometries_of, key_in_use, use_geometries
from hashpipe.pairgen.matching.extract import photo_vlads
from hashpipe.pairgen.matching.matching_rounds import Matches, match_photos
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs import verify
from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.pairs.verify import verify_pairs
from hashpipe.pairgen.photos.metadata import describe
from hashpipe.pairgen.summary import BuildSummary

if TYPE_CHECKING:  # several folders have a conftest, so the name must not be imported when tests run
    from conftest import RenderedPhotos

NAMES = [f"photo{number}" for number in range(4)]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.db"
    generator = np.random.default_rng(0)
    with adapter.FeatureDatabase(path) as database:
        for name in NAMES:
            keypoints = generator.uniform(0, 100, (20, 4)).astype(np.float32)
            database.add_photo(name, (100, 80), 0.0, keypoints, generator.integers(0, 255, (20, 128)).astype(np.uint8))
    return path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Closed at the end: COLMAP brings an SQLite of its own, and two in one process do not see each other's locks."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        yield database


def put(path: Path, inliers: dict[tuple[int, int], int]) -> None:
    """As COLMAP would: matches once, a geometry where there is none."""
    with adapter.FeatureDatabase(path) as database:
        ids = [database.ids[name] for name in NAMES]
    with opened(path) as rows:
        for (a, b), number in inliers.items():
            pair = ids[a] * 2_147_483_647 + ids[b]
            rows.execute("INSERT OR IGNORE INTO matches VALUES (?, 40, 2, NULL)", (pair,))
            rows.execute(
                "INSERT INTO two_view_geometries (pair_id, rows, cols, config, F) VALUES (?, ?, 2, 2, ?)",
                (pair, number, bytes([number])),
            )


def kept(path: Path) -> list[tuple]:
    with opened(path) as rows:
        return sorted(rows.execute("SELECT * FROM two_view_geometries"))


def test_each_key_has_its_own_geometries_and_gets_them_back(small: Path) -> None:
    assert key_in_use(small) is None
    assert use_geometries(small, "seed 0") == 0
    put(small, {(0, 1): 20, (0, 2): 0})
    first = kept(small)
    assert use_geometries(small, "seed 0") == 0
    assert kept(small) == first
    assert use_geometries(small, "seed 1") == 0
    assert (key_in_use(small), kept(small), geometries_of(small, "seed 0")) == ("seed 1", [], {})
    put(small, {(0, 1): 30, (2, 3): 25})
    second = kept(small)
    use_geometries(small, "seed 0")
    assert kept(small) == first
    assert geometries_of(small, "seed 0") == {("photo0", "photo1"): (40, 20), ("photo0", "photo2"): (40, 0)}
    use_geometries(small, "seed 1")
    assert kept(small) == second
    with adapter.FeatureDatabase(small) as database:  # COLMAP does not mind what stands beside
        assert sorted(database.ids) == NAMES


def test_geometries_of_an_unknown_seed_are_nobodys(small: Path) -> None:
    put(small, {(0, 1): 20, (1, 2): 18})
    assert key_in_use(small) == UNKNOWN
    assert len(geometries_of(small, "seed 0")) == 2  # to look at, as long as no build says otherwise
    assert use_geometries(small, "seed 0") == 2
    assert matched_pairs(small) == {}
    with opened(small) as rows:
        assert rows.execute("SELECT count(*) FROM matches").fetchone() == (2,)
    use_geometries(small, "seed 1")
    assert use_geometries(small, "seed 0") == 0
    assert matched_pairs(small) == {}


def test_an_exchange_that_breaks_off_leaves_all_as_it_was(small: Path) -> None:
    use_geometries(small, "seed 0")
    put(small, {(0, 1): 20})
    before = kept(small)
    with opened(small) as rows:
        rows.execute(
            "CREATE TRIGGER full BEFORE INSERT ON hashpipe_geometries_in_use BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(sqlite3.Error, match="full"):
        use_geometries(small, "seed 1")
    assert (key_in_use(small), kept(small)) == ("seed 0", before)


def workspace_copy(built: tuple[Path, BuildSummary], target: Path, spoil: str = "") -> Path:
    """The pairs folder of a copy of the finished workspace, after some SQL."""
    shutil.copytree(built[0], target)
    with opened(target / "pairs" / "database.db") as rows:
        rows.executescript(spoil)
    return target / "pairs"


def matched(photos: Path, folder: Path, options: BuildOptions) -> Matches:
    """The matching of a build."""
    pairset = read_pairset(folder)
    usable = [row["path"] for row in pairset.photos.to_pylist() if row["status"] == "ok"]
    files = [describe(photos, path) for path in usable]
    return match_photos(folder, files, photo_vlads(folder, [file.sha256 for file in files], options), options)


def table(matches: Matches) -> list[tuple[int, ...]]:
    return list(zip(*(getattr(matches, name).tolist() for name in ("a", "b", "matches", "inliers")), strict=True))


ANEW = "DELETE FROM two_view_geometries; DELETE FROM matches; "
EARLIER = "DROP TABLE hashpipe_geometries_in_use;"


def test_matching_with_another_seed_equals_a_fresh_start(
    rendered_photos: RenderedPhotos,
    built: tuple[Path, BuildSummary],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Few pairs, for the test to be quick: neighbours only.
    options = BuildOptions(seed=0, exhaustive_below=0, neighbours=2, outside_neighbours=0, max_partners=1)
    other = replace(options, seed=1)
    folder = workspace_copy(built, tmp_path / "rebuilt")
    first = table(matched(rendered_photos.folder, folder, options))
    second = table(matched(rendered_photos.folder, folder, other))
    fresh = workspace_copy(built, tmp_path / "fresh", ANEW + EARLIER)
    again = matched(rendered_photos.folder, fresh, other)
    assert second == table(again)
    assert second != first  # else the test could not fail
    assert again.verified_again == 0
    earlier = matched(rendered_photos.folder, workspace_copy(built, tmp_path / "earlier", EARLIER), other)
    assert table(earlier) == second
    assert earlier.verified_again == built[1].matched_pairs
    monkeypatch.setattr(adapter, "match_pairs", None)  # nothing is left to do
    assert table(matched(rendered_photos.folder, folder, options)) == first
    assert table(matched(rendered_photos.folder, folder, other)) == second


def test_pairs_verified_on_demand_equal_those_of_the_build(
    built: tuple[Path, BuildSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To COLMAP the order of two photos makes a difference, so the door keeps to that of the build."""
    pairset = read_pairset(workspace_copy(built, tmp_path / "ws", ANEW))
    a, b, inliers = (pairset.pair_column(name) for name in ("a", "b", "inliers"))
    chosen = np.flatnonzero(inliers >= 15)[::2]
    assert len(chosen) >= 10
    given: list[tuple[str, str]] = []
    whole = verify.match_pairs

    def noted(path: Path, pairs: list[tuple[str, str]], options: BuildOptions) -> None:
        given.extend(pairs)
        whole(path, pairs, options)

    monkeypatch.setattr(verify, "match_pairs", noted)
    found = verify_pairs(pairset, np.stack([b[chosen], a[chosen]], axis=1))
    assert found.tolist() == inliers[chosen].tolist()
    shas = pairset.photos["sha256"].to_pylist()
    assert set(given) == {(shas[first], shas[second]) for first, second in zip(a[chosen], b[chosen], strict=True)}
    assert any(first > second for first, second in given)  # else the order of content would do as well


def test_the_door_uses_the_seed_of_the_pairs_it_is_given(built: tuple[Path, BuildSummary], tmp_path: Path) -> None:
    folder = workspace_copy(built, tmp_path / "ws")
    pairset = read_pairset(folder)
    a, b, inliers = (pairset.pair_column(name) for name in ("a", "b", "inliers"))
    use_geometries(folder / "database.db", "seed 1 of a build that was stopped")
    assert verify_pairs(pairset, np.stack([a, b], axis=1)).tolist() == inliers.tolist()


@pytest.mark.slow
def test_a_rebuild_with_another_seed_equals_a_fresh_build(
    rendered_photos: RenderedPhotos, built: tuple[Path, BuildSummary], tmp_path: Path
) -> None:
    shutil.copytree(built[0], tmp_path / "ws")
    rebuilt = build_pairs(rendered_photos.folder, tmp_path / "ws", BuildOptions(seed=3))
    fresh = build_pairs(rendered_photos.folder, tmp_path / "fresh", BuildOptions(seed=3))
    assert rebuilt.fingerprint == fresh.fingerprint != built[1].fingerprint
    for name in ("photos", "pairs", "place_relations"):
        one, other = (
            pq.read_table(tmp_path / folder / "pairs" / f"{name}.parquet").to_pylist() for folder in ("ws", "fresh")
        )
        assert repr(one) == repr(other)  # with repr, not a number equals itself
    back = build_pairs(rendered_photos.folder, tmp_path / "ws", BuildOptions())
    assert back.fingerprint == built[1].fingerprint
